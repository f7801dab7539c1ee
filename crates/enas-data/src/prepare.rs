//! One picture to network input, for training and for prediction alike.
//!
//! Both routes call [`prepare`], so a picture gives the same pixels whether it was part of the data set or is
//! shown to a finished model.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::decode::{MAX_FILE_BYTES, decode};
use crate::error::PictureError;
use crate::resize::{Filter, Plane, Resize, fit};
use crate::white::WhiteLevels;

/// The input a network expects: all that [`prepare`] needs to know. Stored in model files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputSpec {
    /// 1 for grey, 3 for red, green, blue.
    pub channels: usize,
    /// Rows of pixels.
    pub height: usize,
    /// Pixels in a row.
    pub width: usize,
    /// How another aspect ratio fits.
    pub resize: Resize,
    /// How pixels are interpolated.
    pub filter: Filter,
    /// Which sample is white in pictures of more than 8 bits per sample.
    #[serde(default)]
    pub white: WhiteLevels,
}

impl InputSpec {
    /// Values of one prepared picture.
    pub fn len(&self) -> usize {
        self.channels * self.height * self.width
    }

    /// Whether the input has no values at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Decodes a picture and makes it fit the input: `[channels, height, width]`, 0 to 255.
///
/// # Errors
/// [`PictureError`] when the bytes are no readable picture.
pub fn prepare(bytes: &[u8], spec: &InputSpec) -> Result<Vec<u8>, PictureError> {
    Ok(conform(&decode(bytes, spec.channels, spec.white)?.0, spec))
}

/// [`prepare`] for a file.
///
/// # Errors
/// [`PictureError`] when the file cannot be read or is no readable picture.
pub fn prepare_file(path: &Path, spec: &InputSpec) -> Result<Vec<u8>, PictureError> {
    prepare(&read_limited(path)?, spec)
}

/// Whether the name ends like that of a picture (png, jpg, jpeg, bmp, gif, webp, tif, tiff, in any case) and
/// does not start with a dot.
pub fn is_picture_name(name: &str) -> bool {
    const EXTENSIONS: [&str; 8] = ["png", "jpg", "jpeg", "bmp", "gif", "webp", "tif", "tiff"];
    let file = name.rsplit('/').next().unwrap_or(name);
    let extension = file.rsplit_once('.').map(|(_, e)| e.to_ascii_lowercase());
    !file.starts_with('.') && extension.is_some_and(|e| EXTENSIONS.contains(&e.as_str()))
}

/// Scales planes to the input size and joins them.
pub(crate) fn conform(planes: &[Plane], spec: &InputSpec) -> Vec<u8> {
    let mut out = Vec::with_capacity(spec.len());
    for plane in planes {
        fit(plane, spec.height, spec.width, spec.resize, spec.filter, &mut out);
    }
    out
}

/// All bytes of a file that is not absurdly large.
pub(crate) fn read_limited(path: &Path) -> Result<Vec<u8>, PictureError> {
    let file = File::open(path).map_err(|e| PictureError::Read(e.to_string()))?;
    read_at_most(file)
}

/// Reads to the end, or refuses once more than [`MAX_FILE_BYTES`] have come.
pub(crate) fn read_at_most(source: impl Read) -> Result<Vec<u8>, PictureError> {
    let mut bytes = Vec::new();
    let read = source.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(|e| PictureError::Read(e.to_string()))?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(PictureError::TooLarge(format!("the file has more than {} MiB", MAX_FILE_BYTES >> 20)));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn picture_names_are_told_by_their_extension_in_any_case() {
        for name in ["a.png", "b/c.JPG", "d.e.Jpeg", "x.TIF", "x.tiff", "x.webp", "x.gif", "x.bmp"] {
            assert!(is_picture_name(name), "{name}");
        }
        for name in ["a.txt", "png", ".a.png", "b/.DS_Store", "c/._x.jpg", "a.png.zip", "a/b.png/c"] {
            assert!(!is_picture_name(name), "{name}");
        }
    }

    #[test]
    fn a_file_without_end_is_refused() {
        let endless = std::io::repeat(7);
        assert!(matches!(read_at_most(endless), Err(PictureError::TooLarge(_))));
    }

    #[test]
    fn a_missing_file_says_so() {
        let spec = InputSpec {
            channels: 1,
            height: 2,
            width: 2,
            resize: Resize::Pad,
            filter: Filter::Smooth,
            white: WhiteLevels::default(),
        };
        let error = prepare_file(Path::new("/nowhere/x.png"), &spec).unwrap_err().to_string();
        assert!(error.contains("No such file"), "{error}");
    }
}
