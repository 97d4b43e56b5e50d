//! Versions, environments, releases and the snapshot gateways serve from.
