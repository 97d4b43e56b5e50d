//! The provider simulator and load generator.
