//! Conversion of one image to network input, in training and prediction alike.
//!
//! Both use [`prepare`], so an image gives the same pixels as part of a data set and for a trained model.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::ImageError;
use crate::image::decode::decode;
use crate::image::resize::{Filter, Plane, Resize, resize_plane};
use crate::image::samples::MAX_FILE_BYTES;
use crate::image::white_level::WhiteLevels;

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
/// [`ImageError`] if the bytes are not a usable image.
pub fn prepare(bytes: &[u8], spec: &InputSpec) -> Result<Vec<u8>, ImageError> {
    Ok(resize_planes(&decode(bytes, spec.channels, spec.white)?.0, spec))
}

/// [`prepare`] for a file.
///
/// # Errors
/// [`ImageError`] if the file cannot be read or is not a usable image.
pub fn prepare_file(path: &Path, spec: &InputSpec) -> Result<Vec<u8>, ImageError> {
    prepare(&read_limited(path)?, spec)
}

/// Scales planes to the input size and joins them: `[channels, height, width]`.
pub(crate) fn resize_planes(planes: &[Plane], spec: &InputSpec) -> Vec<u8> {
    let mut out = Vec::with_capacity(spec.len());
    for plane in planes {
        resize_plane(plane, spec.height, spec.width, spec.resize, spec.filter, &mut out);
    }
    out
}

/// Reads a file of limited size.
pub(crate) fn read_limited(path: &Path) -> Result<Vec<u8>, ImageError> {
    let file = File::open(path).map_err(|e| ImageError::Read(e.to_string()))?;
    read_at_most(file)
}

/// Reads to the end; an error for more than [`MAX_FILE_BYTES`] bytes.
pub(crate) fn read_at_most(source: impl Read) -> Result<Vec<u8>, ImageError> {
    let mut bytes = Vec::new();
    let read = source.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(|e| ImageError::Read(e.to_string()))?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(ImageError::TooLarge(format!("the file has more than {} MiB", MAX_FILE_BYTES >> 20)));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_end_is_refused() {
        let endless = std::io::repeat(7);
        assert!(matches!(read_at_most(endless), Err(ImageError::TooLarge(_))));
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
