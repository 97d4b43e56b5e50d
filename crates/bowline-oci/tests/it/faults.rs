//! Bad days: every fault is got over or told clearly, and nothing damaged is kept.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bowline_oci::{Client, Descriptor, Error, Layout, Options, Problem, RegistryReference, encode};

use crate::memory::Door;
use crate::proxy::{self, Fault};
use crate::world::{self, Registry, artifact, client, layout, options, reference, serve};

/// A registry with an artifact in it, and a proxy with a fault before it.
struct Scene {
    _registry: Registry,
    _folder: tempfile::TempDir,
    from: Layout,
    artifact: Descriptor,
    /// The artifact through the proxy.
    name: RegistryReference,
    hits: std::sync::Arc<std::sync::atomic::AtomicU32>,
}

impl Scene {
    async fn new(registry: Registry, fault: Fault) -> Self {
        let (folder, from) = layout();
        let artifact = artifact(&from, &"prompt ".repeat(40_000), None);
        client().push(&from, &artifact, &reference(&registry.address, "v1")).await.unwrap();
        let (hits, routes) = proxy::before(&registry.address, fault);
        let name = reference(&serve(routes).await, "v1");
        Self { _registry: registry, _folder: folder, from, artifact, name, hits }
    }

    /// Pulls through the proxy; whatever happens, no blob that is not whole may stay.
    async fn pull(&self, client: &Client) -> Result<Descriptor, Error> {
        let (folder, into) = layout();
        let result = client.pull(&self.name, &into).await;
        for entry in std::fs::read_dir(folder.path().join("layout/blobs/sha256")).unwrap() {
            let entry = entry.unwrap();
            let digest = bowline_types::Digest::of(&std::fs::read(entry.path()).unwrap());
            assert_eq!(entry.file_name().into_string().unwrap(), digest.hex(), "a blob is what its name says");
        }
        result
    }
}

fn problem(error: &Error) -> &Problem {
    match error {
        Error::Registry(error) => &error.problem,
        other => panic!("{other}"),
    }
}

async fn passing_failures_are_got_over(registry: Registry) {
    for status in [429, 500, 503] {
        let scene = Scene::new(world::in_memory(true, Door::Open).await, Fault::Status { status, calls: 2 }).await;
        scene.pull(&client()).await.unwrap();
        assert!(scene.hits.load(Ordering::SeqCst) > 2);
    }
    let scene = Scene::new(registry, Fault::Cut { calls: 2 }).await;
    scene.pull(&client()).await.unwrap();
}

async fn lasting_failures_are_told(registry: Registry) {
    let few = Client::new(Options { attempts_max: 2, ..options() }).unwrap();
    let scene = Scene::new(registry, Fault::Status { status: 429, calls: u32::MAX }).await;
    let error = scene.pull(&few).await.unwrap_err();
    assert!(matches!(problem(&error), Problem::RateLimited { .. }), "{error}");
    assert_eq!(scene.hits.load(Ordering::SeqCst), 2, "attempts have a bound");

    let memory = async || world::in_memory(true, Door::Open).await;
    let scene = Scene::new(memory().await, Fault::Status { status: 500, calls: u32::MAX }).await;
    let error = scene.pull(&few).await.unwrap_err();
    assert!(error.to_string().contains("status 500"), "{error}");

    let scene = Scene::new(memory().await, Fault::Status { status: 401, calls: u32::MAX }).await;
    let error = scene.pull(&few).await.unwrap_err();
    assert!(matches!(problem(&error), Problem::Unauthenticated { .. }), "{error}");
    assert_eq!(scene.hits.load(Ordering::SeqCst), 1, "a refusal is not asked for again");

    let scene = Scene::new(memory().await, Fault::Cut { calls: u32::MAX }).await;
    let error = scene.pull(&few).await.unwrap_err();
    assert!(matches!(problem(&error), Problem::Broken { .. }), "{error}");
}

async fn a_slow_registry_has_a_deadline(registry: Registry) {
    let scene = Scene::new(registry, Fault::Slow).await;
    let timeout = Duration::from_millis(100);
    // The deadline of a blob grows with its size: 280,000 bytes may take 17 s more, an empty configuration none.
    let hasty = Client::new(Options { timeout, attempts_max: 1, ..options() }).unwrap();
    let error = scene.pull(&hasty).await.unwrap_err();
    assert!(matches!(problem(&error), Problem::Timeout { .. }), "{error}");
    assert!(error.to_string().contains("hint: try again"), "{error}");
}

async fn a_tampered_layer_is_refused(registry: Registry) {
    let scene = Scene::new(registry, Fault::Tampered).await;
    let error = scene.pull(&client()).await.unwrap_err();
    assert!(matches!(&error, Error::Damaged { reason, .. } if reason.contains("hash to")), "{error}");
}

async fn a_swapped_manifest_is_refused(registry: Registry) {
    let (_folder, other) = layout();
    let swapped = artifact(&other, "another one", None);
    let bytes = encode(&other.manifest(&swapped).unwrap()).unwrap();
    let scene = Scene::new(registry, Fault::Swapped(bytes.into())).await;
    let (_there, into) = layout();
    let pinned = scene.name.clone_with_digest(scene.artifact.digest().to_string());
    let error = client().pull(&pinned, &into).await.unwrap_err();
    assert!(matches!(&error, Error::Damaged { reason, .. } if reason.contains("answered with")), "{error}");
    assert_eq!(std::fs::read_dir(into.root().join("blobs/sha256")).unwrap().count(), 0);
}

async fn a_cut_upload_begins_again(registry: Registry) {
    let scene = Scene::new(registry, Fault::Cut { calls: 2 }).await;
    let more = artifact(&scene.from, &"other ".repeat(40_000), None);
    client().push(&scene.from, &more, &scene.name).await.unwrap();
    let (_there, into) = layout();
    client().pull(&scene.name, &into).await.unwrap();

    let scene = Scene::new(world::in_memory(true, Door::Open).await, Fault::Cut { calls: u32::MAX }).await;
    let more = artifact(&scene.from, &"other ".repeat(40_000), None);
    let few = Client::new(Options { attempts_max: 2, ..options() }).unwrap();
    let error = few.push(&scene.from, &more, &scene.name).await.unwrap_err();
    assert!(error.to_string().starts_with("could not push a blob of `shop/prompts`"), "{error}");
    // The tag stays where it was.
    let found = client().resolve(&reference(&scene._registry.address, "v1")).await.unwrap();
    assert_eq!(found.digest(), scene.artifact.digest());
}

#[tokio::test]
async fn a_damaged_blob_is_not_sent() {
    let registry = world::in_memory(true, Door::Open).await;
    let (_folder, from) = layout();
    let artifact = artifact(&from, "one", None);
    let layer = from.manifest(&artifact).unwrap().layers()[0].digest().digest().to_owned();
    std::fs::write(from.root().join("blobs/sha256").join(layer), "two").unwrap();
    let error = client().push(&from, &artifact, &reference(&registry.address, "v1")).await.unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
    assert!(client().resolve(&reference(&registry.address, "v1")).await.is_err());
}

macro_rules! faults {
    ($($name:ident),*) => {
        mod memory {
            $(#[tokio::test] async fn $name() { super::$name(super::world::in_memory(true, super::Door::Open).await).await; })*
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

faults!(
    passing_failures_are_got_over,
    lasting_failures_are_told,
    a_slow_registry_has_a_deadline,
    a_tampered_layer_is_refused,
    a_swapped_manifest_is_refused,
    a_cut_upload_begins_again
);
