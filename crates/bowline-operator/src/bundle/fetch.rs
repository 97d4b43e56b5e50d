//! The way to the registry of a bundle: what the spec names, with credentials and authorities of Secrets.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bowline_crd::{BundleSource, KeyReference};
use bowline_delivery::{Delivery, find};
use bowline_oci::{Client, Options, Problem, Reference, RegistryReference, digest_of};
use bowline_types::{Digest, Secret as Hidden, chain};
use k8s_openapi::api::core::v1::Secret;
use serde::Deserialize;

use super::release::Setback;
use crate::context::Context;
use crate::error::Error;

/// How long a registry may take with an answer.
const TIMEOUT: Duration = Duration::from_secs(15);
/// How often it is asked at once; the rest is done by looking again later.
const ATTEMPTS_MAX: u32 = 2;
/// The key of a Secret of type `kubernetes.io/dockerconfigjson`
/// (<https://kubernetes.io/docs/concepts/configuration/secret/#docker-config-secrets>, read 2026-11-25).
const DOCKER_CONFIG: &str = ".dockerconfigjson";

/// A registry, and what to ask it for.
pub(super) struct Source {
    client: Client,
    reference: RegistryReference,
}

/// Credentials of registries, as `docker login` writes them.
#[derive(Deserialize)]
struct DockerConfig {
    #[serde(default)]
    auths: std::collections::BTreeMap<String, DockerAuth>,
}

#[derive(Deserialize)]
struct DockerAuth {
    #[serde(default)]
    username: Option<String>,
    #[serde(default)]
    password: Option<String>,
    #[serde(default)]
    auth: Option<String>,
}

// === impl Source ===

impl Source {
    /// Reads the Secrets that the source names.
    pub(super) async fn open(context: &Context, namespace: &str, source: &BundleSource) -> Result<Self, Setback> {
        let named = match (&source.tag, &source.digest) {
            (_, Some(digest)) => format!("{}@{digest}", source.repository),
            (Some(tag), None) => format!("{}:{tag}", source.repository),
            (None, None) => source.repository.clone(),
        };
        let reference: RegistryReference = named.parse().map_err(|error| {
            Setback::stalled("SourceInvalid", format!("`{named}` names no manifest of a registry: {error}"))
        })?;
        let mut options = Options {
            plain_http: source.plain_http,
            timeout: TIMEOUT,
            attempts_max: ATTEMPTS_MAX,
            credential_for: Some(reference.registry().to_owned()),
            ..Options::default()
        };
        if let Some(ca) = &source.ca {
            options.certificates = text(context, namespace, ca, "spec.source.ca").await?.into_bytes();
        }
        if let Some(secret) = &source.pull_secret {
            let place = KeyReference { name: secret.name.clone(), key: DOCKER_CONFIG.to_owned() };
            let config = text(context, namespace, &place, "spec.source.pullSecret").await?;
            let found = credential(&config, reference.registry()).map_err(|why| {
                Setback::stalled(
                    "PullSecretInvalid",
                    format!("Secret `{}` of spec.source.pullSecret: {why}", secret.name),
                )
            })?;
            options.credential = Some(found);
        }
        let client = Client::new(options)
            .map_err(|error| Setback::stalled("SourceInvalid", format!("spec.source.ca: {}", chain(&error))))?;
        Ok(Self { client, reference })
    }

    /// Returns the digest of the manifest that the source names now.
    pub(super) async fn resolve(&self) -> Result<Digest, Setback> {
        let found = self.client.resolve(&self.reference).await.map_err(|error| setback(&error))?;
        digest_of(&found).map_err(|error| setback(&error))
    }

    /// Fetches a bundle with what is attached to it, and reads it whole.
    pub(super) async fn fetch(&self, digest: Digest) -> Result<Delivery, Setback> {
        let pinned = Reference::Registry(self.reference.clone_with_digest(digest.to_string()));
        let found = find(&self.client, &pinned).await.map_err(|error| delivered(&error))?;
        Delivery::open(found).map_err(|error| delivered(&error))
    }
}

/// Returns the text under a key of a Secret.
pub(crate) async fn text(
    context: &Context,
    namespace: &str,
    place: &KeyReference,
    field: &str,
) -> Result<String, Setback> {
    let KeyReference { name, key } = place;
    let found = context.api::<Secret>(namespace).get_opt(name).await;
    let found = found.map_err(|error| {
        let error = Error::kubernetes(format!("read Secret `{name}`"))(error);
        Setback::later("SecretUnavailable", format!("{field}: {}", chain(&error)))
    })?;
    let Some(secret) = found else {
        return Err(Setback::stalled(
            "SecretMissing",
            format!("{field} names Secret `{name}`, which is not there; make it"),
        ));
    };
    let bytes = secret.data.as_ref().and_then(|data| data.get(key));
    let text = bytes.and_then(|bytes| String::from_utf8(bytes.0.clone()).ok());
    text.ok_or_else(|| {
        Setback::stalled("SecretMissing", format!("{field} names Secret `{name}`, which has no text under `{key}`"))
    })
}

