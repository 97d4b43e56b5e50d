//! The request path: layers, the upstream transport, routing, records.
