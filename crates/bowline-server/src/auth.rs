use std::net::{IpAddr, SocketAddr};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bowline_types::{ApiKey, Digest, Secret};

use crate::api::Server;
use crate::error::Error;

/// The token of the control API. The local command line reads it from a file of mode 0600.
#[derive(Clone, Debug)]
pub struct AdminToken(Secret);

/// The tokens of gateways at the internal API. They open nothing else.
#[derive(Clone, Debug)]
pub struct GatewayTokens(Vec<Secret>);

/// Which `Host` headers are ours. A browser page of another site that has its name resolve to this machine is refused.
#[derive(Clone, Debug)]
pub struct HostRule {
    names: Vec<String>,
    port: u16,
}

// === impl AdminToken ===

impl AdminToken {
    /// Makes a new token from the operating system's randomness.
    ///
    /// # Errors
    /// Fails where the operating system has none.
    pub fn generate() -> Result<Self, Error> {
        let key = ApiKey::generate().map_err(|error| Error::Randomness(Box::new(error)))?;
        Ok(Self(Secret::new(key.expose().replacen("bwl_", "bwa_", 1))))
    }

    /// Wraps the content of the token's file.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(Secret::new(text.trim().to_owned()))
    }

    /// Returns the token, for its file and for requests.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    fn matches(&self, headers: &HeaderMap) -> bool {
        matches(headers, &self.0)
    }
}

/// Compares digests, whose first difference says nothing about the token.
fn matches(headers: &HeaderMap, token: &Secret) -> bool {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let given = given.and_then(|value| value.strip_prefix("Bearer "));
    given.is_some_and(|given| Digest::of(given.as_bytes()) == Digest::of(token.expose().as_bytes()))
}

// === impl GatewayTokens ===

impl GatewayTokens {
    /// Makes a new token from the operating system's randomness, as its file has it.
    ///
    /// # Errors
    /// Fails where the operating system has none.
    pub fn generate() -> Result<Secret, Error> {
        let key = ApiKey::generate().map_err(|error| Error::Randomness(Box::new(error)))?;
        Ok(Secret::new(key.expose().replacen("bwl_", "bwg_", 1)))
    }

    /// Reads the content of the file: a token on each line, so that a new one can be handed out before the old one is taken back.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        Self(lines.map(|line| Secret::new(line.to_owned())).collect())
    }

    /// Returns whether a request carries one of them.
    pub(crate) fn match_any(&self, headers: &HeaderMap) -> bool {
        self.0.iter().any(|token| matches(headers, token))
    }
}

// === impl HostRule ===

impl HostRule {
    /// Returns the rule of a server at `address`: its address, `localhost` and the loopback addresses, and further names.
    #[must_use]
    pub fn new(address: SocketAddr, names: impl IntoIterator<Item = String>) -> Self {
        let bound = match address.ip() {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        };
        let own = ["localhost".to_owned(), "127.0.0.1".to_owned(), "[::1]".to_owned(), bound];
        Self { names: own.into_iter().chain(names).collect(), port: address.port() }
    }

    fn allows(&self, host: &str) -> bool {
        let (name, port) = match host.rsplit_once(':') {
            Some((name, port)) if !host.ends_with(']') => (name, port.parse().ok()),
            _ => (host, Some(80)),
        };
        port == Some(self.port) && self.names.iter().any(|own| own.eq_ignore_ascii_case(name))
    }
}

/// Refuses requests whose `Host` is not ours.
pub(crate) async fn check_host(State(server): State<Server>, request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if server.host.allows(host) {
        return next.run(request).await;
    }
    Error::HostRefused(host.to_owned()).into_response()
}

/// Refuses requests without the admin token.
pub(crate) async fn check_token(State(server): State<Server>, request: Request, next: Next) -> Response {
    if server.token.matches(request.headers()) {
        return next.run(request).await;
    }
    Error::Unauthenticated.into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_hosts_are_served() {
        let rule = HostRule::new("127.0.0.1:7081".parse().unwrap(), ["bowline.internal".to_owned()]);
        for host in ["127.0.0.1:7081", "localhost:7081", "LOCALHOST:7081", "[::1]:7081", "bowline.internal:7081"] {
            assert!(rule.allows(host), "{host}");
        }
        for host in ["", "evil.example:7081", "127.0.0.1", "127.0.0.1:80", "127.0.0.1:7081.evil.example", "[::1]"] {
            assert!(!rule.allows(host), "{host}");
        }
    }

    #[test]
    fn tokens_do_not_show() {
        let token = AdminToken::generate().unwrap();
        assert!(token.expose().starts_with("bwa_"));
        assert!(!format!("{token:?}").contains(token.expose()));
    }
}
