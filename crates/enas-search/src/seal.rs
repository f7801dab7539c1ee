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

/// Checks a whole file, whose header is `header_len` bytes long and follows eight bytes of length.
pub(crate) fn check(bytes: &[u8], header_len: usize) -> Seal {
    let Some(header) = bytes.get(8..).and_then(|rest| rest.get(..header_len)) else { return Seal::Broken };
    let Some(place) = place(header) else { return Seal::Missing };
    let (start, end) = (8 + place.start, 8 + place.end);
    let sum = of(&[&bytes[..start], BLANK.as_bytes(), &bytes[end..]]);
    if sum.as_bytes() == &bytes[start..end] { Seal::Intact } else { Seal::Broken }
}
