//! Conversion of one image to network input, in training and prediction alike.
//!
//! Both use [`prepare`], so an image gives the same pixels as part of a data set and for a trained model.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::decode::{MAX_FILE_BYTES, decode};
use crate::error::PictureError;
use crate::resize::{Filter, Plane, Resize, fit};
use crate::white::WhiteLevels;

/// The network input: everything that [`prepare`] needs. Stored in model files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputSpec {
    /// Number of channels: 1 (grey) or 3 (red, green, blue).
    pub channels: usize,
    /// Height in pixels.
    pub height: usize,
    /// Width in pixels.
    pub width: usize,
    /// How an image of another aspect ratio is fitted.
    pub resize: Resize,
    /// The interpolation for size changes.
    pub filter: Filter,
    /// Sample values of white in images of more than 8 bits per sample.
    #[serde(default)]
    pub white: WhiteLevels,
}

impl InputSpec {
    /// Values of one prepared image, `channels·height·width`.
    pub fn len(&self) -> usize {
        self.channels * self.height * self.width
    }

    /// Whether the input has no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Decodes an image and converts it to the input size: `[channels, height, width]`, 0 to 255.
///
/// # Errors
/// [`PictureError`] if the bytes are not a usable image.
pub fn prepare(bytes: &[u8], spec: &InputSpec) -> Result<Vec<u8>, PictureError> {
    Ok(conform(&decode(bytes, spec.channels, spec.white)?.0, spec))
}

/// [`prepare`] for a file.
///
/// # Errors
/// [`PictureError`] if the file cannot be read or is not a usable image.
pub fn prepare_file(path: &Path, spec: &InputSpec) -> Result<Vec<u8>, PictureError> {
    prepare(&read_limited(path)?, spec)
}

/// Whether the name is that of an image: the extension is png, jpg, jpeg, bmp, gif, webp, tif or tiff (in any case),
/// and it does not start with a dot.
pub fn is_picture_name(name: &str) -> bool {
    const EXTENSIONS: [&str; 8] = ["png", "jpg", "jpeg", "bmp", "gif", "webp", "tif", "tiff"];
    let file = name.rsplit('/').next().unwrap_or(name);
    let extension = file.rsplit_once('.').map(|(_, e)| e.to_ascii_lowercase());
    !file.starts_with('.') && extension.is_some_and(|e| EXTENSIONS.contains(&e.as_str()))
}

/// Scales planes to the input size and joins them: `[channels, height, width]`.
pub(crate) fn conform(planes: &[Plane], spec: &InputSpec) -> Vec<u8> {
    let mut out = Vec::with_capacity(spec.len());
    for plane in planes {
        fit(plane, spec.height, spec.width, spec.resize, spec.filter, &mut out);
    }
    out
}

/// Reads a file of limited size.
pub(crate) fn read_limited(path: &Path) -> Result<Vec<u8>, PictureError> {
    let file = File::open(path).map_err(|e| PictureError::Read(e.to_string()))?;
    read_at_most(file)
}

/// Reads to the end; an error for more than [`MAX_FILE_BYTES`] bytes.
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
