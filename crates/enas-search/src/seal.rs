//! A checksum over all of a safetensors file, kept among the file's own lines of text.

use std::ops::Range;

use sha2::{Digest, Sha256};

/// The name of the line that holds the checksum.
pub(crate) const KEY: &str = "sha256";
/// What stands there while the checksum is computed. As long as the checksum.
pub(crate) const BLANK: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// What a file's checksum says about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seal {
    /// There is none: an earlier version wrote the file, or another program.
    Missing,
    /// It is not that of the content: the file is damaged.
    Broken,
    /// Every byte is as it was written.
    Intact,
}

/// The checksum, in hexadecimal, of a file whose header has [`BLANK`] in its place.
pub(crate) fn of(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    parts.iter().for_each(|part| hash.update(part));
    hexadecimal(hash)
}

fn hexadecimal(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Where the checksum stands in a header.
pub(crate) fn place(header: &[u8]) -> Option<Range<usize>> {
    // No text in the header holds this: quotes inside a text are escaped.
    let before = format!("\"{KEY}\":\"");
    let start = header.windows(before.len()).position(|w| w == before.as_bytes())? + before.len();
    let range = start..start + BLANK.len();
    (header.get(range.end) == Some(&b'"')).then_some(range)
}

/// The check of a file that is read piece by piece.
#[derive(Debug)]
pub(crate) struct Check {
    hash: Sha256,
    /// The checksum that stands in the file, if one does.
    stands: Option<Vec<u8>>,
}

impl Check {
    /// After the number that says how long the header is, and the header.
    pub(crate) fn begin(length: u64, header: &[u8]) -> Self {
        let mut hash = Sha256::new();
        hash.update(length.to_le_bytes());
        let Some(place) = place(header) else { return Self { hash, stands: None } };
        hash.update(&header[..place.start]);
        hash.update(BLANK);
        hash.update(&header[place.end..]);
        Self { hash, stands: Some(header[place].to_vec()) }
    }

    /// The next bytes of the file.
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        if self.stands.is_some() {
            self.hash.update(bytes);
        }
    }

    /// After the last byte.
    pub(crate) fn end(self) -> Seal {
        match self.stands {
            None => Seal::Missing,
            Some(sum) if sum == hexadecimal(self.hash).as_bytes() => Seal::Intact,
            Some(_) => Seal::Broken,
        }
    }
}
