//! The command line: commands and flags with their help and checks. Their implementation is in `commands`.

mod arcs;
mod bench;
mod config;
mod places;
mod runs;
mod values;

use std::io::{self, IsTerminal};
use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand};
use enas_search::{MemoryLimit, TimeLimit};

pub(crate) use self::arcs::{Arc, ArcConvert, ArcForm, ArcInput, ArcRandom, ArcShow};
pub(crate) use self::bench::{Bench, Mode};
pub(crate) use self::config::{Config, ConfigCheck, ConfigShow, Job};
pub(crate) use self::places::{Images, ModelPlace, RunPlace};
pub(crate) use self::runs::{Augment, Eval, Predict, Search, Split, Train};
use self::values::{device, epochs, memory_limit};
pub(crate) use self::values::{time_limit, whole};
use crate::commands;
use crate::commands::data::Data;

#[cfg(feature = "export")]
use crate::commands::export::Export;

/// Searches, trains and uses small image classifiers (ENAS micro search).
#[derive(Debug, Parser)]
#[command(name = "enas", version, arg_required_else_help = true, after_help = TOP_EXAMPLES)]
#[command(max_term_width = longest_help_line())]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) shown: Shown,
}

const TOP_EXAMPLES: &str = "\
Examples:
  enas auto photos --time 2h                   from pictures to a model, in one command
  enas data check photos                       look for trouble in your pictures first
  enas search                                  find an architecture for the built-in digits
  enas train --run runs/digits-search-1        train the architecture that was found
  enas predict --run runs/digits-train-1 photo.png
  enas runs                                    compare what all runs came to

Results go to stdout, progress and messages to stderr.
Exit codes: 0 done, 1 the work failed, 2 bad usage or configuration, 130 or 143 interrupted (state saved).";

/// The longest line of a help text, in columns: at most 100 on a terminal. Zero means that there is no such bound, for
/// programs that read the text and set `COLUMNS`.
fn longest_help_line() -> usize {
    if io::stdout().is_terminal() { 100 } else { 0 }
}

/// Flags about what is shown, for every command.
#[derive(Clone, Copy, Debug, Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct Shown {
    /// Print results as JSON and nothing else on stdout
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Show no progress and no warnings
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Log more; twice for details (RUST_LOG refines)
    #[arg(long, short, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Auto(commands::auto::Auto),
    Search(Search),
    Train(Train),
    Eval(Eval),
    Predict(Predict),
    #[cfg(feature = "export")]
    Export(Export),
    #[command(subcommand)]
    Arc(Arc),
    Augment(Augment),
    #[command(subcommand)]
    Data(Data),
    #[command(subcommand)]
    Config(Config),
    Bench(Bench),
    Completions(commands::shell::Completions),
    Man(commands::shell::Man),
    Prove(crate::commands::prove::Args),
    Report(crate::commands::report::Args),
    Runs(crate::commands::runs::Args),
    Study(crate::commands::study::Args),
    #[cfg(feature = "watch")]
    Watch(crate::commands::watch::Args),
}

/// Where settings come from: a preset or a file, then `--set`, then flags with a name of their own.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Settings")]
pub(crate) struct Settings {
    /// A named set of settings (see `enas config presets`) [default: quick for the digits, else folder]
    #[arg(long, value_name = "NAME")]
    pub(crate) preset: Option<String>,
    /// A TOML file of all settings (`enas config show` writes one)
    #[arg(long, value_name = "FILE", conflicts_with = "preset")]
    pub(crate) config: Option<PathBuf>,
    /// One setting, as in child.filters=16; repeatable, wins over the file
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// The number all randomness starts from; equal seeds give equal results
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) seed: Option<u64>,
}

impl Settings {
    /// Whether no setting is given.
    pub(crate) fn is_empty(&self) -> bool {
        let Self { preset, config, set, seed } = self;
        preset.is_none() && config.is_none() && set.is_empty() && seed.is_none()
    }
}

/// What the work runs on.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Machine")]
pub(crate) struct Machine {
    /// Threads to compute with [default: all cores]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = whole(1, 1024))]
    pub(crate) threads: Option<usize>,
    /// cpu, cuda or cuda:N [default: cuda if built in and present, else cpu]
    #[arg(long, value_name = "DEVICE", value_parser = device)]
    pub(crate) device: Option<Device>,
}

/// How much memory the work may take.
#[derive(Clone, Copy, Debug, Args)]
#[command(next_help_heading = "Machine")]
pub(crate) struct Memory {
    /// Memory to take at most, as in 512M or 4G; results stay the same [default: 4/5 of the machine's]
    #[arg(long, value_name = "SIZE", value_parser = memory_limit)]
    pub(crate) memory: Option<MemoryLimit>,
}

/// Where the work is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Device {
    Cpu,
    /// The NVIDIA GPU with this number.
    #[cfg_attr(not(feature = "cuda"), expect(dead_code, reason = "refused while parsing"))]
    Cuda(usize),
}

/// When to stop, and which unfinished run to go on with.
#[derive(Clone, Debug, Args)]
pub(crate) struct Extent {
    /// Passes over the training pictures
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = epochs)]
    pub(crate) epochs: Option<u64>,
    /// Stop after this long, saved and usable: 90s, 30m or 2h
    #[arg(long, value_name = "DURATION", value_parser = time_limit)]
    pub(crate) time: Option<TimeLimit>,
    /// Go on with an interrupted run, with its own settings; others are taken if no result depends on them
    #[arg(long, value_name = "DIR")]
    pub(crate) resume: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_description_of_the_arguments_is_consistent() {
        Cli::command().debug_assert();
    }
}
