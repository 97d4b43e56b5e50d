//! Container images, put together without a daemon, without privileges and the same bit for bit.
//!
//! [`Files`] are gathered from folders and memory and written as one [`Layer`]; [`Base`] and [`Settings`] give the configuration and the
//! manifest of an [`Image`]; several of them make an [`index`](index()). Nothing here asks a registry, starts a program of the image or runs a
//! package manager, and no clock is read: time is handed in. What decides the bytes is only what goes in, and the compressor that this build of
//! Bowline carries; the uncompressed digests of layers do not depend on that either.

mod archive;
mod assembly;
mod base;
mod error;
mod files;
mod layer;
mod path;
mod platform;
mod sbom;

pub use archive::write_archive;
pub use assembly::{Blob, Image, Settings, annotation, index};
pub use base::{Base, choose};
pub use error::{Error, Result};
pub use files::{Account, Content, Files};
pub use layer::{Layer, LayerFile, write_layer};
pub use path::ImagePath;
pub use platform::Platform;
pub use sbom::{SBOM_MEDIA_TYPE, Sbom, SbomBase, SbomTarget};
