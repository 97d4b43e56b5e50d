//! ModelBackends: where a provider is, what credential gateways show it, and a model server where one is asked for.
//!
//! What follows from a backend is computed by pure functions, one file each: its address, its part in the configuration of the project, the
//! objects of a model server, and how many pods that has.

mod accelerator;
mod endpoint;
mod merge;
mod name;
mod render;
mod scale;

pub use accelerator::{AcceleratorClass, AcceleratorRequest, Accelerators, AcceleratorsError, Toleration};
pub use endpoint::{Endpoint, EndpointError, address};
pub use merge::merge;
pub use name::served_object;
pub use render::{Autoscaling, BACKEND_LABEL, KedaTrigger, RenderError, Rendered, render, scaled_object_resource};
pub use scale::{Look, Move, Pods, Quiet, decide, wanted};
