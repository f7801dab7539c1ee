//! Groups of arguments that several commands share, and the parsers of values. The other arguments of a command stand
//! next to its implementation in `commands`.

mod arcs;
mod places;
mod values;

use std::path::PathBuf;

use clap::{ArgAction, Args};
use enas_search::{MemoryLimit, TimeLimit};

pub(crate) use self::arcs::{ArcForm, ArcInput};
pub(crate) use self::places::{Images, ModelPlace, RunPlace, output_path};
pub(crate) use self::values::{
    Device, activations, cell, device, patience, seed, share, switch, time_limit, whole,
};
use self::values::{epochs, memory_limit};

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
    /// The seed of all random numbers; equal seeds give equal results
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = seed)]
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

/// When to stop, and which unfinished run to go on with.
#[derive(Clone, Debug, Args)]
pub(crate) struct Extent {
    /// Passes over the training images
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = epochs)]
    pub(crate) epochs: Option<u64>,
    /// Stop after this time, with a usable result: 90s, 30m or 2h
    #[arg(long, value_name = "DURATION", value_parser = time_limit)]
    pub(crate) time: Option<TimeLimit>,
    /// Continue an interrupted run with its own settings; only settings that change no result may differ
    #[arg(long, value_name = "DIR")]
    pub(crate) resume: Option<PathBuf>,
}
