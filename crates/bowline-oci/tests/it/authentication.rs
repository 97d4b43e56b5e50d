//! Who we are at a registry.

use bowline_oci::{Client, Error, Options, Problem};
use bowline_types::Secret;

use crate::memory::{Door, PASSWORD, USER};
use crate::world::{artifact, in_memory, layout, options, reference};

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
async fn plain_http_is_only_by_flag() {
    let registry = in_memory(true, Door::Open).await;
    let careful = Client::new(Options { plain_http: false, ..options() }).unwrap();
    let error = careful.resolve(&reference(&registry.address, "v1")).await.unwrap_err().to_string();
    assert!(error.contains("--plain-http"), "{error}");
}
