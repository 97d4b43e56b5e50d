//! How entries stand in a segment of the spool: a head of fixed size, then the payload.
//!
//! | bytes | what |
//! |---|---|
//! | 4 | length of the payload, little-endian, never 0 |
//! | 4 | CRC-32 of what follows |
//! | 8 | when the entry was written, microseconds since 1970, little-endian |
//! | … | the payload |
//!
//! A frame that is cut off, or was never written by a machine that lost power, fails its sum. What stands behind it cannot be trusted
//! to begin where it seems to, so a segment ends at its first bad frame.

use bowline_types::Timestamp;

/// What a segment begins with: a name and the version of this format.
pub(super) const MAGIC: [u8; 8] = *b"BWLSPOL\x01";

/// The bytes before a payload.
pub(super) const HEAD: usize = 16;

/// One entry of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    pub(super) at: Timestamp,
    pub(super) payload: &'a [u8],
}

// === impl Frame ===

impl<'a> Frame<'a> {
    /// Returns how many bytes a payload takes.
    pub(super) fn bytes(payload: &[u8]) -> u64 {
        u64::try_from(HEAD + payload.len()).unwrap_or(u64::MAX)
    }

    /// Appends the frame of a payload, which must be neither empty nor longer than 4 GiB.
    pub(super) fn write(self, out: &mut Vec<u8>) {
        let length = u32::try_from(self.payload.len()).unwrap_or(u32::MAX);
        let at = self.at.as_micros().to_le_bytes();
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&sum(at, self.payload).to_le_bytes());
        out.extend_from_slice(&at);
        out.extend_from_slice(self.payload);
    }

    /// Returns the frame at the beginning of some bytes; `None` where no whole and sound one stands there.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let (length, rest) = bytes.split_first_chunk()?;
        let (crc, rest) = rest.split_first_chunk()?;
        let (at, rest) = rest.split_first_chunk()?;
        let length = usize::try_from(u32::from_le_bytes(*length)).ok().filter(|length| *length > 0)?;
        let payload = rest.get(..length)?;
        let sound = sum(*at, payload) == u32::from_le_bytes(*crc);
        sound.then(|| Self { at: Timestamp::from_micros(i64::from_le_bytes(*at)), payload })
    }
}

fn sum(at: [u8; 8], payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&at);
    hasher.update(payload);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_read_back_and_nothing_else_does() {
        let (mut bytes, frame) = (Vec::new(), Frame { at: Timestamp::from_micros(-7), payload: b"payload" });
        frame.write(&mut bytes);
        assert_eq!(u64::try_from(bytes.len()).unwrap(), Frame::bytes(b"payload"));
        bytes.extend_from_slice(b"what follows");
        assert_eq!(Frame::read(&bytes), Some(frame));
        let whole = HEAD + 7;
        for length in 0..whole {
            assert_eq!(Frame::read(&bytes[..length]), None, "{length} bytes");
        }
        for index in 0..whole {
            let mut damaged = bytes.clone();
            damaged[index] ^= 0x10;
            assert_eq!(Frame::read(&damaged), None, "byte {index}");
        }
        assert_eq!(Frame::read(&[0; 64]), None, "what was never written is no frame");
    }
}
