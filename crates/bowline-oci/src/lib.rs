//! OCI artifacts and images: the layout on disk, references to it and to registries, and a client of registries.
//!
//! Content always goes through a [`Layout`]: what is built is written to one, what is pushed is read from one, and what is pulled
//! lands in one. So nothing is held in memory that may be large, and every byte that is read or moved has been held against its
//! digest and size. [`image`] assembles container images there.

mod attach;
mod client;
mod content;
mod error;
pub mod image;
mod layout;
mod reference;

pub use client::{Client, Options, Problem, RegistryError};
pub use content::{
    Document, MANIFEST_BYTES_MAX, as_referrer, decode, describe, digest_of, encode, index, is_index, is_manifest,
    manifest,
};
pub use error::{Error, Result};
pub use layout::{BLOB_BYTES_MAX, BlobWriter, Layout, REF_NAME};
pub use oci_spec::distribution::Reference as RegistryReference;
pub use oci_spec::image::{Descriptor, ImageIndex as Index, ImageManifest as Manifest, MediaType};
pub use reference::{LayoutReference, Reference};
