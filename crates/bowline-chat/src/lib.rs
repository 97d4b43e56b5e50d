//! The neutral chat request, response and stream, and the client dialects.
