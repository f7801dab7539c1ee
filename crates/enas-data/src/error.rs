//! Errors of data. Every message says what to do.

use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};

use crate::visible::visible;

/// Why data could not be loaded or served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting is out of range.
    #[error("data.{key} = {value} is not allowed: it must be {allowed}")]
    Config {
        /// The key below `data`.
        key: String,
        /// The value given.
        value: String,
        /// What is allowed.
        allowed: String,
    },
    /// The images cannot be divided for a cross-validation.
    #[error("{folds} folds: {problem}")]
    Folds {
        /// The number of folds asked for.
        folds: usize,
        /// What is wrong and what to do.
        problem: String,
    },
    /// There is nothing at the path.
    #[error("no data at {}: there is no such file or folder", visible(path))]
    Missing {
        /// The path.
        path: PathBuf,
    },
    /// The path is a file that is not a zip archive.
    #[error("{} is neither a folder nor a .zip archive{advice}", visible(path))]
    NotFolderOrZip {
        /// The file.
        path: PathBuf,
        /// What to do instead, as the end of a sentence; may be empty.
        advice: &'static str,
    },
    /// The operating system refused to read something.
    #[error("cannot read {}: {source}", visible(path))]
    Io {
        /// The path.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A zip archive is damaged.
    #[error("{} is not a readable zip archive: {source}", visible(path))]
    Zip {
        /// The archive.
        path: PathBuf,
        /// The error of the zip reader.
        source: zip::result::ZipError,
    },
    /// A zip archive is empty or its end is missing.
    #[error("{} is not a complete zip; download or copy it again", visible(path))]
    ZipIncomplete {
        /// The archive.
        path: PathBuf,
    },
    /// A zip archive is intact but unsafe or unsupported.
    #[error("zip archive {} is refused: {}", visible(path), visible(reason))]
    ZipRefused {
        /// The archive.
        path: PathBuf,
        /// What is wrong, with the name of the entry.
        reason: String,
    },
    /// The folders do not have a supported layout.
    #[error("{} is not laid out as a data set: {}", visible(path), visible(problem))]
    Layout {
        /// The root of the data.
        path: PathBuf,
        /// What was found and what is expected.
        problem: String,
    },
    /// A class has no training image.
    #[error("class {class:?} has no usable image in {}{}", visible(location), visible(detail))]
    EmptyClass {
        /// The class.
        class: String,
        /// Where images were searched for.
        location: String,
        /// How many files were found and skipped there, as half a sentence; may be empty.
        detail: String,
    },
    /// A split has no image.
    #[error("the {split} split of {} has no image: {detail}", visible(path))]
    EmptySplit {
        /// `train`, `valid` or `test`.
        split: &'static str,
        /// The root of the data.
        path: PathBuf,
        /// The cause.
        detail: String,
    },
    /// The validation or test split has classes that the training split lacks, so they cannot be learnt.
    #[error("{split} of {} has classes that {reference} lacks: {}", visible(path), visible(&classes.join(", ")))]
    UnknownClasses {
        /// The split with the additional classes.
        split: String,
        /// What the classes were compared with.
        reference: &'static str,
        /// The root of the data.
        path: PathBuf,
        /// Names of the additional classes.
        classes: Vec<String>,
    },
    /// An image is unreadable, and `strict` forbids skipping it.
    #[error(
        "cannot use {}: {reason} (data.strict = false would skip such files with a warning)",
        visible(path)
    )]
    Strict {
        /// The image.
        path: String,
        /// Why it cannot be used.
        reason: String,
    },
    /// An image that is read again for each batch has changed.
    #[error(
        "cannot use {} any more: {reason}; put the image back, or give the run enough --memory to keep it",
        visible(path)
    )]
    Lost {
        /// The image.
        path: PathBuf,
        /// What has changed.
        reason: String,
    },
    /// A stored split does not match the present files.
    #[error("the stored split does not fit {}: {}", visible(path), visible(problem))]
    StoredSplit {
        /// The root of the data.
        path: PathBuf,
        /// What differs.
        problem: String,
    },
    /// A batch of the requested size cannot be made.
    #[error("cannot make batches of {batch_size} from the {n} images of the {split} split: {remedy}")]
    BatchSize {
        /// The batch size asked for.
        batch_size: usize,
        /// The number of images.
        n: usize,
        /// `train`, `valid` or `test`.
        split: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// An image could not be written.
    #[error("cannot write {}: {reason}", visible(path))]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        reason: String,
    },
}

impl Error {
    /// An invalid setting.
    pub(crate) fn config(key: &str, value: impl Display, allowed: &str) -> Self {
        Self::Config { key: key.into(), value: value.to_string(), allowed: allowed.into() }
    }

    /// A read error at `path`.
    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.into(), source }
    }

    /// Whether the configuration, rather than the data, is at fault.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Config { .. } | Self::BatchSize { .. } | Self::Folds { .. })
    }
}

/// Why an image could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// The bytes could not be read.
    #[error("cannot be read: {0}")]
    Read(String),
    /// The file is empty.
    #[error("the file is empty")]
    Empty,
    /// The format is not supported.
    #[error("not a PNG, JPEG, BMP, GIF, WebP or TIFF image")]
    UnknownFormat,
    /// The image would need too much memory.
    #[error("too large: {0}")]
    TooLarge(String),
    /// The image is damaged or uses an unsupported feature.
    #[error("cannot be decoded: {0}")]
    Decode(String),
}

impl ImageError {
    /// The error of a decoder, in one line.
    pub(crate) fn decode(error: impl Display) -> Self {
        let text = error.to_string();
        Self::Decode(text.split_whitespace().collect::<Vec<_>>().join(" "))
    }
}

/// The error for a TIFF file whose compression the decoder does not know, from the decoder's words.
pub(crate) fn unsupported_compression(said: &str) -> Option<ImageError> {
    let (_, rest) = said.split_once("compression method ")?;
    let method = rest.split(" is unsupported").next()?.trim();
    Some(ImageError::Decode(format!(
        "its TIFF compression, {method}, is not read; save it with LZW or Deflate, without compression, or as PNG"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compression_that_is_not_read_is_named_with_the_remedy() {
        let said = "The decoder for Tiff does not support the format features compression method ZSTD is unsupported";
        let error = unsupported_compression(said).unwrap().to_string();
        assert!(error.contains("its TIFF compression, ZSTD, is not read; save it with"), "{error}");
        assert!(unsupported_compression("bad marker").is_none());
    }

    #[test]
    fn what_a_decoder_says_becomes_one_line() {
        let error = ImageError::decode("bad marker\n  at byte 7\r\n");
        assert_eq!(error.to_string(), "cannot be decoded: bad marker at byte 7");
    }
}
