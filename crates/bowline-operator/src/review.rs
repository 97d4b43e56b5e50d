//! Whose a token of a service account is: the API server says.

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, TokenReviewStatus};
use kube::Client;
use kube::api::{Api, PostParams};

/// Asks the API server whose tokens are. Cheap to clone.
///
/// Source: <https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/token-review-v1/>, read 2026-11-25.
#[derive(Clone)]
pub struct Reviewer {
    client: Client,
    audience: String,
}

/// The API server did not say whose a token is.
#[derive(Debug, thiserror::Error)]
#[error("the API server did not review a token of a service account\nhint: may the gateway create `tokenreviews`?")]
pub struct ReviewFailed(#[source] Box<kube::Error>);

// === impl Reviewer ===

impl Reviewer {
    /// Returns one that accepts tokens for an audience: those for the API server itself are for nobody else, and are never accepted.
    #[must_use]
    pub fn new(client: Client, audience: impl Into<String>) -> Self {
        Self { client, audience: audience.into() }
    }

    /// Returns the user name of whoever a token belongs to; `None` where it is forged, over, taken back, or for another audience.
    ///
    /// # Errors
    /// The API server cannot be reached, or refuses to say.
    pub async fn review(&self, token: &str) -> Result<Option<String>, ReviewFailed> {
        let spec = TokenReviewSpec { token: Some(token.to_owned()), audiences: Some(vec![self.audience.clone()]) };
        let review = TokenReview { spec, ..TokenReview::default() };
        let reviewed = Api::<TokenReview>::all(self.client.clone()).create(&PostParams::default(), &review).await;
        let status = reviewed.map_err(|error| ReviewFailed(Box::new(error)))?.status.unwrap_or_default();
        Ok(self.user(status))
    }

    /// An authenticator that does not know of audiences leaves them out; then the token is good for the API server, and we are not it.
    fn user(&self, status: TokenReviewStatus) -> Option<String> {
        let ours = status.audiences.is_some_and(|audiences| audiences.contains(&self.audience));
        let user = status.user.and_then(|user| user.username);
        user.filter(|_| status.authenticated == Some(true) && ours)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::{Arc, Mutex};

    use axum::body::Body;
    use http::{Method, Request, Response, StatusCode};
    use http_body_util::BodyExt as _;
    use serde_json::{Value, json};

    use super::*;

    /// The method, the path and the body of each request.
    type Asked = Arc<Mutex<Vec<(Method, String, Value)>>>;

    const APP: &str = "system:serviceaccount:shop:app";

    /// An API server that answers one thing, and what it was asked.
    fn server(status: StatusCode, answer: Value) -> (Reviewer, Asked) {
        let asked = Asked::default();
        let seen = Arc::clone(&asked);
        let service = tower::service_fn(move |request: Request<kube::client::Body>| {
            let (seen, answer) = (Arc::clone(&seen), answer.to_string());
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                let path = head.uri.path().to_owned();
                seen.lock().unwrap().push((head.method, path, serde_json::from_slice(&body).unwrap()));
                let response = Response::builder().status(status).header("content-type", "application/json");
                Ok::<_, Infallible>(response.body(Body::from(answer)).unwrap())
            }
        });
        (Reviewer::new(Client::new(service, "default"), "bowline"), asked)
    }

    fn reviewed(status: &Value) -> Value {
        json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "metadata": {}, "spec": {}, "status": status })
    }

    #[tokio::test]
    async fn the_api_server_is_asked_for_our_audience() {
        let status = json!({ "authenticated": true, "audiences": ["bowline"], "user": { "username": APP } });
        let (reviewer, asked) = server(StatusCode::CREATED, reviewed(&status));
        assert_eq!(reviewer.review("a.b.c").await.unwrap().as_deref(), Some(APP));
        let asked = std::mem::take(&mut *asked.lock().unwrap());
        let [(method, path, body)] = &asked[..] else { panic!("{asked:?}") };
        assert_eq!((method, path.as_str()), (&Method::POST, "/apis/authentication.k8s.io/v1/tokenreviews"));
        assert_eq!(body["spec"], json!({ "token": "a.b.c", "audiences": ["bowline"] }));
        assert_eq!(body["kind"], "TokenReview");
    }

    /// Answers as an API server of 1.35 gives them.
    #[tokio::test]
    async fn whatever_is_not_wholly_good_is_nobodys() {
        let user = json!({ "username": APP });
        for (what, status) in [
            (
                "another audience",
                json!({ "error": "[invalid bearer token, token audiences [\"other\"] is invalid for the target audiences [\"bowline\"]]" }),
            ),
            ("over", json!({ "error": "[invalid bearer token, service account token has expired]" })),
            ("unauthenticated", json!({ "authenticated": false, "audiences": ["bowline"], "user": user })),
            ("no audience said", json!({ "authenticated": true, "user": user })),
            (
                "that of the API server",
                json!({ "authenticated": true, "audiences": ["https://kubernetes.default.svc"], "user": user }),
            ),
            ("no user", json!({ "authenticated": true, "audiences": ["bowline"] })),
            ("no user name", json!({ "authenticated": true, "audiences": ["bowline"], "user": {} })),
            ("nothing", json!({})),
        ] {
            let (reviewer, _) = server(StatusCode::CREATED, reviewed(&status));
            assert_eq!(reviewer.review("a.b.c").await.unwrap(), None, "{what}");
        }
    }

    #[tokio::test]
    async fn an_api_server_that_does_not_say_is_no_answer() {
        let refused = json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 403, "reason": "Forbidden", "message": "tokenreviews is forbidden" });
        for (status, answer) in [
            (StatusCode::FORBIDDEN, refused),
            (StatusCode::SERVICE_UNAVAILABLE, json!("no endpoints")),
            (StatusCode::CREATED, json!([])),
        ] {
            let (reviewer, _) = server(status, answer);
            let error = reviewer.review("sekret.b.c").await.unwrap_err();
            assert!(!format!("{error:?} {}", bowline_types::chain(&error)).contains("sekret"), "{error:?}");
        }
    }

    #[tokio::test]
    async fn an_api_server_that_is_down_is_no_answer() {
        // The port of a listener that is gone.
        let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let config = kube::Config::new(format!("http://{gone}").parse().unwrap());
        let reviewer = Reviewer::new(Client::try_from(config).unwrap(), "bowline");
        let error = reviewer.review("a.b.c").await.unwrap_err();
        assert!(error.to_string().contains("\nhint: "), "{error}");
    }
}
