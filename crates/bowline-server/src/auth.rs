use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bowline_types::{ApiKey, Digest, Secret};

use crate::api::Server;
use crate::error::Error;
use crate::link::TokenSource;

/// The token of the control API. The local command line reads it from a file of mode 0600.
#[derive(Clone, Debug)]
pub struct AdminToken(Secret);

/// The tokens that open the control API.
#[derive(Clone, Debug)]
pub struct AdminTokens(Accepted);

/// The tokens of gateways at the internal API. They open nothing else.
#[derive(Clone, Debug)]
pub struct GatewayTokens(Accepted);

/// What a listener accepts, and what can be replaced while it serves. Clones are the same list.
#[derive(Clone)]
struct Accepted(Arc<ArcSwap<Vec<Secret>>>);

/// A text of tokens that holds none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no token in it\nhint: a token on each line, such as `bowline serve` makes at its first start")]
pub struct NoTokenError;

/// Which `Host` headers are ours. A browser page of another site that has its name resolve to this machine is refused.
#[derive(Clone, Debug)]
pub struct HostRule(Hosts);

/// What this machine calls itself.
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

#[derive(Clone, Debug)]
enum Hosts {
    Any,
    Named { names: Vec<String>, port: u16 },
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

    /// Returns what always gives this token.
    #[must_use]
    pub fn source(self) -> TokenSource {
        Arc::new(move || Some(self.0.clone()))
    }
}

impl From<AdminToken> for AdminTokens {
    fn from(token: AdminToken) -> Self {
        Self(Accepted(Arc::new(ArcSwap::from_pointee(vec![token.0]))))
    }
}

// === impl AdminTokens ===

impl AdminTokens {
    /// Reads the content of a file: a token on each line, so that a new one can be handed out before the old one is taken back.
    ///
    /// # Errors
    /// It holds none.
    pub fn new(text: &str) -> Result<Self, NoTokenError> {
        Accepted::new(text).map(Self)
    }

    /// Takes the tokens of another text in place of those there were; returns whether they differ.
    ///
    /// # Errors
    /// It holds none; those there were stay.
    pub fn replace(&self, text: &str) -> Result<bool, NoTokenError> {
        self.0.replace(text)
    }

    /// Returns the first one, for a client in this process.
    #[must_use]
    pub fn first(&self) -> AdminToken {
        // There is always one.
        let first = self.0.0.load().first().cloned();
        AdminToken(first.unwrap_or_else(|| Secret::new(String::new())))
    }

    fn match_any(&self, headers: &HeaderMap) -> bool {
        self.0.match_any(headers)
    }
}

// === impl Accepted ===

impl Accepted {
    fn new(text: &str) -> Result<Self, NoTokenError> {
        tokens(text).map(|tokens| Self(Arc::new(ArcSwap::from_pointee(tokens))))
    }

    fn replace(&self, text: &str) -> Result<bool, NoTokenError> {
        let tokens = tokens(text)?;
        let differ = *self.0.load_full() != tokens;
        if differ {
            self.0.store(Arc::new(tokens));
        }
        Ok(differ)
    }

    fn match_any(&self, headers: &HeaderMap) -> bool {
        self.0.load().iter().any(|token| matches(headers, token))
    }
}

impl fmt::Debug for Accepted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} tokens", self.0.load().len())
    }
}

fn tokens(text: &str) -> Result<Vec<Secret>, NoTokenError> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let tokens: Vec<_> = lines.map(|line| Secret::new(line.to_owned())).collect();
    if tokens.is_empty() { Err(NoTokenError) } else { Ok(tokens) }
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

    /// Reads the content of a file: a token on each line, so that a new one can be handed out before the old one is taken back.
    ///
    /// # Errors
    /// It holds none.
    pub fn new(text: &str) -> Result<Self, NoTokenError> {
        Accepted::new(text).map(Self)
    }

    /// Takes the tokens of another text in place of those there were; returns whether they differ.
    ///
    /// # Errors
    /// It holds none; those there were stay.
    pub fn replace(&self, text: &str) -> Result<bool, NoTokenError> {
        self.0.replace(text)
    }

    /// Returns whether a request carries one of them.
    pub(crate) fn match_any(&self, headers: &HeaderMap) -> bool {
        self.0.match_any(headers)
    }
}

