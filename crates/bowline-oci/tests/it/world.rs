//! Registries that tests talk to, and content to move.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use bowline_oci::{Client, Descriptor, Layout, MediaType, Options, RegistryReference};
use tokio::net::TcpListener;

use crate::memory::{self, Door, Kind, Memory};

/// Where Debian's docker-registry is, and distribution's registry of version 3.
pub(crate) const DEBIAN: &str = "BOWLINE_TEST_DOCKER_REGISTRY";
pub(crate) const DISTRIBUTION: &str = "BOWLINE_TEST_REGISTRY";

/// A registry that stops when it is dropped.
pub(crate) struct Registry {
    pub(crate) address: String,
    pub(crate) memory: Option<Arc<Memory>>,
    _program: Option<Program>,
}

struct Program {
    child: Child,
    _folder: tempfile::TempDir,
}

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
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
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.yml");
    let data = folder.path().join("data");
    let text = format!(
        "version: 0.1\nlog:\n  level: info\n  formatter: json\n  accesslog:\n    disabled: true\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: 127.0.0.1:0\n",
        data.display()
    );
    std::fs::write(&config, text).unwrap();
    let mut command = Command::new(program);
    command.arg("serve").arg(&config).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let log = BufReader::new(child.stderr.take().unwrap());
    // It says where it listens: `listening on 127.0.0.1:34567`.
    let mut lines = log.lines();
    let address = lines
        .by_ref()
        .find_map(|line| {
            let line = line.unwrap();
            let (_, rest) = line.split_once("listening on ")?;
            Some(rest.split(|each: char| each != '.' && each != ':' && !each.is_ascii_digit()).next()?.to_owned())
        })
        .unwrap();
    // Whoever does not read a pipe stops its writer.
    std::thread::spawn(move || lines.for_each(drop));
    Registry { address, memory: None, _program: Some(Program { child, _folder: folder }) }
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
