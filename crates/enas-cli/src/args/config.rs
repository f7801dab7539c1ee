//! The arguments of `enas config`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::Settings;

/// Show, check and list settings
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  enas config presets
  enas config show --preset mnist --set run.epochs=20 > my.toml
  enas config check my.toml")]
pub(crate) enum Config {
    Show(ConfigShow),
    Check(ConfigCheck),
    /// List the presets
    Presets,
}

/// Print the effective settings after preset or file, --set and flags, as TOML
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  enas config show
  enas config show --for train --preset mnist --set run.epochs=20 > my.toml")]
pub(crate) struct ConfigShow {
    /// Which command the settings are for
    #[arg(long = "for", value_enum, value_name = "COMMAND", default_value_t = Job::Search)]
    pub(crate) job: Job,
    #[command(flatten)]
    pub(crate) settings: Settings,
}

/// Check a file of settings without running anything
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  enas config check my.toml
  enas config check my.toml --set child.filters=16")]
pub(crate) struct ConfigCheck {
    /// The TOML file
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Which command the settings are for [default: seen from the file]
    #[arg(long = "for", value_enum, value_name = "COMMAND")]
    pub(crate) job: Option<Job>,
    /// One setting on top of the file; repeatable
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
}

/// The command that settings are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Job {
    Search,
    Train,
}

impl Job {
    /// The name of the command.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Search => "search",
            Self::Train => "train",
        }
    }
}
