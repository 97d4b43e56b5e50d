//! Who calls: the virtual key, or a token of somebody who has one. Before everything else, so that a stranger costs one hash and one look-up.

use std::sync::Arc;

use bowline_registry::SnapshotKey;
use bowline_types::{ApiKey, ErrorKind};
use http::{HeaderMap, header};

use crate::gateway::Shared;
use crate::live::Live;
use crate::refusal::Refusal;
use crate::review::{Reviews, Verdict};

/// Returns the key of the `Authorization: Bearer …` header.
///
/// # Errors
/// The header is missing, is no key of Bowline, or the key is unknown or revoked; which of the last two is not said. Or the keys are
/// too old to be trusted, or nobody could say whose a token is.
pub(crate) async fn identify(gateway: &Shared, live: &Live, headers: &HeaderMap) -> Result<Arc<SnapshotKey>, Refusal> {
    if let Some(age) = gateway.too_old() {
        let message = format!(
            "the control role has not confirmed the keys for {} s\nhint: whoever runs Bowline must check that the gateway reaches it",
            age.as_secs()
        );
        return Err(Refusal::new(ErrorKind::Unavailable, message).code("snapshot_too_old"));
    }
    let value = headers.get(header::AUTHORIZATION).ok_or_else(|| refusal("the request has no key"))?;
    let token = value.to_str().ok().and_then(|value| value.strip_prefix("Bearer ")).map(str::trim);
    let token = token.ok_or_else(|| refusal("this is no key of Bowline"))?;
    if let Ok(key) = token.parse::<ApiKey>() {
        return live.key(key.hash()).map(Arc::clone).ok_or_else(|| refusal("the key is unknown or revoked"));
    }
    match &gateway.reviews {
        Some(reviews) => reviewed(reviews, live, token).await,
        None => Err(refusal("this is no key of Bowline")),
    }
}

async fn reviewed(reviews: &Reviews, live: &Live, token: &str) -> Result<Arc<SnapshotKey>, Refusal> {
    match reviews.of(token, |subject| live.key_of(subject).is_some()).await {
        Verdict::Is(subject) => live.key_of(&subject).map(Arc::clone),
        Verdict::Refused => None,
        Verdict::Failed => {
            let message = "nobody could say whose token this is\nhint: send it again; whoever runs Bowline must check that the gateway may ask the API server";
            let retry_after = Some(reviews.retry_after());
            let refusal = Refusal::new(ErrorKind::Unavailable, message).code("token_unreviewed");
            return Err(Refusal { retry_after, ..refusal });
        }
    }
    .ok_or_else(|| refusal("this is no key of Bowline, and no valid token of a service account that has one"))
}

fn refusal(what: &str) -> Refusal {
    let hint = "hint: send `Authorization: Bearer bwl_…`; `bowline key create` makes a key";
    Refusal::new(ErrorKind::Unauthenticated, format!("{what}\n{hint}")).code("invalid_api_key")
}
