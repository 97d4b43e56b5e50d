//! Inference records to metrics and OTLP; the checks of the success contract.
