//! What can go wrong in a run. Every message names the file, the value and the remedy.

use std::path::PathBuf;

use crate::changes::{Change, refusal};
use crate::divergence::Divergence;

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A configuration that is not valid: syntax, an unknown key, a value outside its range. Bad usage (exit 2).
    #[error("{0}")]
    Config(#[from] ConfigError),
    /// The run directory cannot be used as asked: it exists, it is missing, or it holds something else. Bad usage.
    #[error("{path}: {problem}", path = .path.display())]
    RunDirectory {
        /// The directory.
        path: PathBuf,
        /// What is the matter and what to do about it.
        problem: String,
    },
    /// A file that this crate wrote, or should have, does not read as one.
    #[error("{path}: {problem}", path = .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is the matter and what to do about it.
        problem: String,
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
    /// The data do not suit what was asked, such as pictures of another size than the model's.
    #[error("{0}")]
    Mismatch(String),
    /// What works with cells alone was asked of an architecture of the macro space. Bad usage.
    #[error(
        "{0} works with cells only, and this architecture is of the macro space; it can be searched for, trained, \
         measured (enas eval) and used (enas predict), on the CPU"
    )]
    CellsOnly(&'static str),
    /// Numbers of the run are no longer finite.
    #[error("{0}")]
    Diverged(Box<Divergence>),
    /// Settings that results depend on are not those the run was started with. Bad usage.
    #[error("{run}: {}", refusal(.changes), run = .run.display())]
    SettingsChanged {
        /// The run directory, or the file of settings in it.
        run: PathBuf,
        /// All settings that differ and matter.
        changes: Vec<Change>,
    },
    /// The observer asked to stop. The state is saved; the run can be resumed (exit 130).
    #[error("interrupted; the state is saved in {run}", run = .run.display())]
    Interrupted {
        /// The run directory to resume.
        run: PathBuf,
    },
    /// The network.
    #[error(transparent)]
    Child(#[from] enas_child::Error),
    /// The controller.
    #[error(transparent)]
    Controller(#[from] enas_controller::Error),
    /// candle refused an operation on tensors.
    #[error("tensors: {0}")]
    Tensors(#[from] candle_core::Error),
    /// The pictures.
    #[error(transparent)]
    Data(#[from] enas_data::Error),
    /// The architecture.
    #[error(transparent)]
    Arc(#[from] enas_arc::ArcError),
}

/// A configuration that is not valid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {problem}")]
pub struct ConfigError {
    /// Where: `FILE:LINE`, `FILE`, `preset quick` or `--set run.epochs=x`.
    pub place: String,
    /// What is wrong: the key, the value found, what is allowed.
    pub problem: String,
}

impl Error {
    /// Whether the mistake lies in what was asked (configuration, flags, directories) and not in the work itself.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::Config(_) | Self::RunDirectory { .. } | Self::SettingsChanged { .. } | Self::CellsOnly(_)
        )
    }
}
