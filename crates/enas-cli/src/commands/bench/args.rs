//! The arguments of `enas bench`.

use std::path::PathBuf;

use clap::{ArgAction, Args, ValueEnum};
use enas_search::Activations;

use crate::args::{Device, ModelPlace, activations, device, share, switch, whole};

/// Heading of the flags for developers of this program, which `-h` does not show.
const STEPS: &str = "Single steps";

/// Time a model, or single steps of searching, training and predicting
///
/// With --model or --run: how long one image takes (median and 95th percentile of single images), and how many go
/// through in batches of 64. With --mode: a step of a network that the flags describe. Prints one line of JSON. Images
/// and labels are random numbers.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  enas bench --model runs/photos-train-1/model.safetensors
  enas bench --run runs/photos-auto-1 --threads 1
  enas bench --mode search-step --arcs arcs.txt
  enas bench --mode fixed-infer --fold 1 --arc \"0 1 0 3 …\" --filters 16 --layers 15 --keep-prob 0.8

Modes:
  search-step      next architecture of --arcs (or a sample); forward, backward, update of all shared weights
  reward-step      the same, forward only, statistics of the batch
  controller-step  sample --aggregate architectures, policy gradient, one update
  fixed-step       forward, backward and update of the network of --arc, with drop-path
  fixed-infer      forward of that network with running statistics")]
pub(crate) struct Bench {
    #[command(flatten)]
    pub(crate) place: ModelPlace,
    /// The step to time instead of a model
    #[arg(long, value_enum, conflicts_with_all = ["model", "run"])]
    pub(crate) mode: Option<Mode>,
    /// Images per step
    #[arg(long, hide_short_help = true, help_heading = STEPS, value_name = "N", default_value = "128", value_parser = whole(1, 65_536))]
    pub(crate) batch: usize,
    /// Height and width of the images
    #[arg(long, hide_short_help = true, help_heading = STEPS, value_name = "N", default_value = "32", value_parser = whole(1, 4096))]
    pub(crate) size: usize,
    /// Channels of the images
    #[arg(long, hide_short_help = true, help_heading = STEPS, value_name = "N", default_value = "1", value_parser = whole(1, 64))]
    pub(crate) channels: usize,
    /// Channels of the first cells
    #[arg(long, hide_short_help = true, help_heading = STEPS, value_name = "N", default_value = "20", value_parser = whole(2, 4096))]
    pub(crate) filters: usize,
    /// Normal cells
    #[arg(long, hide_short_help = true, help_heading = STEPS, value_name = "N", default_value = "6", value_parser = whole(1, 200))]
    pub(crate) layers: usize,
    /// Nodes per cell
    #[arg(long, hide_short_help = true, help_heading = STEPS, value_name = "N", default_value = "5", value_parser = whole(1, 20))]
    pub(crate) cells: usize,
    /// Reduction cells
    #[arg(long, hide_short_help = true, help_heading = STEPS, value_name = "2|3", default_value = "3", value_parser = whole(2, 3))]
    pub(crate) pools: usize,
    /// Auxiliary classifier
    #[arg(long, hide_short_help = true, help_heading = STEPS, value_name = "0|1", default_value = "1", action = ArgAction::Set, value_parser = switch)]
    pub(crate) aux: bool,
    /// Probability of keeping a feature before the classifier
    #[arg(long, hide_short_help = true, help_heading = STEPS, value_name = "P", default_value = "0.9", value_parser = share)]
    pub(crate) keep_prob: f32,
    /// Probability of keeping a path in the last cell at the end
    #[arg(long, hide_short_help = true, help_heading = STEPS, value_name = "P", default_value = "0.6", value_parser = share)]
    pub(crate) drop_path_keep: f32,
    /// Architectures per controller update
    #[arg(long, hide_short_help = true, help_heading = STEPS, value_name = "N", default_value = "10", value_parser = whole(1, 10_000))]
    pub(crate) aggregate: usize,
    /// The architecture of fixed-step and fixed-infer
    #[arg(long, hide_short_help = true, help_heading = STEPS, value_name = "ARC", required_if_eq_any = [("mode", "fixed-step"), ("mode", "fixed-infer")])]
    pub(crate) arc: Option<String>,
    /// A file with one architecture on each line, for search-step and reward-step
    #[arg(long, hide_short_help = true, help_heading = STEPS, value_name = "FILE")]
    pub(crate) arcs: Option<PathBuf>,
    /// Fold batch norm into the weights before fixed-infer
    #[arg(long, hide_short_help = true, help_heading = STEPS, value_name = "0|1", default_value = "0", action = ArgAction::Set, value_parser = switch)]
    pub(crate) fold: bool,
    /// Threads to compute with [default: all cores for a model, 2 for a mode]
    #[arg(long, value_name = "N", value_parser = whole(1, 1024))]
    pub(crate) threads: Option<usize>,
    /// cpu, cuda or cuda:N [default: cuda if built in and present, else cpu]
    #[arg(long, value_name = "DEVICE", value_parser = device)]
    pub(crate) device: Option<Device>,
    /// How activations are stored in GPU memory: f32, or bf16 in modes that normalise with batch statistics
    #[arg(long, hide_short_help = true, help_heading = STEPS, value_name = "f32|bf16", default_value = "f32", value_parser = activations)]
    pub(crate) activations: Activations,
    /// Untimed warm-up steps
    #[arg(long, value_name = "N", default_value = "5", value_parser = whole(0, 1_000_000))]
    pub(crate) warmup: usize,
    /// Steps that are timed
    #[arg(long, value_name = "N", default_value = "20", value_parser = whole(1, 1_000_000))]
    pub(crate) iters: usize,
    /// The seed of images, weights and samples
    #[arg(long, value_name = "N", default_value = "0")]
    pub(crate) seed: u64,
    /// Add the time of every step to the line
    #[arg(long, hide_short_help = true, help_heading = STEPS, value_name = "0|1", num_args = 0..=1, default_value = "0", default_missing_value = "1", action = ArgAction::Set, value_parser = switch)]
    pub(crate) raw: bool,
    /// Also print time, calls, bytes and arithmetic per operation on stderr
    #[arg(long, hide_short_help = true, help_heading = STEPS, value_name = "0|1", num_args = 0..=1, default_value = "0", default_missing_value = "1", action = ArgAction::Set, value_parser = switch)]
    pub(crate) profile: bool,
}

/// What `enas bench` times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Mode {
    SearchStep,
    RewardStep,
    ControllerStep,
    FixedStep,
    FixedInfer,
}
