//! Identity of the image files of a data set.

use serde::{Deserialize, Serialize};

/// Identity of a data set's image files, independent of the folder or archive that holds them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fingerprint {
    /// Number of image files, including unusable ones.
    pub files: usize,
    /// SHA-256, in hexadecimal, over each file's name, a zero byte and the SHA-256 of its bytes, in byte order of the
    /// names. For built-in images the pixels count as bytes.
    pub sha256: String,
}

/// An image file at the time it was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageFile {
    /// Name relative to the root of the data.
    pub name: String,
    /// The first 64 bits of the SHA-256 of its bytes, in hexadecimal; enough to detect changes.
    pub digest: String,
}

impl ImageFile {
    pub(crate) fn new(name: &str, sha256: &[u8; 32]) -> Self {
        Self { name: name.to_owned(), digest: hexadecimal(&sha256[..8]) }
    }
}

/// Bytes as lower-case hexadecimal digits, two for each.
///
/// ```
/// assert_eq!(enas_data::hexadecimal(&[0, 0x1f, 0xab]), "001fab");
/// ```
pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
