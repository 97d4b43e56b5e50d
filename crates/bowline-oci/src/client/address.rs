//! Where a call goes.

use http::Uri;

/// Returns whether a URL is one of the registry at `authority`, whatever the case of its letters and where ports go without saying.
pub(super) fn is_at(uri: &Uri, authority: &str) -> bool {
    let port = |port: Option<u16>| port.filter(|port| !matches!(port, 80 | 443));
    let registry = authority.parse::<http::uri::Authority>().ok();
    registry.zip(uri.authority()).is_some_and(|(registry, found)| {
        registry.host().eq_ignore_ascii_case(found.host()) && port(registry.port_u16()) == port(found.port_u16())
    })
}

/// Returns a location as a whole URL.
pub(super) fn absolute(from: &Uri, location: &str) -> String {
    if location.contains("://") {
        return location.to_owned();
    }
    let scheme = from.scheme_str().unwrap_or("https");
    let authority = from.authority().map(http::uri::Authority::as_str).unwrap_or_default();
    let slash = if location.starts_with('/') { "" } else { "/" };
    format!("{scheme}://{authority}{slash}{location}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_made_whole() {
        let from: Uri = "https://registry.example:5000/v2/a/blobs/uploads/".parse().unwrap();
        for (location, expected) in [
            ("/v2/a/blobs/uploads/1?s=2", "https://registry.example:5000/v2/a/blobs/uploads/1?s=2"),
            ("https://store.example/x", "https://store.example/x"),
        ] {
            assert_eq!(absolute(&from, location), expected);
        }
    }

    #[test]
    fn the_registry_is_known_by_host_and_port() {
        let check = |uri: &str, registry: &str, expected: bool| {
            assert_eq!(is_at(&uri.parse().unwrap(), registry), expected, "{uri} {registry}");
        };
        check("https://ghcr.io/v2/a", "ghcr.io", true);
        check("https://GHCR.io:443/v2/a", "ghcr.io", true);
        check("https://localhost:5000/v2/a", "localhost:5000", true);
        check("https://localhost:5001/v2/a", "localhost:5000", false);
        check("https://store.ghcr.io/v2/a", "ghcr.io", false);
        check("https://ghcr.io@evil.example/v2/a", "ghcr.io", false);
    }
}
