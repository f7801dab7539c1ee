//! The arguments of `enas arc`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::Settings;
use super::values::whole;
use crate::commands::draw::ArcDraw;

/// Check, explain, draw, convert and make up architectures
#[derive(Debug, Subcommand)]
#[command(after_help = "\
An architecture is a normal and a reduction cell. As integers it is 4 per node (input, operation, input, operation),
first the normal cell, then the reduction cell: 40 for 5 nodes. Operations: 0 sep-conv-3x3, 1 sep-conv-5x5,
2 avg-pool-3x3, 3 max-pool-3x3, 4 identity. Architectures of the macro space are taken as well, in the form
\"1 = conv-3x3(0); 2 = max-pool-3x3(1) + 0\": each layer reads the one before, and + adds the output of an earlier one.

Examples:
  enas arc random | enas arc show
  enas arc check \"0 1 0 3 2 3 0 1 …\"
  enas arc draw --run runs/digits-search-1
  enas arc convert runs/digits-search-1/best.arc.json")]
pub(crate) enum Arc {
    Check(ArcInput),
    Show(ArcShow),
    Draw(ArcDraw),
    Random(ArcRandom),
    Convert(ArcConvert),
}

/// Check that architectures are well formed
///
/// Reads the argument, --file or stdin; a file may hold one architecture on each line. The first that is wrong ends
/// with exit code 2 and says where it is wrong and what is allowed there.
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
    /// A finished search, training or `enas auto`, whose architecture is meant
    #[arg(long, value_name = "DIR", conflicts_with_all = ["arc", "file"])]
    pub(crate) run: Option<PathBuf>,
}

/// Explain an architecture: readable cells or layers, loose ends, size and cost
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  enas arc show --run runs/digits-search-1
  enas arc show runs/digits-search-1/best.arc.json
  enas arc random | enas arc show --preset cifar10 --set child.filters=36

Parameters and multiply-adds are those of the final network, the one that `enas train` builds. With a run, or a file in
its directory, it is the network for the run's images; else that of the settings and --classes.")]
pub(crate) struct ArcShow {
    #[command(flatten)]
    pub(crate) input: ArcInput,
    /// Classes to tell apart, for the size of the classifier [default: those of the run, else 10]
    #[arg(long, value_name = "N", value_parser = whole(2, 1_000_000))]
    pub(crate) classes: Option<usize>,
    #[command(flatten)]
    pub(crate) settings: Settings,
}

/// Make up architectures by lot, all equally likely
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  enas arc random
  enas arc random --n 100 --nodes 4 --seed 7
  enas arc random --layers 12 | enas arc show")]
pub(crate) struct ArcRandom {
    /// How many
    #[arg(long, value_name = "N", default_value = "1", value_parser = whole(1, 1_000_000))]
    pub(crate) n: usize,
    /// Nodes per cell
    #[arg(long, value_name = "N", default_value = "5", value_parser = whole(1, 20))]
    pub(crate) nodes: usize,
    /// Layers, for architectures of the macro space
    #[arg(long, value_name = "N", conflicts_with = "nodes", value_parser = whole(1, 200))]
    pub(crate) layers: Option<usize>,
    /// The number the lot starts from
    #[arg(long, value_name = "N", default_value = "0")]
    pub(crate) seed: u64,
}

/// Turn integers into the readable form and back
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  enas arc convert 0 1 0 3 2 3 0 1 …          prints the readable form
  enas arc convert --to ints my.arc")]
pub(crate) struct ArcConvert {
    #[command(flatten)]
    pub(crate) input: ArcInput,
    /// The form to print [default: the other one]
    #[arg(long, value_enum, value_name = "FORM")]
    pub(crate) to: Option<ArcForm>,
}

/// How an architecture is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ArcForm {
    Ints,
    Readable,
}
