//! Errors of a run. Every message names the file, the value and the remedy.

use std::path::{Path, PathBuf};

use enas_data::visible;

use crate::divergence::Divergence;
use crate::setting_change::{SettingChange, refusal};

/// The result type of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The error type of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An invalid configuration: syntax, an unknown key, or a value out of range. A usage error (exit code 2).
    #[error("{0}")]
    Config(#[from] ConfigError),
    /// The run directory cannot be used as asked: it exists, is missing, or holds something else. A usage error.
    #[error("{path}: {problem}", path = visible(.path))]
    RunDirectory {
        /// The directory.
        path: PathBuf,
        /// What is wrong and what to do.
        problem: String,
    },
    /// A file of this program is damaged or of another kind.
    #[error("{path}: {problem}", path = visible(.path))]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        problem: String,
    },
    /// An error of the operating system.
    #[error("{action} {path}: {source}", path = visible(.path))]
    Io {
        /// The failed action, such as `cannot write`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// The data do not match the request, such as images of another size than the model's.
    #[error("{0}")]
    Mismatch(String),
    /// A function for cells was used with an architecture of the macro space. A usage error.
    #[error(
        "{0} works with cells only, and this architecture is of the macro space. It can be searched for, trained, \
         measured (enas eval), used (enas predict), drawn and exported, on the CPU"
    )]
    CellsOnly(&'static str),
    /// Numbers of the run stopped being finite.
    #[error("{0}")]
    Diverged(Box<Divergence>),
    /// Settings that affect results differ from those the run was started with. A usage error.
    #[error("{run}: {}", refusal(.changes), run = visible(.run))]
    SettingsChanged {
        /// The run directory, or the file of settings in it.
        run: PathBuf,
        /// All differences that affect results.
        changes: Vec<SettingChange>,
    },
    /// The observer asked to stop. A checkpoint was written and the run can be resumed (exit code 130).
    #[error("interrupted; the state is saved in {run}", run = visible(.run))]
    Interrupted {
        /// The run directory to resume.
        run: PathBuf,
    },
    /// An error of the child network.
    #[error(transparent)]
    Child(#[from] enas_child::Error),
    /// An error of the controller.
    #[error(transparent)]
    Controller(#[from] enas_controller::Error),
    /// candle refused a tensor operation.
    #[error("tensors: {0}")]
    Tensors(#[from] candle_core::Error),
    /// An error of the images.
    #[error(transparent)]
    Data(#[from] enas_data::Error),
    /// An error of the architecture.
    #[error(transparent)]
    Arc(#[from] enas_arc::ArcError),
}

/// An invalid configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct ConfigError {
    /// The place: `FILE:LINE`, `FILE`, `preset quick` or `--set run.epochs=x`.
    pub place: String,
    /// The problem: the key, the value found and what is allowed.
    pub problem: String,
}

impl Error {
    /// An error of the operating system: `action`, such as `cannot write`, failed for the file or directory `path`.
    pub fn io(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Io { action, path: path.to_owned(), source }
    }

    /// A run directory that cannot be used as asked; `problem` says what is wrong and what to do.
    pub fn run_directory(path: &Path, problem: &str) -> Self {
        Self::RunDirectory { path: path.to_owned(), problem: problem.to_owned() }
    }

    /// Whether the request is at fault (configuration, flags, directories) rather than the work itself.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::Config(_) | Self::RunDirectory { .. } | Self::SettingsChanged { .. } | Self::CellsOnly(_)
        )
    }
}

impl From<Divergence> for Error {
    fn from(found: Divergence) -> Self {
        Self::Diverged(Box::new(found))
    }
}
