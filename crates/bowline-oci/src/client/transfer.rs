//! Blobs between a registry and a layout.

use http::{Method, StatusCode, header};
use oci_spec::image::Descriptor;

use super::problem::Problem;
use super::transport::{Call, Transport, protocol};
use super::{MANIFEST_BYTES_MAX, Repository};
use crate::{Layout, Result, content};

/// Fetches a blob into a layout, unless it is there; a cut download begins again.
pub(super) async fn download(
    transport: &Transport,
    repository: &Repository,
    blob: &Descriptor,
    into: &Layout,
) -> Result<()> {
    if into.has(blob)? {
        return Ok(());
    }
    let digest = content::digest_of(blob)?;
    let operation = "read a blob";
    let call = &Call::new(Method::GET, format!("blobs/{digest}"));
    let written = transport
        .retrying(repository, operation, || async move {
            let response = transport.attempt(repository, call).await?;
            if response.status() != StatusCode::OK {
                let answer = transport.whole(response, MANIFEST_BYTES_MAX).await?;
                return Err(match answer.problem() {
                    Problem::NotFound { message } => Problem::NotFound { message: format!("{digest} {message}") },
                    other => other,
                });
            }
            let mut writer = match into.writer() {
                Ok(writer) => writer,
                Err(error) => return Ok(Err(error)),
            };
            let mut failed = None;
            let (_, mut body) = response.into_parts();
            // One byte more than expected is read as too large, never kept.
            let read = transport.each_chunk(&mut body, blob.size(), |chunk| {
                // The disk is no problem of the registry, and not worth another attempt.
                writer.write_chunk(chunk).map_err(|error| {
                    failed = Some(error);
                    protocol("the blob could not be written")
                })
            });
            match (read.await, failed) {
                (_, Some(error)) => Ok(Err(error)),
                // A body that ends early without an error of the connection is a cut one, too.
                (Ok(()), None) if writer.size() < blob.size() => {
                    Err(Problem::Broken { message: format!("{} of {} bytes came", writer.size(), blob.size()) })
                }
                (Ok(()), None) => Ok(Ok(writer)),
                (Err(problem), None) => Err(problem),
            }
        })
        .await?;
    written?.finish_as(blob, &repository.to_string())
}

/// Sends a blob of a layout, unless the registry has it; a cut upload begins again.
pub(super) async fn upload(
    transport: &Transport,
    repository: &Repository,
    blob: &Descriptor,
    from: &Layout,
) -> Result<()> {
    // A blob that is damaged here must not reach the registry; each attempt reads it again, but this error is the clearer one.
    drop(from.open_blob(blob)?);
    let digest = content::digest_of(blob)?;
    let look = Call::new(Method::HEAD, format!("blobs/{digest}"));
    if transport.call(repository, "look for a blob", &look, 0).await?.status == StatusCode::OK {
        return Ok(());
    }
    let begin = &Call::new(Method::POST, "blobs/uploads/".to_owned());
    let operation = "push a blob";
    transport
        .retrying(repository, operation, || async move {
            let response = transport.attempt(repository, begin).await?;
            let begun = transport.whole(response, MANIFEST_BYTES_MAX).await?;
            if begun.status != StatusCode::ACCEPTED {
                return Err(begun.problem());
            }
            let location = begun.headers.get(header::LOCATION).and_then(|value| value.to_str().ok());
            let location = location.ok_or_else(|| protocol("it says not where to upload"))?;
            let separator = if location.contains('?') { '&' } else { '?' };
            let target = format!("{location}{separator}digest={digest}");
            let target = if target.contains("://") || target.starts_with('/') { target } else { format!("/{target}") };
            let call = Call::new(Method::PUT, target)
                .header(header::CONTENT_TYPE, "application/octet-stream")
                .blob(from, blob);
            let response = transport.attempt(repository, &call).await?;
            let done = transport.whole(response, MANIFEST_BYTES_MAX).await?;
            if done.status == StatusCode::CREATED { Ok(()) } else { Err(done.problem()) }
        })
        .await
}
