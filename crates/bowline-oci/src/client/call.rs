//! What is asked of a registry, in a form that can be sent again.

use std::io;

use bytes::Bytes;
use http::{HeaderName, Method};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Frame;
use oci_spec::image::Descriptor;
use tokio::io::AsyncReadExt as _;

use super::problem::Problem;
use crate::{Layout, Result};

/// Bytes of a file that are sent at once.
const CHUNK_BYTES: usize = 64 << 10;

pub(super) type RequestBody = UnsyncBoxBody<Bytes, io::Error>;

/// One call; it can be sent again.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) method: Method,
    /// Below `/v2/REPOSITORY/`, or a whole URL.
    pub(super) target: String,
    pub(super) headers: Vec<(HeaderName, String)>,
    body: CallBody,
}

#[derive(Clone, Debug)]
enum CallBody {
    Bytes(Bytes),
    /// A blob of a layout, read as it is sent.
    Blob(Box<(Layout, Descriptor)>),
}

// === impl Call ===

impl Call {
    pub(super) fn new(method: Method, target: String) -> Self {
        Self { method, target, headers: Vec::new(), body: CallBody::Bytes(Bytes::new()) }
    }

    pub(super) fn header(mut self, name: HeaderName, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    pub(super) fn bytes(mut self, bytes: Bytes) -> Self {
        self.body = CallBody::Bytes(bytes);
        self
    }

    pub(super) fn blob(mut self, layout: &Layout, descriptor: &Descriptor) -> Self {
        self.body = CallBody::Blob(Box::new((layout.clone(), descriptor.clone())));
        self
    }

    pub(super) fn size(&self) -> u64 {
        match &self.body {
            CallBody::Bytes(bytes) => u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            CallBody::Blob(blob) => blob.1.size(),
        }
    }

    pub(super) fn body(&self) -> Result<RequestBody, Problem> {
        match &self.body {
            CallBody::Bytes(bytes) => Ok(Full::new(bytes.clone()).map_err(io::Error::other).boxed_unsync()),
            CallBody::Blob(blob) => {
                let (layout, descriptor) = &**blob;
                let file = layout
                    .open_blob(descriptor)
                    .map_err(|error| Problem::Broken { message: bowline_types::chain(&error) })?;
                let file = tokio::fs::File::from_std(file);
                let chunks = futures_util::stream::try_unfold(file, |mut file| async move {
                    let mut chunk = vec![0; CHUNK_BYTES];
                    let read = file.read(&mut chunk).await?;
                    chunk.truncate(read);
                    Ok((read > 0).then(|| (Frame::data(Bytes::from(chunk)), file)))
                });
                Ok(StreamBody::new(chunks).boxed_unsync())
            }
        }
    }
}