/// Returns the credentials of a registry. The texts of errors never hold the secret.
fn credential(config: &str, registry: &str) -> Result<(String, Hidden), String> {
    let config: DockerConfig =
        serde_json::from_str(config).map_err(|_| "it is not the JSON that `docker login` writes".to_owned())?;
    let host = |name: &str| {
        let name = name.trim_start_matches("https://").trim_start_matches("http://");
        name.split('/').next().unwrap_or_default().to_owned()
    };
    let is_hub = |name: &str| matches!(name, "docker.io" | "index.docker.io" | "registry-1.docker.io");
    let fits = |name: &str| host(name) == registry || is_hub(&host(name)) && is_hub(registry);
    let found = config.auths.iter().find(|(name, _)| fits(name));
    let Some((_, auth)) = found else {
        let known: Vec<_> = config.auths.keys().map(|name| host(name)).collect();
        return Err(format!("it has no credentials of {registry}, only of: {}", known.join(", ")));
    };
    if let (Some(user), Some(password)) = (&auth.username, &auth.password) {
        return Ok((user.clone(), Hidden::new(password.clone())));
    }
    let decoded = auth.auth.as_ref().and_then(|auth| STANDARD.decode(auth.trim()).ok());
    let decoded = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
    let pair = decoded.as_deref().and_then(|text| text.split_once(':'));
    let (user, password) =
        pair.ok_or_else(|| format!("its entry of {registry} has neither user and password nor `auth`"))?;
    Ok((user.to_owned(), Hidden::new(password.to_owned())))
}

/// Returns what follows from a failure at the registry.
fn setback(error: &bowline_oci::Error) -> Setback {
    let why = chain(error);
    let bowline_oci::Error::Registry(registry) = error else { return Setback::stalled("BundleInvalid", why) };
    match &registry.problem {
        Problem::Connect { .. }
        | Problem::Broken { .. }
        | Problem::Timeout { .. }
        | Problem::RateLimited { .. }
        | Problem::Protocol { .. } => Setback::later("RegistryUnavailable", why),
        Problem::Status { status, .. } if status.is_server_error() => Setback::later("RegistryUnavailable", why),
        Problem::NotFound { .. } => Setback::stalled("BundleNotFound", why),
        Problem::Unauthenticated { .. }
        | Problem::Forbidden { .. }
        | Problem::Status { .. }
        | Problem::TooLarge { .. }
        | Problem::Credential { .. } => Setback::stalled("RegistryRefused", why),
    }
}

/// Returns what follows from a bundle that could not be fetched or read.
fn delivered(error: &bowline_delivery::Error) -> Setback {
    use bowline_delivery::Error as Delivered;
    match error {
        Delivered::Oci(error) => setback(error),
        Delivered::Temporary(_) => Setback::later("NoSpace", chain(error)),
        other => Setback::stalled("BundleInvalid", chain(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(config: &str, registry: &str, expected: Result<(&str, &str), &str>) {
        let found = credential(config, registry).map(|(user, password)| (user, password.expose().to_owned()));
        match expected {
            Ok((user, password)) => assert_eq!(found.unwrap(), (user.to_owned(), password.to_owned()), "{registry}"),
            Err(part) => assert!(found.unwrap_err().contains(part), "{registry}"),
        }
    }

    #[test]
    fn credentials_are_those_of_the_registry_and_of_no_other() {
        let config = r#"{"auths": {
            "ghcr.io": {"username": "ada", "password": "s3cret"},
            "registry.example:5000": {"auth": "Ym9iOmh1bnRlcjI="},
            "https://index.docker.io/v1/": {"auth": "aHViOnB3"},
            "broken.example": {"auth": "Ym9i"}
        }}"#;
        check(config, "ghcr.io", Ok(("ada", "s3cret")));
        check(config, "registry.example:5000", Ok(("bob", "hunter2")));
        check(config, "docker.io", Ok(("hub", "pw")));
        check(config, "registry.example", Err("no credentials of registry.example"));
        check(config, "broken.example", Err("neither"));
        check("ghcr.io: ada", "ghcr.io", Err("docker login"));
    }
}
