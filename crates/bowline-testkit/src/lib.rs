//! Builders, fakes and fixture loading for tests; a dev-dependency only.

mod clock;
mod fixtures;
mod registry;

pub use clock::ManualClock;
pub use fixtures::{conformance_data, workspace_root};
pub use registry::RegistryProgram;
