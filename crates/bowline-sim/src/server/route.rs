use bowline_chat::Dialect;
use bowline_providers::{PROVIDERS, ProviderSpec};
use http::{Method, Response, StatusCode, Uri};

use super::body::{Body, Framing};
use super::refusal;

/// What a path stands for.
pub(super) enum Endpoint {
    /// `GET /healthz`.
    Health,
    /// A call for embeddings.
    Embeddings {
        /// Whose form.
        spec: &'static ProviderSpec,
    },
    /// A chat call.
    Call {
        /// Whose.
        spec: &'static ProviderSpec,
        /// How a stream is framed.
        framing: Framing,
    },
}

/// Returns what a request asks for, or the answer that refuses it.
pub(super) fn find(method: &Method, uri: &Uri) -> Result<Endpoint, Response<Body>> {
    let path = uri.path();
    if path == "/healthz" {
        return if method == Method::GET { Ok(Endpoint::Health) } else { Err(wrong_method("GET")) };
    }
    let embeddings = path == "/v1/embeddings";
    let dialect = if embeddings { Some(Dialect::OpenAiChat) } else { dialect(path) };
    let spec = dialect.and_then(|dialect| PROVIDERS.iter().find(|spec| spec.dialect == dialect));
    let Some(spec) = spec else {
        let paths = "/v1/chat/completions, /v1/embeddings, /v1/messages, /v1beta/models/MODEL:generateContent, \
                     /v1beta/models/MODEL:streamGenerateContent, /healthz\n";
        return Err(refusal::plain(StatusCode::NOT_FOUND, format!("nothing is served here; these paths are: {paths}")));
    };
    if method != Method::POST {
        return Err(wrong_method("POST"));
    }
    if embeddings {
        return Ok(Endpoint::Embeddings { spec });
    }
    Ok(Endpoint::Call { spec, framing: framing(spec, uri) })
}

fn dialect(path: &str) -> Option<Dialect> {
    match path {
        "/v1/chat/completions" => Some(Dialect::OpenAiChat),
        "/v1/messages" => Some(Dialect::AnthropicMessages),
        path => {
            let (model, verb) = path.strip_prefix("/v1beta/models/")?.rsplit_once(':')?;
            let served = !model.is_empty() && matches!(verb, "generateContent" | "streamGenerateContent");
            served.then_some(Dialect::Gemini)
        }
    }
}

fn framing(spec: &ProviderSpec, uri: &Uri) -> Framing {
    match spec.dialect {
        Dialect::Gemini if uri.query().is_some_and(|query| query.split('&').any(|pair| pair == "alt=sse")) => {
            Framing::EventsCrLf
        }
        Dialect::Gemini => Framing::Array { opened: false },
        _ => Framing::Events,
    }
}

fn wrong_method(allowed: &'static str) -> Response<Body> {
    let mut response = refusal::plain(StatusCode::METHOD_NOT_ALLOWED, format!("the method must be {allowed}\n"));
    response.headers_mut().insert(http::header::ALLOW, http::HeaderValue::from_static(allowed));
    response
}
