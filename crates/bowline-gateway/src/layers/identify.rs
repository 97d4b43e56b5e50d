//! Who calls: the virtual key. Before everything else, so that a stranger costs one hash and one look-up.

use std::sync::Arc;

use bowline_registry::SnapshotKey;
use bowline_types::{ApiKey, ErrorKind};
use http::{HeaderMap, header};

use crate::gateway::Shared;
use crate::live::Live;
use crate::refusal::Refusal;

/// Returns the key of the `Authorization: Bearer …` header.
///
/// # Errors
/// The header is missing, is no key of Bowline, or the key is unknown or revoked; which of the last two is not said. Or the keys are
/// too old to be trusted.
pub(crate) fn identify(gateway: &Shared, live: &Live, headers: &HeaderMap) -> Result<Arc<SnapshotKey>, Refusal> {
    if let Some(age) = gateway.too_old() {
        let message = format!(
            "the control role has not confirmed the keys for {} s\nhint: whoever runs Bowline must check that the gateway reaches it",
            age.as_secs()
        );
        return Err(Refusal::new(ErrorKind::Unavailable, message).code("snapshot_too_old"));
    }
    let refusal = |what: &str| {
        let hint = "hint: send `Authorization: Bearer bwl_…`; `bowline key create` makes a key";
        Refusal::new(ErrorKind::Unauthenticated, format!("{what}\n{hint}")).code("invalid_api_key")
    };
    let value = headers.get(header::AUTHORIZATION).ok_or_else(|| refusal("the request has no key"))?;
    let token = value.to_str().ok().and_then(|value| value.strip_prefix("Bearer ")).map(str::trim);
    let key: ApiKey = token.and_then(|token| token.parse().ok()).ok_or_else(|| refusal("this is no key of Bowline"))?;
    live.key(key.hash()).map(Arc::clone).ok_or_else(|| refusal("the key is unknown or revoked"))
}
