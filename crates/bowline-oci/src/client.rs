//! A client of OCI registries: moves content between a registry and a [`Layout`].
//!
//! <https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md>, read 2026-11-25.

use std::path::PathBuf;
use std::time::Duration;

use bowline_types::{Digest, Secret};
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use http::{Method, StatusCode, header};
use oci_spec::distribution::Reference as RegistryReference;
use oci_spec::image::{Descriptor, MediaType};

use crate::content::{self, Document, MANIFEST_BYTES_MAX};
use crate::{Error, Layout, Result};

mod address;
mod answer;
mod authenticate;
mod call;
mod challenge;
mod parts;
mod problem;
mod referrers;
mod retry;
mod tls;
mod transfer;
mod transport;

use call::Call;
pub use problem::{Problem, RegistryError};
use transport::Transport;

/// Blobs that are moved at once.
const BLOBS_AT_ONCE: usize = 4;

/// What a client asks for when it asks for a manifest: OCI's and Docker's media types.
const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";

/// How registries are reached.
#[derive(Clone, Debug)]
pub struct Options {
    /// Speaks HTTP without TLS. Default: no, not even on loopback.
    pub plain_http: bool,
    /// Certificates in PEM that are trusted beside the Mozilla roots. Default: none.
    pub certificates: Vec<u8>,
    /// User name and password. Default: what `docker_config` says, else anonymous.
    pub credential: Option<(String, Secret)>,
    /// The one registry that gets `credential`, as references name it; others get what `docker_config` says. Default: every one.
    pub credential_for: Option<String>,
    /// Docker's `config.json`, whose credentials and credential helpers are used. A file that is missing is none.
    pub docker_config: Option<PathBuf>,
    /// How long one answer may take to begin, and one body to go on. Default: 30 s.
    pub timeout: Duration,
    /// How often a call is made before its failure is final, at least once. Default: 5.
    pub attempts_max: u32,
}

/// A client. Cheap to clone; connections and tokens are shared.
#[derive(Clone, Debug)]
pub struct Client {
    transport: Transport,
}

/// One repository of one registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Repository {
    /// The host and port to ask.
    pub(crate) registry: String,
    /// The name as people write it, for errors and credentials.
    pub(crate) registry_name: String,
    pub(crate) name: String,
}

// === impl Options ===

impl Default for Options {
    fn default() -> Self {
        Self {
            plain_http: false,
            certificates: Vec::new(),
            credential: None,
            credential_for: None,
            docker_config: None,
            timeout: Duration::from_secs(30),
            attempts_max: 5,
        }
    }
}

// === impl Client ===

impl Client {
    /// Returns a client; nothing is sent yet.
    ///
    /// # Errors
    /// Refuses certificates that are not PEM.
    pub fn new(options: Options) -> Result<Self> {
        Transport::new(options).map(|transport| Self { transport })
    }

    /// Returns the descriptor of what a reference names now.
    ///
    /// # Errors
    /// Those of the registry.
    pub async fn resolve(&self, reference: &RegistryReference) -> Result<Descriptor> {
        let repository = Repository::of(reference);
        let (descriptor, _) = self.manifest(&repository, name_of(reference), pinned(reference)?).await?;
        Ok(descriptor)
    }

    /// Copies what a reference names into a layout, with everything it lists, and returns its descriptor. Blobs that are there are
    /// not fetched again. Nothing is tagged or listed: the caller does that once all is there.
    ///
    /// # Errors
    /// Those of the registry, and content that is not what its descriptor says.
    pub async fn pull(&self, reference: &RegistryReference, into: &Layout) -> Result<Descriptor> {
        let repository = Repository::of(reference);
        let (descriptor, bytes) = self.manifest(&repository, name_of(reference), pinned(reference)?).await?;
        self.pull_document(&repository, &descriptor, bytes, into).await?;
        Ok(descriptor)
    }

    /// As [`Client::pull`], by a descriptor whose size and digest must hold.
    ///
    /// # Errors
    /// As [`Client::pull`].
    pub async fn pull_descriptor(
        &self,
        reference: &RegistryReference,
        descriptor: &Descriptor,
        into: &Layout,
    ) -> Result<()> {
        let repository = Repository::of(reference);
        let bytes = self.manifest_of(&repository, descriptor).await?;
        self.pull_document(&repository, descriptor, bytes, into).await
    }

