//! What can go wrong. Every message names the file and the remedy.

use std::path::{Path, PathBuf};

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file is there already. Bad usage.
    #[error("{path} exists already; --force replaces it, --out writes elsewhere", path = .path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The file to write is not one. Bad usage.
    #[error("{path} {problem}", path = .path.display())]
    Target {
        /// The path.
        path: PathBuf,
        /// What is the matter and what to do about it.
        problem: &'static str,
    },
    /// The operating system refused.
    #[error("{action} {path}: {source}", path = .path.display())]
    Io {
        /// What was being done, such as `cannot write`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The independent runtime refuses the file.
    #[error("{path} is no graph that another runtime can run: {problem}", path = .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the runtime said.
        problem: String,
    },
    /// The independent runtime computes something else.
    #[error(
        "{path}: the exported graph differs from the network by {difference:e} in {output} (picture {picture}, \
         class {class}); up to {tolerance:e} is allowed, so nothing was exported. If a difference \
         of that size does no harm where the file is used, --tolerance allows more",
        path = .path.display()
    )]
    Differs {
        /// The file.
        path: PathBuf,
        /// `logits` or `probabilities`.
        output: &'static str,
        /// Number of the picture, from 0.
        picture: usize,
        /// Number of the class, from 0.
        class: usize,
        /// How far the two are apart.
        difference: f32,
        /// How far they may be apart.
        tolerance: f32,
    },
    /// The network itself gives no numbers.
    #[error("the network gives {value} for picture {picture}: its training diverged, train again")]
    NotFinite {
        /// The logit.
        value: f32,
        /// Number of the picture, from 0.
        picture: usize,
    },
    /// The network.
    #[error(transparent)]
    Child(#[from] enas_child::Error),
    /// candle refused an operation on tensors.
    #[error("tensors: {0}")]
    Tensors(#[from] candle_core::Error),
}

impl Error {
    /// The same error about the file that was asked for, where work went on under another name.
    pub(crate) fn about(mut self, asked: &Path) -> Self {
        if let Self::Io { path, .. } | Self::Unreadable { path, .. } | Self::Differs { path, .. } = &mut self
        {
            asked.clone_into(path);
        }
        self
    }

    /// Whether the mistake lies in what was asked and not in the work itself.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Exists { .. } | Self::Target { .. })
    }
}
