//! Who we are at a registry.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::Router;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use bowline_oci::{Client, Error, Options, Problem};
use bowline_types::Secret;

use crate::memory::{Door, PASSWORD, USER};
use crate::world::{artifact, in_memory, layout, options, reference, serve};

fn known() -> Options {
    Options { credential: Some((USER.to_owned(), Secret::new(PASSWORD.to_owned()))), ..options() }
}

fn is_unauthenticated(error: &Error, with: bool) -> bool {
    matches!(error, Error::Registry(error)
        if matches!(error.problem, Problem::Unauthenticated { with_credentials, .. } if with_credentials == with))
}

#[tokio::test]
async fn a_password_opens_both_doors() {
    for door in [Door::Basic, Door::Bearer] {
        let registry = in_memory(true, door).await;
        let (_here, from) = layout();
        let artifact = artifact(&from, "one", None);
        let to = reference(&registry.address, "v1");
        let client = Client::new(known()).unwrap();
        assert!(client.resolve(&to).await.is_err(), "nothing is there yet");
        client.push(&from, &artifact, &to).await.unwrap();
        assert_eq!(client.resolve(&to).await.unwrap().digest(), artifact.digest());
        let mut scopes = registry.memory.as_ref().unwrap().scopes.lock().unwrap().clone();
        // Blobs that are sent at once may each ask.
        scopes.dedup();
        match door {
            Door::Bearer => assert_eq!(scopes, ["repository:shop/prompts:pull", "repository:shop/prompts:pull,push"]),
            _ => assert!(scopes.is_empty()),
        }
    }
}

#[tokio::test]
async fn who_is_not_known_is_told_so() {
    for door in [Door::Basic, Door::Bearer] {
        let registry = in_memory(true, door).await;
        let to = reference(&registry.address, "v1");
        let anonymous = Client::new(options()).unwrap().resolve(&to).await.unwrap_err();
        assert!(is_unauthenticated(&anonymous, false), "{anonymous}");
        assert!(anonymous.to_string().contains("docker login"), "{anonymous}");
        let wrong = Options { credential: Some((USER.to_owned(), Secret::new("guess".to_owned()))), ..options() };
        let refused = Client::new(wrong).unwrap().resolve(&to).await.unwrap_err();
        assert!(is_unauthenticated(&refused, true), "{refused}");
        assert!(!refused.to_string().contains("guess"), "{refused}");
    }
}

#[tokio::test]
async fn docker_config_is_asked() {
    let registry = in_memory(true, Door::Basic).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.json");
    let config = format!(r#"{{"auths":{{"{}":{{"auth":"YWRhOnBhc3M6d29yZA=="}}}}}}"#, registry.address);
    std::fs::write(&path, config).unwrap();
    let client = Client::new(Options { docker_config: Some(path), ..options() }).unwrap();
    let (_here, from) = layout();
    let artifact = artifact(&from, "one", None);
    client.push(&from, &artifact, &reference(&registry.address, "v1")).await.unwrap();
}

#[tokio::test]
async fn a_password_is_for_the_registry_that_it_was_given_for() {
    let (ours, other) = (in_memory(true, Door::Basic).await, in_memory(true, Door::Basic).await);
    let client = Client::new(Options { credential_for: Some(ours.address.clone()), ..known() }).unwrap();
    let (_here, from) = layout();
    let artifact = artifact(&from, "one", None);
    client.push(&from, &artifact, &reference(&ours.address, "v1")).await.unwrap();
    let refused = client.resolve(&reference(&other.address, "v1")).await.unwrap_err();
    assert!(is_unauthenticated(&refused, false), "{refused}");
}

/// A registry sends clients on to stores that are less trusted than itself; what those ask for is not given.
#[tokio::test]
async fn who_is_redirected_to_gives_no_credentials() {
    let asked = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&asked);
    let thief = Router::new().fallback(move |request: Request| async move {
        let has_credentials = request.headers().contains_key(header::AUTHORIZATION);
        counted.fetch_add(u32::from(has_credentials), Ordering::SeqCst);
        let host = request.headers()[header::HOST].to_str().unwrap().to_owned();
        let challenge = format!("Bearer realm=\"http://{host}/token\",service=\"thief\"");
        (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, challenge)])
    });
    let thief = serve(thief).await;
    let redirecting = Router::new().fallback(move |request: Request| async move {
        let location = format!("http://{thief}{}", request.uri().path());
        (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, location)])
    });
    let registry = serve(redirecting).await;
    let refused = Client::new(known()).unwrap().resolve(&reference(&registry, "v1")).await.unwrap_err();
    assert!(refused.to_string().contains("asks for credentials of its own"), "{refused}");
    assert_eq!(asked.load(Ordering::SeqCst), 0);
}

/// The page of a proxy may be longer than what is read of it, and is no reason to forget its status.
#[tokio::test]
async fn a_long_page_of_an_error_is_that_error() {
    let page = Router::new().fallback(|| async { (StatusCode::NOT_FOUND, "<p>no</p>".repeat(10_000)) });
    let error = Client::new(options()).unwrap().resolve(&reference(&serve(page).await, "v1")).await.unwrap_err();
    assert!(matches!(&error, Error::Registry(error) if matches!(error.problem, Problem::NotFound { .. })), "{error}");
}

#[tokio::test]
async fn plain_http_is_only_by_flag() {
    let registry = in_memory(true, Door::Open).await;
    let careful = Client::new(Options { plain_http: false, ..options() }).unwrap();
    let error = careful.resolve(&reference(&registry.address, "v1")).await.unwrap_err().to_string();
    assert!(error.contains("--plain-http"), "{error}");
}
