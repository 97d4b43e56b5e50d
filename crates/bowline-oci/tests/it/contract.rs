//! What holds at every registry: in memory, Debian's without the referrers API, distribution's with it.

use bowline_oci::{Error, MediaType, Problem, digest_of};

use crate::memory::Door;
use crate::world::{self, Registry, artifact, client, layout, reference};

/// Content comes back as it went, by tag and by digest.
async fn round_trip(registry: Registry) {
    let (_here, from) = layout();
    let artifact = artifact(&from, &"prompt ".repeat(40_000), None);
    let to = reference(&registry.address, "v1");
    let digest = client().push(&from, &artifact, &to).await.unwrap();
    // What is there is not sent again, and the tag may move to the same.
    client().push(&from, &artifact, &to).await.unwrap();

    for name in [to.clone(), to.clone_with_digest(digest.to_string())] {
        let (_there, into) = layout();
        let found = client().pull(&name, &into).await.unwrap();
        assert_eq!(digest_of(&found).unwrap(), digest);
        assert_eq!(found.size(), artifact.size());
        let layer = into.manifest(&found).unwrap().layers()[0].clone();
        assert_eq!(into.read(&layer).unwrap(), from.read(&layer).unwrap());
    }
    let missing = client().resolve(&reference(&registry.address, "v2")).await.unwrap_err();
    let text = missing.to_string();
    assert!(matches!(&missing, Error::Registry(error) if matches!(error.problem, Problem::NotFound { .. })), "{text}");
    assert!(text.contains(&registry.address) && text.contains("`shop/prompts`") && text.contains("hint: "), "{text}");
}

/// An index goes and comes with its manifests.
async fn index(registry: Registry) {
    let (_here, from) = layout();
    let children = vec![artifact(&from, "one", None), artifact(&from, "two", None)];
    let index = from.write_document(MediaType::ImageIndex, &bowline_oci::index(children.clone())).unwrap();
    let to = reference(&registry.address, "all");
    client().push(&from, &index, &to).await.unwrap();
    let (_there, into) = layout();
    let found = client().pull(&to, &into).await.unwrap();
    assert_eq!(found.digest(), index.digest());
    for child in &children {
        assert_eq!(into.manifest(child).unwrap(), from.manifest(child).unwrap());
    }
}

/// Referrers are found with their types and annotations, however the registry keeps the list.
async fn referrers(registry: Registry) {
    let (_here, from) = layout();
    let subject = artifact(&from, "bundle", None);
    let to = reference(&registry.address, "v1");
    client().push(&from, &subject, &to).await.unwrap();
    let digest = digest_of(&subject).unwrap();
    assert_eq!(client().referrers(&to, digest).await.unwrap(), []);

    let mut pushed = Vec::new();
    for text in ["signature", "report"] {
        let referrer = artifact(&from, text, Some(&subject));
        let name = to.clone_with_digest(referrer.digest().to_string());
        client().push(&from, &referrer, &name).await.unwrap();
        // Once more adds no second entry.
        client().push(&from, &referrer, &name).await.unwrap();
        pushed.push(referrer);
    }
    let found = client().referrers(&to, digest).await.unwrap();
    let mut texts: Vec<_> = found.iter().map(|found| found.annotations().as_ref().unwrap()["of"].clone()).collect();
    texts.sort();
    assert_eq!(texts, ["report", "signature"]);
    for found in &found {
        assert_eq!(found.artifact_type(), &Some("application/example".into()));
        let (_there, into) = layout();
        client().pull_descriptor(&to, found, &into).await.unwrap();
        assert!(into.manifest(found).unwrap().subject().is_some());
    }
}

macro_rules! contract {
    ($($name:ident),*) => {
        mod memory_with_referrers {
            $(#[tokio::test] async fn $name() { super::$name(super::world::in_memory(true, super::Door::Open).await).await; })*
        }
        mod memory_without_referrers {
            $(#[tokio::test] async fn $name() { super::$name(super::world::in_memory(false, super::Door::Open).await).await; })*
        }
        mod debian {
            $(#[tokio::test] #[ignore = "needs docker-registry; see `cargo xtask test --only registries`"]
            async fn $name() { super::$name(super::world::real(super::world::DEBIAN)).await; })*
        }
        mod distribution {
            $(#[tokio::test] #[ignore = "needs distribution's registry; see `cargo xtask test --only registries`"]
            async fn $name() { super::$name(super::world::real(super::world::DISTRIBUTION)).await; })*
        }
    };
}

contract!(round_trip, index, referrers);
