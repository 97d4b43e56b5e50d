//! Registries that tests talk to, and content to move.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use bowline_oci::{Client, Descriptor, Layout, MediaType, Options, RegistryReference};
use bowline_testkit::RegistryProgram;
use tokio::net::TcpListener;

use crate::memory::{self, Door, Kind, Memory};

/// Where Debian's docker-registry is, and distribution's registry of version 3.
pub(crate) const DEBIAN: &str = "BOWLINE_TEST_DOCKER_REGISTRY";
pub(crate) const DISTRIBUTION: &str = "BOWLINE_TEST_REGISTRY";

/// A registry that stops when it is dropped.
pub(crate) struct Registry {
    pub(crate) address: String,
    pub(crate) memory: Option<Arc<Memory>>,
    _program: Option<RegistryProgram>,
}

/// Serves routes on loopback and returns the address.
pub(crate) async fn serve(routes: Router) -> String {
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move { axum::serve(listener, routes).await });
    // It ends with the runtime of the test.
    tasks.detach_all();
    address
}

pub(crate) async fn in_memory(referrers: bool, door: Door) -> Registry {
    let (memory, routes) = memory::registry(Kind { referrers, door });
    Registry { address: serve(routes).await, memory: Some(memory), _program: None }
}

/// Starts a real registry whose program a variable of the environment names.
pub(crate) fn real(variable: &str) -> Registry {
    let program = std::env::var_os(variable).map(PathBuf::from);
    let program =
        program.unwrap_or_else(|| panic!("set {variable} to the program; `cargo xtask test --only registries` does"));
    let program = RegistryProgram::start(&program).unwrap();
    Registry { address: program.address().to_owned(), memory: None, _program: Some(program) }
}

pub(crate) fn options() -> Options {
    Options { plain_http: true, timeout: Duration::from_secs(5), ..Options::default() }
}

pub(crate) fn client() -> Client {
    Client::new(options()).unwrap()
}

pub(crate) fn reference(address: &str, tag: &str) -> RegistryReference {
    format!("{address}/shop/prompts:{tag}").parse().unwrap()
}

pub(crate) fn layout() -> (tempfile::TempDir, Layout) {
    let folder = tempfile::tempdir().unwrap();
    let layout = Layout::create(folder.path().join("layout")).unwrap();
    (folder, layout)
}

/// Writes an artifact of one layer, and returns its descriptor.
pub(crate) fn artifact(layout: &Layout, text: &str, subject: Option<&Descriptor>) -> Descriptor {
    let config = layout.write(MediaType::EmptyJSON, b"{}").unwrap();
    let layer = layout.write("text/plain".into(), text.as_bytes()).unwrap();
    let mut manifest = bowline_oci::manifest(config, vec![layer]).unwrap();
    manifest.set_artifact_type(Some("application/example".into()));
    manifest.set_annotations(Some(HashMap::from([("of".to_owned(), text.to_owned())])));
    manifest.set_subject(subject.cloned());
    layout.write_document(MediaType::ImageManifest, &manifest).unwrap()
}
