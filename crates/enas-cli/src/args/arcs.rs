//! Arguments for architectures.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Check that architectures are well formed
///
/// Reads the argument, --file or stdin; a file may hold one architecture on each line. The first invalid one ends the
/// command with exit code 2 and a message that says where it is wrong and what is allowed.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  enas arc check 0 1 0 3 2 3 0 1 …
  enas arc check arcs.txt
  enas arc random --n 10 | enas arc check")]
pub(crate) struct ArcInput {
    /// The architecture: one quoted argument, separate integers or a file; - or nothing reads stdin
    #[arg(value_name = "ARC|FILE", allow_negative_numbers = true)]
    pub(crate) arc: Vec<String>,
    /// A file that holds it (text, or a run's best.arc.json)
    #[arg(long, value_name = "FILE", visible_alias = "arc-file", conflicts_with = "arc")]
    pub(crate) file: Option<PathBuf>,
    /// The directory of a finished search, training or `enas auto`: use its architecture
    #[arg(long, value_name = "DIR", conflicts_with_all = ["arc", "file"])]
    pub(crate) run: Option<PathBuf>,
}

/// How an architecture is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ArcForm {
    Ints,
    Readable,
}
