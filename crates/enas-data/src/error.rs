//! Everything that can be wrong with data, said so that the reader can act on it.

use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};

use crate::left_out::Reason;
use crate::prepare::is_picture_name;
use crate::source::kind_of_other;

/// Why data could not be loaded or served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A configuration value is not allowed.
    #[error("data.{key} = {value} is not allowed: it must be {allowed}")]
    Config {
        /// The key below `data`.
        key: String,
        /// The value that was given.
        value: String,
        /// What would be accepted.
        allowed: String,
    },
    /// The images cannot be divided for a cross-validation.
    #[error("{folds} folds: {problem}")]
    Folds {
        /// How many were asked for.
        folds: usize,
        /// What is the matter and what to do about it.
        problem: String,
    },
    /// There is nothing at the path.
    #[error("no data at {}: there is no such file or folder", path.display())]
    Missing {
        /// Where data was looked for.
        path: PathBuf,
    },
    /// The path is a file that is not a zip archive.
    #[error("{} is neither a folder nor a .zip archive{}", path.display(), instead_of(path))]
    NotFolderOrZip {
        /// The file.
        path: PathBuf,
    },
    /// The operating system refused to read something.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// What was being read.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// A zip archive is damaged.
    #[error("{} is not a readable zip archive: {source}", path.display())]
    Zip {
        /// The archive.
        path: PathBuf,
        /// The zip reader's reason.
        source: zip::result::ZipError,
    },
    /// A zip archive is whole but must not or cannot be used.
    #[error("zip archive {} is refused: {reason}", path.display())]
    ZipRefused {
        /// The archive.
        path: PathBuf,
        /// What is wrong, with the name of the entry.
        reason: String,
    },
    /// The folders are not arranged as promised.
    #[error("{} is not laid out as a data set: {problem}", path.display())]
    Layout {
        /// The root of the data.
        path: PathBuf,
        /// What was found and what is expected.
        problem: String,
    },
    /// A class has no picture to train on.
    #[error("class {class:?} has no usable picture in {location}{detail}")]
    EmptyClass {
        /// The class.
        class: String,
        /// Where pictures were looked for.
        location: String,
        /// How many files were found and skipped there, as a half sentence; may be empty.
        detail: String,
    },
    /// A split has no picture.
    #[error("the {split} split of {} has no picture: {detail}", path.display())]
    EmptySplit {
        /// `train`, `valid` or `test`.
        split: &'static str,
        /// The root of the data.
        path: PathBuf,
        /// How that came about.
        detail: String,
    },
    /// valid or test holds classes that train lacks, so that nothing could ever learn them.
    #[error("{split} of {} has classes that {reference} lacks: {}", path.display(), classes.join(", "))]
    UnknownClasses {
        /// The split with the surplus.
        split: String,
        /// What the classes were compared with.
        reference: &'static str,
        /// The root of the data.
        path: PathBuf,
        /// The names of the surplus classes.
        classes: Vec<String>,
    },
    /// A picture is unreadable and `strict` forbids to skip it.
    #[error("cannot use {path}: {reason} (data.strict = false would skip such files with a warning)")]
    Strict {
        /// The picture.
        path: String,
        /// Why it cannot be used.
        reason: String,
    },
    /// A picture that is read again for each batch is no longer what it was.
    #[error(
        "cannot use {} any more: {reason}; put the picture back, or give the run so much --memory that it need not read it again",
        path.display()
    )]
    Lost {
        /// The picture.
        path: PathBuf,
        /// What became of it.
        reason: String,
    },
    /// A stored split does not fit the files that are there now.
    #[error("the stored split does not fit {}: {problem}", path.display())]
    StoredSplit {
        /// The root of the data.
        path: PathBuf,
        /// What differs.
        problem: String,
    },
    /// A batch of the requested size cannot be made.
    #[error("cannot make batches of {batch_size} from the {n} pictures of the {split} split: {remedy}")]
    BatchSize {
        /// The size asked for.
        batch_size: usize,
        /// The pictures there are.
        n: usize,
        /// `train`, `valid` or `test`.
        split: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// Writing a picture failed.
    #[error("cannot write {}: {reason}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

impl Error {
    /// A refused configuration value.
    pub(crate) fn config(key: &str, value: impl Display, allowed: &str) -> Self {
        Self::Config { key: key.into(), value: value.to_string(), allowed: allowed.into() }
    }

    /// A read error at `path`.
    pub(crate) fn io(path: &Path, source: io::Error) -> Self {
        Self::Io { path: path.into(), source }
    }

    /// Whether the user's configuration rather than the data is at fault.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Config { .. } | Self::BatchSize { .. } | Self::Folds { .. })
    }
}

/// What to do where a file is given that is not a data set, as the end of a sentence.
fn instead_of(path: &Path) -> &'static str {
    let name = path.to_string_lossy();
    match kind_of_other(&name) {
        Some(Reason::Archive) => "; unpack it first",
        _ if is_picture_name(&name) => "; give the folder that holds the class folders",
        _ => "",
    }
}

/// Why one picture could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PictureError {
    /// The bytes could not be read.
    #[error("cannot be read: {0}")]
    Read(String),
    /// The file has no bytes.
    #[error("the file is empty")]
    Empty,
    /// The bytes are no picture of a known kind.
    #[error("not a PNG, JPEG, BMP, GIF, WebP or TIFF picture")]
    UnknownFormat,
    /// The picture would need more memory than one picture should.
    #[error("too large: {0}")]
    TooLarge(String),
    /// The picture is damaged or uses something the decoder does not know.
    #[error("cannot be decoded: {0}")]
    Decode(String),
}
