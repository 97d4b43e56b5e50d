//! What a build of `bowline` runs on, and whether it needs anything of the image around it.

use std::io::Read;
use std::path::{Path, PathBuf};

use bowline_oci::image::Platform;

use crate::failure::{Failure, Result};

/// How much of a program is looked at: its head lists what the loader has to do.
const HEAD_BYTES: u64 = 64 << 10;

/// A program that can be added to an image.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    pub(crate) platform: Platform,
}

/// What the head of a program says.
#[derive(Debug, PartialEq)]
enum Head {
    /// It runs by itself on this processor.
    Static(&'static str),
    /// It needs a loader and libraries.
    Dynamic,
    /// It is no Linux program for a processor that we know.
    Unknown,
}

// === impl Program ===

impl Program {
    /// Reads the head of a program, which must be a static one.
    ///
    /// # Errors
    /// It cannot be read, is no Linux program, or needs libraries.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let mut head = Vec::new();
        let read = std::fs::File::open(path).and_then(|file| file.take(HEAD_BYTES).read_to_end(&mut head));
        read.map_err(|error| Failure::user(format!("could not read {}: {error}", path.display())))?;
        let architecture = match Head::parse(&head) {
            Some(Head::Static(architecture)) => architecture,
            Some(Head::Dynamic) => {
                return Err(Failure::user(format!(
                    "{} needs shared libraries, which the image may not have\n\
                     hint: name a static build with --bowline FILE; docs/images.md says how one is made",
                    path.display()
                )));
            }
            Some(Head::Unknown) | None => {
                return Err(Failure::user(format!(
                    "{} is no Linux program for amd64 or arm64\nhint: name one with --bowline FILE",
                    path.display()
                )));
            }
        };
        let platform = Platform { architecture: architecture.to_owned(), os: "linux".to_owned(), variant: None };
        Ok(Self { path: path.to_owned(), platform })
    }
}

// === impl Head ===

impl Head {
    /// Reads the head of an ELF file of 64 bits (System V ABI, "ELF Header" and "Program Header", read 2026-11-25). None where it is cut off.
    fn parse(bytes: &[u8]) -> Option<Self> {
        const MAGIC: &[u8] = b"\x7fELF\x02\x01\x01";
        /// An entry of the table that names the loader of shared libraries.
        const INTERPRETER: u64 = 3;
        if !bytes.starts_with(MAGIC) {
            return Some(Self::Unknown);
        }
        let architecture = match number(bytes, 18, 2)? {
            62 => "amd64",
            183 => "arm64",
            _ => return Some(Self::Unknown),
        };
        let (table, size, count) = (number(bytes, 32, 8)?, number(bytes, 54, 2)?, number(bytes, 56, 2)?);
        for entry in 0..count {
            let place = usize::try_from(table.checked_add(entry * size)?).ok()?;
            if number(bytes, place, 4)? == INTERPRETER {
                return Some(Self::Dynamic);
            }
        }
        Some(Self::Static(architecture))
    }
}

/// Returns the little-endian number of `length` bytes at a place.
fn number(bytes: &[u8], place: usize, length: usize) -> Option<u64> {
    let bytes = bytes.get(place..place.checked_add(length)?)?;
    Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A head with one entry of a kind.
    fn head(machine: u16, kind: u32) -> Vec<u8> {
        let mut bytes = vec![0; 64 + 56];
        bytes[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        bytes[18..20].copy_from_slice(&machine.to_le_bytes());
        bytes[32..40].copy_from_slice(&64_u64.to_le_bytes());
        bytes[54..56].copy_from_slice(&56_u16.to_le_bytes());
        bytes[56..58].copy_from_slice(&1_u16.to_le_bytes());
        bytes[64..68].copy_from_slice(&kind.to_le_bytes());
        bytes
    }

    #[test]
    fn a_program_with_a_loader_is_not_static() {
        assert_eq!(Head::parse(&head(62, 1)), Some(Head::Static("amd64")));
        assert_eq!(Head::parse(&head(183, 1)), Some(Head::Static("arm64")));
        assert_eq!(Head::parse(&head(62, 3)), Some(Head::Dynamic));
        assert_eq!(Head::parse(&head(3, 1)), Some(Head::Unknown));
        assert_eq!(Head::parse(b"#!/bin/sh\n"), Some(Head::Unknown));
        assert_eq!(Head::parse(&head(62, 1)[..70]).map(|_| ()), Some(()));
        assert_eq!(Head::parse(&head(62, 1)[..66]), None);
    }

    #[test]
    fn the_programs_of_this_machine_are_not_taken() {
        let error = Program::read(Path::new("/bin/sh")).unwrap_err().message();
        assert!(error.contains("/bin/sh needs shared libraries"), "{error}");
    }
}
