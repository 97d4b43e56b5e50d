//! A registry in memory: what the distribution specification asks of one, with and without the referrers API.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use bowline_types::Digest;
use serde_json::{Value, json};

const BODY_BYTES_MAX: usize = 32 << 20;

/// Whom a registry lets in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    Open,
    Basic,
    Bearer,
}

/// What a registry is told to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    pub(crate) referrers: bool,
    pub(crate) door: Door,
}

pub(crate) struct Memory {
    kind: Kind,
    blobs: Mutex<HashMap<String, Bytes>>,
    /// By tag and by digest, with the media type.
    manifests: Mutex<BTreeMap<String, (String, Bytes)>>,
    /// The scopes that tokens were asked for.
    pub(crate) scopes: Mutex<Vec<String>>,
}

pub(crate) const USER: &str = "ada";
pub(crate) const PASSWORD: &str = "pass:word";
/// `ada:pass:word` in base 64.
const BASIC: &str = "Basic YWRhOnBhc3M6d29yZA==";

/// Returns the registry and its routes.
pub(crate) fn registry(kind: Kind) -> (Arc<Memory>, Router) {
    let memory =
        Arc::new(Memory { kind, blobs: Mutex::default(), manifests: Mutex::default(), scopes: Mutex::default() });
    (Arc::clone(&memory), Router::new().fallback(answer).with_state(memory))
}