// === impl HostRule ===

impl HostRule {
    /// Returns the rule of a server at `address`: its address and further names with its port, and `localhost` and the loopback addresses with
    /// any port: that is how it is called through `kubectl port-forward` or a tunnel, and no other site's name is one of them.
    #[must_use]
    pub fn new(address: SocketAddr, names: impl IntoIterator<Item = String>) -> Self {
        let bound = match address.ip() {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        };
        Self(Hosts::Named { names: std::iter::once(bound).chain(names).collect(), port: address.port() })
    }

    /// Returns the rule of a server with TLS, which takes every name: a client that was called to another one's has seen by the certificate
    /// that this server is not it, and has left.
    #[must_use]
    pub const fn any() -> Self {
        Self(Hosts::Any)
    }

    fn allows(&self, host: &str) -> bool {
        let Hosts::Named { names, port: own_port } = &self.0 else { return true };
        let (name, port) = match host.rsplit_once(':') {
            Some((name, port)) if !host.ends_with(']') => (name, port.parse::<u16>().ok()),
            _ => (host, Some(80)),
        };
        let is = |own: &str| own.eq_ignore_ascii_case(name);
        let Some(port) = port else { return false };
        LOOPBACK.into_iter().any(is) || (port == *own_port && names.iter().any(|own| is(own)))
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
    if server.tokens.match_any(request.headers()) {
        return next.run(request).await;
    }
    Error::Unauthenticated.into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_hosts_are_served() {
        let rule = HostRule::new("192.0.2.7:7081".parse().unwrap(), ["bowline.internal".to_owned()]);
        for host in ["127.0.0.1:7081", "localhost:7081", "LOCALHOST:7081", "[::1]:7081", "bowline.internal:7081"] {
            assert!(rule.allows(host), "{host}");
        }
        // The other end of a port that is forwarded.
        for host in ["localhost:8081", "127.0.0.1:8081", "127.0.0.1", "[::1]", "192.0.2.7:7081"] {
            assert!(rule.allows(host), "{host}");
        }
        for host in
            ["", "evil.example:7081", "127.0.0.1:7081.evil.example", "127.0.0.1.evil.example:7081", "127.0.0.1:x"]
        {
            assert!(!rule.allows(host), "{host}");
        }
        for host in ["bowline.internal:80", "bowline.internal", "192.0.2.7:7082", "localhost.evil.example"] {
            assert!(!rule.allows(host), "{host}");
        }
        assert!(HostRule::any().allows("bowline-control.bowline-system.svc"));
    }

    #[test]
    fn tokens_do_not_show() {
        let token = AdminToken::generate().unwrap();
        assert!(token.expose().starts_with("bwa_"));
        assert!(!format!("{token:?}").contains(token.expose()));
        let tokens = AdminTokens::from(token.clone());
        assert_eq!(format!("{tokens:?}"), "AdminTokens(1 tokens)");
        assert_eq!(tokens.first().expose(), token.expose());
    }

    #[test]
    fn tokens_are_replaced_while_they_are_used() {
        let opens = |tokens: &GatewayTokens, token: &str| {
            let value = format!("Bearer {token}").parse().unwrap();
            tokens.match_any(&HeaderMap::from_iter([(header::AUTHORIZATION, value)]))
        };
        let tokens = GatewayTokens::new("bwg_1\n\n  bwg_2 \r\n").unwrap();
        let served = tokens.clone();
        assert!(opens(&served, "bwg_1") && opens(&served, "bwg_2") && !opens(&served, "bwg_3") && !opens(&served, ""));
        assert_eq!(tokens.replace("bwg_1\nbwg_2\n"), Ok(false));
        assert_eq!(tokens.replace("bwg_3"), Ok(true));
        assert!(opens(&served, "bwg_3") && !opens(&served, "bwg_1"));
        assert_eq!(tokens.replace(" \n"), Err(NoTokenError));
        assert!(opens(&served, "bwg_3"));
        assert_eq!(GatewayTokens::new("").unwrap_err(), NoTokenError);
    }
}
