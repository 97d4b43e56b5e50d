//! What refers to a manifest: signatures, attestations, bills of materials.
//!
//! The API is asked first; a registry without it has an index under the tag `sha256-<hex>`, which clients maintain themselves
//! (distribution-spec 1.1, "Listing Referrers", "Referrers Tag Schema").

use bowline_types::Digest;
use bytes::Bytes;
use http::{Method, StatusCode, header};
use oci_spec::image::{Descriptor, ImageIndex, MediaType};

use super::call::Call;
use super::transport::{Transport, protocol};
use super::{MANIFEST_BYTES_MAX, Repository, get_manifest, put_manifest};
use crate::content::{self, Document};
use crate::{Error, Result};

/// Pages of the list that are read.
const PAGES_MAX: usize = 32;
/// How often an entry is written to the fallback index before its loss to another writer is an error.
const WRITES_MAX: u32 = 5;

const OPERATION: &str = "list the referrers";

/// Returns the referrers of a manifest.
pub(super) async fn list(transport: &Transport, repository: &Repository, subject: Digest) -> Result<Vec<Descriptor>> {
    let mut target = format!("referrers/{subject}");
    let mut found = Vec::new();
    for _ in 0..PAGES_MAX {
        let call = Call::new(Method::GET, target).header(header::ACCEPT, MediaType::ImageIndex.as_ref());
        let answer = transport.call(repository, OPERATION, &call, MANIFEST_BYTES_MAX).await?;
        match answer.status {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(fallback(transport, repository, subject).await?.manifests().clone()),
            _ => return Err(repository.error(OPERATION, answer.problem())),
        }
        let page: ImageIndex = content::decode(format!("the list of referrers at {repository}"), &answer.body)?;
        found.extend(page.manifests().iter().cloned());
        let next = answer.headers.get(header::LINK).and_then(|value| next_of(value.to_str().ok()?));
        let Some(next) = next else { return Ok(found) };
        target = if next.contains("://") { next } else { path_of(&next) };
    }
    Err(repository.error(OPERATION, protocol(format!("the list has more than {PAGES_MAX} pages"))))
}

/// Adds an entry to the fallback index of its subject.
///
/// Two writers at once can lose an entry, since registries have no compare-and-set; so the index is read again afterwards, and written
/// again where the entry is gone.
pub(super) async fn add(
    transport: &Transport,
    repository: &Repository,
    subject: Digest,
    entry: Descriptor,
) -> Result<()> {
    for _ in 0..WRITES_MAX {
        let mut index = fallback(transport, repository, subject).await?;
        if index.manifests().iter().any(|listed| listed.digest() == entry.digest()) {
            return Ok(());
        }
        let mut entries = index.manifests().clone();
        entries.push(entry.clone());
        index.set_manifests(entries);
        let bytes = Bytes::from(content::encode(&index)?);
        put_manifest(transport, repository, &tag(subject), &MediaType::ImageIndex, bytes).await?;
    }
    let reason = format!("other writers of the index `{}` win every time", tag(subject));
    Err(repository.error("add to the referrers", protocol(reason)))
}

/// Returns the fallback index; an empty one where there is none.
async fn fallback(transport: &Transport, repository: &Repository, subject: Digest) -> Result<ImageIndex> {
    let Some((descriptor, bytes)) = get_manifest(transport, repository, &tag(subject), None).await? else {
        return Ok(content::index(Vec::new()));
    };
    match Document::read(&descriptor, &bytes)? {
        Document::Index(index) => Ok(*index),
        Document::Manifest(_) => Err(Error::Type {
            digest: content::digest_of(&descriptor)?,
            found: descriptor.media_type().to_string(),
            expected: MediaType::ImageIndex.to_string(),
        }),
    }
}

fn tag(subject: Digest) -> String {
    format!("sha256-{}", subject.hex())
}

/// Reads the next page from `<…>; rel="next"`.
fn next_of(link: &str) -> Option<String> {
    let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
    parameters.contains("next").then(|| target.to_owned())
}

fn path_of(target: &str) -> String {
    let slash = if target.starts_with('/') { "" } else { "/" };
    format!("{slash}{target}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_found() {
        let next = next_of(r#"</v2/a/referrers/sha256:1?n=2>; rel="next""#);
        assert_eq!(next.as_deref(), Some("/v2/a/referrers/sha256:1?n=2"));
        assert_eq!(next_of(r#"</v2/a>; rel="prev""#), None);
        assert_eq!(next_of("nonsense"), None);
    }
}
