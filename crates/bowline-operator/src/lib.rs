//! The operator on Kubernetes: turns the kinds that people write into releases, and what the control role knows into projections.

mod backend;

pub use backend::{
    AcceleratorClass, AcceleratorRequest, Accelerators, AcceleratorsError, Autoscaling, BACKEND_LABEL, Endpoint,
    EndpointError, KedaTrigger, Look, Move, Pods, Quiet, RenderError, Rendered, Toleration, address, decide, merge,
    render, scaled_object_resource, served_object, wanted,
};