    /// Copies a manifest or index of a layout, with everything it lists, to where a reference says; a tag moves last. A referrer
    /// is made known to its subject. Returns the digest.
    ///
    /// # Errors
    /// Those of the layout and of the registry. What was sent before stays there without a name.
    pub async fn push(&self, from: &Layout, descriptor: &Descriptor, to: &RegistryReference) -> Result<Digest> {
        let repository = Repository::of(to);
        let digest = content::digest_of(descriptor)?;
        if pinned(to)?.is_some_and(|pinned| pinned != digest) {
            let reason = format!("it pins another digest than {digest}, which is to be pushed");
            return Err(Error::Reference { text: to.to_string(), reason });
        }
        let document = from.document(descriptor)?;
        if let Document::Index(index) = &document {
            for child in index.manifests() {
                // An index of an index is nothing that people build; its depth is bounded by refusing it.
                let manifest = from.manifest(child)?;
                self.push_manifest(&repository, from, child, &Document::Manifest(Box::new(manifest)), None).await?;
            }
        }
        self.push_manifest(&repository, from, descriptor, &document, to.tag()).await?;
        Ok(digest)
    }

    /// Returns the manifests that refer to `subject`, by the referrers API or, where the registry has none, by the tag schema.
    ///
    /// # Errors
    /// Those of the registry.
    pub async fn referrers(&self, reference: &RegistryReference, subject: Digest) -> Result<Vec<Descriptor>> {
        referrers::list(&self.transport, &Repository::of(reference), subject).await
    }

    async fn pull_document(
        &self,
        repository: &Repository,
        descriptor: &Descriptor,
        bytes: Bytes,
        into: &Layout,
    ) -> Result<()> {
        let document = Document::read(descriptor, &bytes)?;
        let mut blobs: Vec<Descriptor> = Vec::new();
        match &document {
            Document::Manifest(_) => blobs.extend(document.children().into_iter().cloned()),
            Document::Index(index) => {
                for child in index.manifests() {
                    let bytes = self.manifest_of(repository, child).await?;
                    match Document::read(child, &bytes)? {
                        Document::Manifest(manifest) => {
                            blobs.extend(std::iter::once(manifest.config()).chain(manifest.layers()).cloned());
                            into.write(child.media_type().clone(), &bytes)?;
                        }
                        Document::Index(_) => return Err(nested(child)),
                    }
                }
            }
        }
        let downloads = futures_util::stream::iter(blobs)
            .map(|blob| async move { transfer::download(&self.transport, repository, &blob, into).await });
        downloads.buffer_unordered(BLOBS_AT_ONCE).try_collect::<()>().await?;
        into.write(descriptor.media_type().clone(), &bytes)?;
        Ok(())
    }

    async fn push_manifest(
        &self,
        repository: &Repository,
        from: &Layout,
        descriptor: &Descriptor,
        document: &Document,
        tag: Option<&str>,
    ) -> Result<()> {
        if let Document::Manifest(_) = document {
            let mut blobs: Vec<Descriptor> = document.children().into_iter().cloned().collect();
            blobs.sort_by(|a, b| a.digest().as_ref().cmp(b.digest().as_ref()));
            blobs.dedup_by(|a, b| a.digest() == b.digest());
            let uploads = futures_util::stream::iter(blobs)
                .map(|blob| async move { transfer::upload(&self.transport, repository, &blob, from).await });
            uploads.buffer_unordered(BLOBS_AT_ONCE).try_collect::<()>().await?;
        }
        let bytes = Bytes::from(from.read(descriptor)?);
        let digest = content::digest_of(descriptor)?;
        let name = tag.map_or_else(|| digest.to_string(), str::to_owned);
        let answer = put_manifest(&self.transport, repository, &name, descriptor.media_type(), bytes).await?;
        if answer
            .headers
            .get("docker-content-digest")
            .is_some_and(|found| found.as_bytes() != digest.to_string().as_bytes())
        {
            let reason = "the registry stored the manifest under another digest".to_owned();
            return Err(repository.error("push the manifest", Problem::Protocol { reason }));
        }
        match (document, document.subject()) {
            // The header says that the registry keeps the list of referrers itself ("Pushing Manifests with Subject").
            (Document::Manifest(manifest), Some(subject)) if answer.headers.get("oci-subject").is_none() => {
                let listed = content::as_referrer(descriptor, manifest);
                referrers::add(&self.transport, repository, content::digest_of(subject)?, listed).await
            }
            _ => Ok(()),
        }
    }

