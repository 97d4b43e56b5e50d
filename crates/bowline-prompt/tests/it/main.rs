//! What a project means, whatever it looks like: the identity of versions, from files to digests.

#![expect(clippy::unwrap_used, reason = "a test that cannot set itself up has failed")]

mod example;
mod identity;
