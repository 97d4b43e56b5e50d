use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The address of a provider, without a trailing slash: `https`, or `http` on a loopback address or to a Service of Kubernetes
/// (`NAME.NAMESPACE.svc`), as it carries credentials.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct BaseUrl(
    #[schemars(regex(pattern = "^https?://"))]
    String,
);

/// The address of a service that gets no credentials, without a trailing slash: `http` or `https`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct HttpUrl(
    #[schemars(regex(pattern = "^https?://"))]
    String,
);

/// Why a text is not an address; it is not repeated, as it may hold a credential.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum UrlError {
    /// It has no scheme that is spoken here.
    #[error("an address starts with `https://` or `http://`")]
    Scheme,
    /// It has no host, or one that is not a name or an address.
    #[error("an address names a host, with a port of 1 to 65535 where it is not the usual one")]
    Host,
    /// It holds a user name or a password.
    #[error("an address holds no user name or password; credentials are references in `api_key`")]
    Credentials,
    /// It goes on after the path.
    #[error("an address ends with its path, without `?` and `#`")]
    Query,
    /// It would carry credentials in the clear.
    #[error("`http` is for loopback addresses and Services of Kubernetes only; use `https`")]
    Insecure,
}

/// The parts of an address that matter here.
struct Parts<'a> {
    secure: bool,
    host: &'a str,
}

// === impl BaseUrl ===

impl BaseUrl {
    /// Returns the address.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns whether the address is one of this machine.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        parts(&self.0).is_ok_and(|parts| is_loopback(parts.host))
    }

    /// Returns whether the host is `host` or stands below it.
    pub(super) fn is_below(&self, host: &str) -> bool {
        let own = parts(&self.0).map(|parts| parts.host.to_ascii_lowercase());
        own.is_ok_and(|own| own == host || own.strip_suffix(host).is_some_and(|rest| rest.ends_with('.')))
    }
}

impl TryFrom<String> for BaseUrl {
    type Error = UrlError;

    fn try_from(text: String) -> Result<Self, UrlError> {
        let parts = parts(&text)?;
        if !parts.secure && !is_loopback(parts.host) && !is_within_cluster(parts.host) {
            return Err(UrlError::Insecure);
        }
        Ok(Self(text.trim_end_matches('/').to_owned()))
    }
}

impl From<BaseUrl> for String {
    fn from(url: BaseUrl) -> Self {
        url.0
    }
}

// === impl HttpUrl ===

impl HttpUrl {
    /// Returns the address.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for HttpUrl {
    type Error = UrlError;

    fn try_from(text: String) -> Result<Self, UrlError> {
        parts(&text)?;
        Ok(Self(text.trim_end_matches('/').to_owned()))
    }
}

impl From<HttpUrl> for String {
    fn from(url: HttpUrl) -> Self {
        url.0
    }
}

fn parts(text: &str) -> Result<Parts<'_>, UrlError> {
    let (scheme, rest) = text.split_once("://").ok_or(UrlError::Scheme)?;
    let secure = match scheme {
        "https" => true,
        "http" => false,
        _ => return Err(UrlError::Scheme),
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return Err(UrlError::Credentials);
    }
    if rest.contains(['?', '#']) {
        return Err(UrlError::Query);
    }
    if rest.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(UrlError::Host);
    }
    let (host, port) = match authority.strip_prefix('[').map(|rest| rest.split_once(']')) {
        Some(Some((host, ""))) => (host, None),
        Some(Some((host, port))) => (host, Some(port.strip_prefix(':').ok_or(UrlError::Host)?)),
        Some(None) => return Err(UrlError::Host),
        None => authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port))),
    };
    let named = host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_'));
    let valid = (!host.is_empty() && named) || host.parse::<IpAddr>().is_ok();
    let reachable = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    if valid && reachable { Ok(Parts { secure, host }) } else { Err(UrlError::Host) }
}

/// Services of a Kubernetes cluster have names that nobody beyond it can have, and what encrypts between pods is the cluster's own matter.
fn is_within_cluster(host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    let service = host.strip_suffix(".svc.cluster.local").or_else(|| host.strip_suffix(".svc"));
    service.is_some_and(|service| service.split('.').filter(|label| !label.is_empty()).count() == 2)
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_follow_their_rules() {
        let check = |text: &str, expected: Result<&str, UrlError>| {
            let found = BaseUrl::try_from(text.to_owned());
            assert_eq!(found.as_ref().map(BaseUrl::as_str), expected.as_ref().copied(), "{text}");
        };
        check("https://api.openai.com/v1/", Ok("https://api.openai.com/v1"));
        check("http://127.0.0.1:11434/v1", Ok("http://127.0.0.1:11434/v1"));
        check("http://localhost:80", Ok("http://localhost:80"));
        check("http://[::1]:8080", Ok("http://[::1]:8080"));
        check("http://vllm.desk.svc:8000/v1", Ok("http://vllm.desk.svc:8000/v1"));
        check("http://vllm.desk.svc.cluster.local/v1", Ok("http://vllm.desk.svc.cluster.local/v1"));
        check("http://10.0.0.1", Err(UrlError::Insecure));
        check("http://svc", Err(UrlError::Insecure));
        check("http://desk.svc", Err(UrlError::Insecure));
        check("http://vllm.desk.svc.example.com", Err(UrlError::Insecure));
        check("http://127.0.0.1.example.com", Err(UrlError::Insecure));
        check("ftp://example.com", Err(UrlError::Scheme));
        check("api.openai.com", Err(UrlError::Scheme));
        check("https://", Err(UrlError::Host));
        check("https://a b", Err(UrlError::Host));
        check("https://[::1", Err(UrlError::Host));
        check("https://[::1]x", Err(UrlError::Host));
        check("https://a:0", Err(UrlError::Host));
        check("https://a:99999", Err(UrlError::Host));
        check("https://key@api.openai.com", Err(UrlError::Credentials));
        check("https://api.openai.com/v1?key=1", Err(UrlError::Query));
        assert_eq!(HttpUrl::try_from("http://collector:4318/".to_owned()).unwrap().as_str(), "http://collector:4318");
    }

    #[test]
    fn own_addresses_are_recognised() {
        let check = |text: &str, expected: bool| {
            assert_eq!(BaseUrl::try_from(text.to_owned()).unwrap().is_below("api.openai.com"), expected, "{text}");
        };
        check("https://api.openai.com/v1", true);
        check("https://EU.api.openai.com:443/v1", true);
        check("https://api.openai.com.example.com", false);
        check("https://evilapi.openai.com", false);
        check("https://example.com/api.openai.com", false);
    }
}