    /// Fetches a manifest by a tag or digest.
    async fn manifest(
        &self,
        repository: &Repository,
        name: &str,
        pinned: Option<Digest>,
    ) -> Result<(Descriptor, Bytes)> {
        get_manifest(&self.transport, repository, name, pinned).await?.ok_or_else(|| {
            let message = format!("it has no `{name}`");
            repository.error("read the manifest", Problem::NotFound { message })
        })
    }

    /// Fetches the manifest that a descriptor leads to.
    async fn manifest_of(&self, repository: &Repository, descriptor: &Descriptor) -> Result<Bytes> {
        let digest = content::digest_of(descriptor)?;
        let (found, bytes) = self.manifest(repository, &digest.to_string(), Some(digest)).await?;
        if found.size() != descriptor.size() {
            let reason = format!("it has {} bytes and should have {}", found.size(), descriptor.size());
            return Err(Error::Damaged { digest, place: repository.to_string(), reason });
        }
        Ok(bytes)
    }
}

/// Fetches a manifest by a tag or digest; none where the registry has none.
async fn get_manifest(
    transport: &Transport,
    repository: &Repository,
    name: &str,
    pinned: Option<Digest>,
) -> Result<Option<(Descriptor, Bytes)>> {
    let operation = "read the manifest";
    let call = Call::new(Method::GET, format!("manifests/{name}")).header(header::ACCEPT, ACCEPT);
    let answer = transport.call(repository, operation, &call, MANIFEST_BYTES_MAX).await?;
    match answer.status {
        StatusCode::OK => {}
        StatusCode::NOT_FOUND => return Ok(None),
        _ => return Err(repository.error(operation, answer.problem())),
    }
    let media_type = answer.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = MediaType::from(media_type.split(';').next().unwrap_or_default().trim());
    let digest = Digest::of(&answer.body);
    if let Some(pinned) = pinned.filter(|pinned| *pinned != digest) {
        let reason = format!("the registry answered with {digest}");
        return Err(Error::Damaged { digest: pinned, place: repository.to_string(), reason });
    }
    let size = u64::try_from(answer.body.len()).unwrap_or(u64::MAX);
    Ok(Some((content::describe(media_type, digest, size)?, answer.body)))
}

async fn put_manifest(
    transport: &Transport,
    repository: &Repository,
    name: &str,
    media_type: &MediaType,
    bytes: Bytes,
) -> Result<answer::Answer> {
    let operation = "push the manifest";
    let call = Call::new(Method::PUT, format!("manifests/{name}"));
    let call = call.header(header::CONTENT_TYPE, media_type.as_ref()).bytes(bytes);
    let answer = transport.call(repository, operation, &call, MANIFEST_BYTES_MAX).await?;
    if answer.status != StatusCode::CREATED {
        return Err(repository.error(operation, answer.problem()));
    }
    Ok(answer)
}

fn nested(descriptor: &Descriptor) -> Error {
    match content::digest_of(descriptor) {
        Ok(digest) => Error::Type {
            digest,
            found: descriptor.media_type().to_string(),
            expected: MediaType::ImageManifest.to_string(),
        },
        Err(error) => error,
    }
}

/// Returns what stands after `manifests/`: the digest where one is pinned.
fn name_of(reference: &RegistryReference) -> &str {
    reference.digest().or_else(|| reference.tag()).unwrap_or("latest")
}

fn pinned(reference: &RegistryReference) -> Result<Option<Digest>> {
    let digest = reference.digest();
    digest.map(|text| text.parse().map_err(|_| Error::DigestUnsupported(text.to_owned()))).transpose()
}

// === impl Repository ===

impl Repository {
    pub(crate) fn of(reference: &RegistryReference) -> Self {
        // Docker Hub answers under another name than it is known by.
        let registry = match reference.registry() {
            "docker.io" | "index.docker.io" => "registry-1.docker.io",
            other => other,
        };
        Self {
            registry: registry.to_owned(),
            registry_name: reference.registry().to_owned(),
            name: reference.repository().to_owned(),
        }
    }

    /// Returns the error of an operation on this repository.
    pub(crate) fn error(&self, operation: &'static str, problem: Problem) -> Error {
        Error::Registry(Box::new(RegistryError {
            registry: self.registry_name.clone(),
            repository: self.name.clone(),
            operation,
            problem,
        }))
    }
}

impl std::fmt::Display for Repository {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.registry_name, self.name)
    }
}
