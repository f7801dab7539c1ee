//! A SHA-256 checksum over a whole safetensors file, stored in the file's own metadata.
//!
//! The checksum is computed with a placeholder of equal length in its place.

use std::ops::Range;

use enas_data::hexadecimal;
use sha2::{Digest, Sha256};

/// The metadata key of the checksum.
pub(crate) const KEY: &str = "sha256";
/// The placeholder; as long as the checksum in hexadecimal.
pub(crate) const BLANK: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Result of the checksum test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Checksum {
    /// There is no checksum: an early version or another program wrote the file.
    Missing,
    /// The checksum does not match: the file is damaged.
    Broken,
    /// The checksum matches: every byte is as it was written.
    Intact,
}

/// The checksum, in hexadecimal, of a file whose header has zeros in place of it.
pub fn of(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    parts.iter().for_each(|part| hash.update(part));
    hexadecimal(&hash.finalize())
}

/// Position of the checksum in a header.
pub fn place(header: &[u8]) -> Option<Range<usize>> {
    // This pattern cannot occur inside a JSON string, where quotes are escaped.
    let before = format!("\"{KEY}\":\"");
    let start = header.windows(before.len()).position(|w| w == before.as_bytes())? + before.len();
    let range = start..start + BLANK.len();
    (header.get(range.end) == Some(&b'"')).then_some(range)
}

/// Incremental test of a file that is read piece by piece.
#[derive(Debug)]
pub(crate) struct Check {
    hash: Sha256,
    /// The checksum stored in the file, if there is one.
    stands: Option<Vec<u8>>,
}

impl Check {
    /// Starts with the length of the header and the header itself.
    pub(crate) fn begin(length: u64, header: &[u8]) -> Self {
        let mut hash = Sha256::new();
        hash.update(length.to_le_bytes());
        let Some(place) = place(header) else { return Self { hash, stands: None } };
        hash.update(&header[..place.start]);
        hash.update(BLANK);
        hash.update(&header[place.end..]);
        Self { hash, stands: Some(header[place].to_vec()) }
    }

    /// Adds the next bytes of the file.
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        if self.stands.is_some() {
            self.hash.update(bytes);
        }
    }

    /// The result after the last byte.
    pub(crate) fn end(self) -> Checksum {
        match self.stands {
            None => Checksum::Missing,
            Some(sum) if sum == hexadecimal(&self.hash.finalize()).as_bytes() => Checksum::Intact,
            Some(_) => Checksum::Broken,
        }
    }
}
