//! The errors of this crate. Every message names the file and the remedy.

use std::path::{Path, PathBuf};

use enas_data::visible;

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file exists already. A usage error.
    #[error("{path} exists already; --force replaces it, --out writes elsewhere", path = visible(.path))]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The path cannot be the target of an export. A usage error.
    #[error("{path} {problem}", path = visible(.path))]
    Target {
        /// The path.
        path: PathBuf,
        /// What is wrong with it and what to do.
        problem: &'static str,
    },
    /// The operating system reported an error.
    #[error("{action} {path}: {source}", path = visible(.path))]
    Io {
        /// The failed action, such as `cannot write`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The independent runtime rejects the file.
    #[error("{path} is not a graph that another runtime can run: {problem}", path = visible(.path))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The message of the runtime.
        problem: String,
    },
    /// The independent runtime computes something else.
    #[error(
        "{path}: the exported graph differs from the network by {difference:e} in {output} (image {image}, \
         class {class}); up to {tolerance:e} is allowed, so nothing was exported. --tolerance allows a larger difference, where it does no harm",
        path = visible(.path)
    )]
    Differs {
        /// The file.
        path: PathBuf,
        /// `logits` or `probabilities`.
        output: &'static str,
        /// Index of the image, from 0.
        image: usize,
        /// Index of the class, from 0.
        class: usize,
        /// The absolute difference of the two values.
        difference: f32,
        /// The tolerated difference.
        tolerance: f32,
    },
    /// The network computes infinite or NaN logits.
    #[error("the network gives {value} for image {image}: its training diverged, train again")]
    NotFinite {
        /// The logit.
        value: f32,
        /// Index of the image, from 0.
        image: usize,
    },
    /// An error of the network.
    #[error(transparent)]
    Child(#[from] enas_child::Error),
    /// An error of candle.
    #[error("tensors: {0}")]
    Tensors(#[from] candle_core::Error),
}

impl Error {
    /// The same error with the path that the user asked for, instead of that of a temporary file.
    pub(crate) fn about(mut self, asked: &Path) -> Self {
        if let Self::Io { path, .. } | Self::Unreadable { path, .. } | Self::Differs { path, .. } = &mut self
        {
            asked.clone_into(path);
        }
        self
    }

    /// Whether the request caused the error (wrong arguments or paths) rather than the work itself.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Exists { .. } | Self::Target { .. })
    }
}
