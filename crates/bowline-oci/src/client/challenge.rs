//! `WWW-Authenticate` of a registry (RFC 9110, section 11.6.1).

use http::{HeaderMap, header};

/// How a registry wants its clients to authenticate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    Basic,
    /// Docker's token protocol, <https://distribution.github.io/distribution/spec/auth/token/>, read 2026-11-25.
    Bearer {
        realm: String,
        service: Option<String>,
        scope: Option<String>,
    },
}

// === impl Challenge ===

impl Challenge {
    /// Reads the challenge of an answer; a bearer token is preferred where both are offered.
    pub(super) fn read(headers: &HeaderMap) -> Option<Self> {
        let offered = headers.get_all(header::WWW_AUTHENTICATE).iter();
        let mut found: Vec<_> = offered.filter_map(|value| Self::parse(value.to_str().ok()?)).collect();
        found.sort_by_key(|challenge| *challenge == Self::Basic);
        found.into_iter().next()
    }

    fn parse(text: &str) -> Option<Self> {
        let (scheme, parameters) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let parameters = parameters_of(parameters);
        let get = |name: &str| {
            let found = parameters.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.clone())
        };
        Some(Self::Bearer { realm: get("realm")?, service: get("service"), scope: get("scope") })
    }
}

/// Splits `name="value", other=value`; a value in quotes may have commas and escaped quotes.
fn parameters_of(text: &str) -> Vec<(String, String)> {
    let mut parameters = Vec::new();
    let mut rest = text.chars().peekable();
    loop {
        while rest.next_if(|next| next.is_whitespace() || *next == ',').is_some() {}
        let name: String = std::iter::from_fn(|| rest.next_if(|next| !matches!(next, '=' | ','))).collect();
        if name.is_empty() {
            return parameters;
        }
        let mut value = String::new();
        if rest.next_if_eq(&'=').is_some() {
            if rest.next_if_eq(&'"').is_some() {
                while let Some(next) = rest.next().filter(|next| *next != '"') {
                    value.extend(if next == '\\' { rest.next() } else { Some(next) });
                }
            } else {
                value.extend(std::iter::from_fn(|| rest.next_if(|next| *next != ',')));
            }
        }
        parameters.push((name.trim().to_owned(), value.trim().to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &'static str, expected: Option<Challenge>) {
        assert_eq!(Challenge::parse(text), expected, "{text}");
    }

    #[test]
    fn challenges_are_read() {
        let bearer = |service: Option<&str>, scope: Option<&str>| {
            let realm = "https://auth.example/token".to_owned();
            Some(Challenge::Bearer { realm, service: service.map(str::to_owned), scope: scope.map(str::to_owned) })
        };
        check("Basic realm=\"Registry\"", Some(Challenge::Basic));
        check("basic", Some(Challenge::Basic));
        check(
            r#"Bearer realm="https://auth.example/token",service="registry",scope="repository:a/b:pull,push""#,
            bearer(Some("registry"), Some("repository:a/b:pull,push")),
        );
        check("bearer  realm=https://auth.example/token", bearer(None, None));
        check(r#"Bearer service="registry""#, None);
        check("Negotiate", None);
    }

    #[test]
    fn bearer_is_preferred() {
        let value = header::HeaderValue::from_static;
        let mut headers = HeaderMap::new();
        headers.append(header::WWW_AUTHENTICATE, value("Basic realm=\"a\""));
        headers.append(header::WWW_AUTHENTICATE, value("Bearer realm=\"b\""));
        assert!(matches!(Challenge::read(&headers), Some(Challenge::Bearer { .. })));
    }
}