async fn answer(State(memory): State<Arc<Memory>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let Ok(body) = to_bytes(body, BODY_BYTES_MAX).await else { return StatusCode::BAD_REQUEST.into_response() };
    let path = head.uri.path().to_owned();
    let query = head.uri.query().unwrap_or_default().to_owned();
    if path == "/token" {
        return memory.token(&head.headers, &query);
    }
    if let Some(refusal) = memory.refuse(&head.method, &head.headers) {
        return refusal;
    }
    let Some((_, rest)) = path.split_once("/v2/shop/prompts/") else { return missing("NAME_UNKNOWN") };
    match (&head.method, rest.split_once('/').unwrap_or((rest, ""))) {
        (&Method::POST, ("blobs", "uploads/")) => {
            (StatusCode::ACCEPTED, [(header::LOCATION, "/v2/shop/prompts/blobs/uploads/1?state=a")]).into_response()
        }
        (&Method::PUT, ("blobs", _)) => memory.put_blob(&query, body),
        (&Method::GET | &Method::HEAD, ("blobs", digest)) => match memory.blobs.lock().unwrap().get(digest) {
            Some(bytes) => bytes.clone().into_response(),
            None => missing("BLOB_UNKNOWN"),
        },
        (&Method::PUT, ("manifests", name)) => memory.put_manifest(name, &head.headers, body),
        (&Method::GET, ("manifests", name)) => match memory.manifests.lock().unwrap().get(name) {
            Some((media_type, bytes)) => ([(header::CONTENT_TYPE, media_type.clone())], bytes.clone()).into_response(),
            None => missing("MANIFEST_UNKNOWN"),
        },
        (&Method::GET, ("referrers", digest)) if memory.kind.referrers => memory.referrers(digest),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

fn missing(code: &str) -> Response {
    error(StatusCode::NOT_FOUND, code)
}

fn error(status: StatusCode, code: &str) -> Response {
    (status, json!({ "errors": [{ "code": code, "message": "as the specification says" }] }).to_string())
        .into_response()
}

// === impl Memory ===

impl Memory {
    fn refuse(&self, method: &Method, headers: &HeaderMap) -> Option<Response> {
        let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let writes = *method != Method::GET && *method != Method::HEAD;
        let actions = if writes { "pull,push" } else { "pull" };
        let (challenge, is_in) = match self.kind.door {
            Door::Open => return None,
            Door::Basic => ("Basic realm=\"memory\"".to_owned(), given == BASIC),
            Door::Bearer => {
                let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
                let scope = format!("repository:shop/prompts:{actions}");
                let challenge = format!("Bearer realm=\"http://{host}/token\",service=\"memory\",scope=\"{scope}\"");
                (challenge, given.starts_with(&format!("Bearer {scope}")))
            }
        };
        let body = json!({ "errors": [{ "code": "UNAUTHORIZED", "message": "who are you" }] }).to_string();
        (!is_in).then(|| (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, challenge)], body).into_response())
    }

    fn token(&self, headers: &HeaderMap, query: &str) -> Response {
        if headers.get(header::AUTHORIZATION).is_none_or(|given| given.as_bytes() != BASIC.as_bytes()) {
            return StatusCode::UNAUTHORIZED.into_response();
        }
        let scope = query.split('&').find_map(|field| field.strip_prefix("scope=")).unwrap_or_default();
        let scope = scope.replace("%3A", ":").replace("%2F", "/").replace("%2C", ",");
        self.scopes.lock().unwrap().push(scope.clone());
        json!({ "token": scope }).to_string().into_response()
    }

    fn put_blob(&self, query: &str, body: Bytes) -> Response {
        let digest = query.split('&').find_map(|field| field.strip_prefix("digest=")).unwrap_or_default();
        if !query.contains("state=a") || Digest::of(&body).to_string() != digest {
            return error(StatusCode::BAD_REQUEST, "DIGEST_INVALID");
        }
        self.blobs.lock().unwrap().insert(digest.to_owned(), body);
        StatusCode::CREATED.into_response()
    }

    fn put_manifest(&self, name: &str, headers: &HeaderMap, body: Bytes) -> Response {
        let Ok(manifest) = serde_json::from_slice::<Value>(&body) else {
            return error(StatusCode::BAD_REQUEST, "MANIFEST_INVALID");
        };
        let digest = Digest::of(&body).to_string();
        if name.starts_with("sha256:") && name != digest {
            return error(StatusCode::BAD_REQUEST, "DIGEST_INVALID");
        }
        // A real registry refuses a manifest whose blobs it lacks, and so does this one.
        let layers = manifest["layers"].as_array().cloned().unwrap_or_default();
        let blobs = self.blobs.lock().unwrap();
        if layers.iter().any(|layer| !blobs.contains_key(layer["digest"].as_str().unwrap_or_default())) {
            return error(StatusCode::NOT_FOUND, "MANIFEST_BLOB_UNKNOWN");
        }
        let media_type = headers.get(header::CONTENT_TYPE).unwrap().to_str().unwrap().to_owned();
        let mut manifests = self.manifests.lock().unwrap();
        manifests.insert(name.to_owned(), (media_type.clone(), body.clone()));
        manifests.insert(digest.clone(), (media_type, body));
        let mut answer = Response::builder().status(StatusCode::CREATED).header("docker-content-digest", digest);
        if let Some(subject) = manifest["subject"]["digest"].as_str().filter(|_| self.kind.referrers) {
            answer = answer.header("oci-subject", subject);
        }
        answer.body(Body::empty()).unwrap()
    }

    fn referrers(&self, subject: &str) -> Response {
        let manifests = self.manifests.lock().unwrap();
        let listed =
            manifests.iter().filter(|(name, _)| name.starts_with("sha256:")).filter_map(|(digest, (kind, bytes))| {
                let manifest: Value = serde_json::from_slice(bytes).unwrap();
                (manifest["subject"]["digest"] == subject).then(|| {
                    json!({
                        "mediaType": kind, "digest": digest, "size": bytes.len(),
                        "artifactType": manifest["artifactType"], "annotations": manifest["annotations"],
                    })
                })
            });
        let manifests = listed.collect::<Vec<_>>();
        let media_type = "application/vnd.oci.image.index.v1+json";
        let index = json!({ "schemaVersion": 2, "mediaType": media_type, "manifests": manifests });
        ([(header::CONTENT_TYPE, media_type)], index.to_string()).into_response()
    }
}
