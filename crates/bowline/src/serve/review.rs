//! Tokens of service accounts in place of keys: the gateway asks, the API server says.

use std::sync::Arc;

use bowline_gateway::{Review, ReviewError, ReviewFuture, TokenReviewer};
use bowline_operator::Reviewer;
use bowline_types::{Secret, chain};

use crate::cli::Serve;
use crate::failure::{Failure, Result};

/// The API server, as the gateway sees it.
struct ApiServer(Reviewer);

/// Returns who says whose tokens are, where the gateway takes those of service accounts.
///
/// # Errors
/// There is no way to an API server.
pub(super) async fn reviewer(serve: &Serve) -> Result<Option<Arc<dyn TokenReviewer>>> {
    let Some(audience) = &serve.kubernetes_audience else { return Ok(None) };
    if audience.is_empty() {
        let hint =
            "hint: tokens for the API server itself are no keys; name an audience of your own, such as `bowline`";
        return Err(Failure::user(format!("`--kubernetes-audience` is empty\n{hint}")));
    }
    let client = bowline_operator::connect().await.map_err(anyhow::Error::from)?;
    Ok(Some(Arc::new(ApiServer(Reviewer::new(client, audience)))))
}

// === impl ApiServer ===

impl TokenReviewer for ApiServer {
    fn review(&self, token: Secret) -> ReviewFuture<'_> {
        Box::pin(async move {
            match self.0.review(token.expose()).await {
                Ok(Some(user)) => Ok(Review::Authenticated(user)),
                Ok(None) => Ok(Review::Refused),
                Err(error) => Err(ReviewError(chain(&error))),
            }
        })
    }
}
