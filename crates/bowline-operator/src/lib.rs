//! The operator on Kubernetes: turns the kinds that people write into releases, and what the control role knows into projections.
