//! What can be typed: commands, flags, their help and their checks. Not what the commands do.

use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use enas_search::{Activations, MemoryLimit, TimeLimit};

use crate::commands;
use crate::commands::data::Data;
pub(crate) use crate::commands::draw::ArcDraw;

#[cfg(feature = "export")]
use crate::commands::export::Export;

/// Searches, trains and uses small image classifiers (ENAS micro search).
#[derive(Debug, Parser)]
#[command(name = "enas", version, max_term_width = 100, arg_required_else_help = true, after_help = TOP_EXAMPLES)]
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
  enas predict --model runs/digits-train-1/model.safetensors photo.png

Results go to stdout, progress and messages to stderr.
Exit codes: 0 done, 1 the work failed, 2 bad usage or configuration, 130 or 143 interrupted (state saved).";

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
    Report(crate::commands::report::Args),
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

/// Find an architecture for a set of pictures
///
/// Trains the shared weights of all architectures and a controller that proposes them, in turns; then scores
/// proposals on the whole validation split beside as many random architectures and keeps the best.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  enas search                                    the built-in digits, a few minutes on two cores
  enas search --data photos --preset folder      your own pictures: photos/<class>/*.png
  enas search --data photos --time 30m --set child.filters=16
  enas search --resume runs/photos-search-1      go on after Ctrl-C
  enas search --resume runs/photos-search-1 --data /mnt/photos    the same, where the pictures were moved

DATA is a folder DIR/<class>/* or DIR/{train,valid,test}/<class>/*, or either of them in a .zip.")]
pub(crate) struct Search {
    /// Pictures in class folders, or a zip of them [default: the built-in digits]
    #[arg(long, value_name = "PATH")]
    pub(crate) data: Option<PathBuf>,
    /// The directory of this run; must not exist or be empty [default: runs/DATA-search-N]
    #[arg(long, value_name = "DIR", conflicts_with = "resume")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) extent: Extent,
    #[command(flatten)]
    pub(crate) settings: Settings,
    #[command(flatten)]
    pub(crate) machine: Machine,
    #[command(flatten)]
    pub(crate) memory: Memory,
}

/// Train one architecture from scratch and save it as a model
#[derive(Debug, Args)]
#[command(
    group = clap::ArgGroup::new("which").args(["arc", "arc_file", "run", "resume"]).required(true),
    after_help = "\
Examples:
  enas train --run runs/digits-search-1                the best architecture of a search, on its pictures
  enas train --arc \"0 1 0 3 …\" --data photos --epochs 50
  enas train --arc-file my.arc --data photos.zip --time 2h
  enas train --resume runs/photos-train-1              go on after Ctrl-C")]
pub(crate) struct Train {
    /// The architecture, as integers or in readable form
    #[arg(long, value_name = "ARC")]
    pub(crate) arc: Option<String>,
    /// A file that holds the architecture (text, or a run's best.arc.json)
    #[arg(long, value_name = "FILE")]
    pub(crate) arc_file: Option<PathBuf>,
    /// A finished search: takes its best architecture, and its pictures unless --data is given
    #[arg(long, value_name = "DIR")]
    pub(crate) run: Option<PathBuf>,
    /// Pictures in class folders, or a zip of them [default: those of --run, else the built-in digits]
    #[arg(long, value_name = "PATH")]
    pub(crate) data: Option<PathBuf>,
    /// The directory of this run; must not exist or be empty [default: runs/DATA-train-N]
    #[arg(long, value_name = "DIR", conflicts_with = "resume")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) extent: Extent,
    #[command(flatten)]
    pub(crate) settings: Settings,
    #[command(flatten)]
    pub(crate) machine: Machine,
    #[command(flatten)]
    pub(crate) memory: Memory,
}

/// Measure a model: accuracy, precision and recall per class, confusion matrix
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  enas eval --model runs/photos-train-1/model.safetensors --data photos
  enas eval --model runs/photos-train-1/model.safetensors --data photos --split valid --json")]
pub(crate) struct Eval {
    /// A model.safetensors that `enas train` wrote
    #[arg(long, value_name = "FILE")]
    pub(crate) model: PathBuf,
    /// Pictures in class folders, or a zip of them [default: the data the model was trained on]
    #[arg(long, value_name = "PATH")]
    pub(crate) data: Option<PathBuf>,
    /// Which part of the data
    #[arg(long, value_enum, default_value_t = Split::Test)]
    pub(crate) split: Split,
    #[command(flatten)]
    pub(crate) machine: Machine,
    #[command(flatten)]
    pub(crate) memory: Memory,
}

/// A part of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Split {
    Train,
    Valid,
    Test,
}

/// Label pictures with a model
///
/// Prints one line per picture. A file that cannot be read gets a line with the reason; the others go on, and the
/// exit code is 1 at the end.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  enas predict --model model.safetensors photo.png holiday/
  enas predict --model model.safetensors --top 3 --json holiday/
  find . -name '*.jpg' | enas predict --model model.safetensors --csv -")]
pub(crate) struct Predict {
    /// A model.safetensors that `enas train` wrote
    #[arg(long, value_name = "FILE")]
    pub(crate) model: PathBuf,
    /// Pictures or folders of pictures; - reads paths from stdin, one a line
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    /// How many labels to give for each picture
    #[arg(long, value_name = "K", default_value = "1", value_parser = whole(1, 1_000_000))]
    pub(crate) top: usize,
    /// Print comma-separated values with a header
    #[arg(long, conflicts_with = "json")]
    pub(crate) csv: bool,
    #[command(flatten)]
    pub(crate) machine: Machine,
}

/// Check, explain, draw, convert and make up architectures
#[derive(Debug, Subcommand)]
#[command(after_help = "\
An architecture is a normal and a reduction cell. As integers it is 4 per node (input, operation, input, operation),
first the normal cell, then the reduction cell: 40 for 5 nodes. Operations: 0 sep-conv-3x3, 1 sep-conv-5x5,
2 avg-pool-3x3, 3 max-pool-3x3, 4 identity.

Examples:
  enas arc random | enas arc show
  enas arc check \"0 1 0 3 2 3 0 1 …\"
  enas arc draw --run runs/digits-search-1
  enas arc convert --file runs/digits-search-1/best.arc.json")]
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
  enas arc check --file arcs.txt
  enas arc random --n 10 | enas arc check")]
pub(crate) struct ArcInput {
    /// The architecture: one quoted argument or separate integers; - or nothing reads stdin
    #[arg(value_name = "ARC", allow_negative_numbers = true)]
    pub(crate) arc: Vec<String>,
    /// A file that holds it (text, or a run's best.arc.json)
    #[arg(long, value_name = "FILE", visible_alias = "arc-file", conflicts_with = "arc")]
    pub(crate) file: Option<PathBuf>,
}

/// Explain an architecture: readable cells, loose ends, size and cost
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  enas arc show --file runs/digits-search-1/best.arc.json
  enas arc random | enas arc show --preset cifar10 --set child.filters=36

Parameters and multiply-adds are those of the network that `enas train` would build with the same settings.")]
pub(crate) struct ArcShow {
    #[command(flatten)]
    pub(crate) input: ArcInput,
    /// Classes to tell apart, for the size of the classifier
    #[arg(long, value_name = "N", default_value = "10", value_parser = whole(2, 1_000_000))]
    pub(crate) classes: usize,
    #[command(flatten)]
    pub(crate) settings: Settings,
}

/// Make up architectures by lot, all equally likely
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  enas arc random
  enas arc random --n 100 --nodes 4 --seed 7")]
pub(crate) struct ArcRandom {
    /// How many
    #[arg(long, value_name = "N", default_value = "1", value_parser = whole(1, 1_000_000))]
    pub(crate) n: usize,
    /// Nodes per cell
    #[arg(long, value_name = "N", default_value = "5", value_parser = whole(1, 20))]
    pub(crate) nodes: usize,
    /// The number the lot starts from
    #[arg(long, value_name = "N", default_value = "0")]
    pub(crate) seed: u64,
}

/// Turn integers into the readable form and back
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  enas arc convert 0 1 0 3 2 3 0 1 …          prints the readable form
  enas arc convert --to ints --file my.arc")]
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

/// Show what the trainer would see: originals and augmented copies on one sheet
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  enas augment --data photos --out sheet.png
  enas augment --data photos --out sheet.png --images 12 --copies 8 --config my.toml")]
pub(crate) struct Augment {
    /// Pictures in class folders, or a zip of them [default: the built-in digits]
    #[arg(long, value_name = "PATH")]
    pub(crate) data: Option<PathBuf>,
    /// The picture to write; its ending chooses the format
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// How many training pictures
    #[arg(long, value_name = "N", default_value = "8", value_parser = whole(1, 500))]
    pub(crate) images: usize,
    /// How many augmented copies of each
    #[arg(long, value_name = "N", default_value = "5", value_parser = whole(1, 100))]
    pub(crate) copies: usize,
    #[command(flatten)]
    pub(crate) settings: Settings,
}

/// Show, check and list settings
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  enas config presets
  enas config show --preset mnist --set train.epochs=20 > my.toml
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
    /// The command's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Search => "search",
            Self::Train => "train",
        }
    }
}

/// Time single steps of searching, training and predicting
///
/// Prints one line of JSON. Pictures and labels are random numbers.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  enas bench --mode search-step --arcs arcs.txt
  enas bench --mode fixed-infer --fold 1 --arc \"…\" --filters 16 --layers 15 --keep-prob 0.8

Modes:
  search-step      next architecture of --arcs (or a sample); forward, backward, update of all shared weights
  reward-step      the same, forward only, statistics of the batch
  controller-step  sample --aggregate architectures, policy gradient, one update
  fixed-step       forward, backward and update of the network of --arc, with drop-path
  fixed-infer      forward of that network with running statistics")]
pub(crate) struct Bench {
    /// What to time
    #[arg(long, value_enum)]
    pub(crate) mode: Mode,
    /// Pictures per step
    #[arg(long, value_name = "N", default_value = "128", value_parser = whole(1, 65_536))]
    pub(crate) batch: usize,
    /// Height and width of the pictures
    #[arg(long, value_name = "N", default_value = "32", value_parser = whole(1, 4096))]
    pub(crate) size: usize,
    /// Channels of the pictures
    #[arg(long, value_name = "N", default_value = "1", value_parser = whole(1, 64))]
    pub(crate) channels: usize,
    /// Channels of the first cells
    #[arg(long, value_name = "N", default_value = "20", value_parser = whole(2, 4096))]
    pub(crate) filters: usize,
    /// Normal cells
    #[arg(long, value_name = "N", default_value = "6", value_parser = whole(1, 200))]
    pub(crate) layers: usize,
    /// Nodes per cell
    #[arg(long, value_name = "N", default_value = "5", value_parser = whole(1, 20))]
    pub(crate) cells: usize,
    /// Reduction cells
    #[arg(long, value_name = "2|3", default_value = "3", value_parser = whole(2, 3))]
    pub(crate) pools: usize,
    /// Auxiliary classifier
    #[arg(long, value_name = "0|1", default_value = "1", action = ArgAction::Set, value_parser = switch)]
    pub(crate) aux: bool,
    /// Probability of keeping a feature before the classifier
    #[arg(long, value_name = "P", default_value = "0.9", value_parser = share)]
    pub(crate) keep_prob: f32,
    /// Probability of keeping a path in the last cell at the end
    #[arg(long, value_name = "P", default_value = "0.6", value_parser = share)]
    pub(crate) drop_path_keep: f32,
    /// Architectures per controller update
    #[arg(long, value_name = "N", default_value = "10", value_parser = whole(1, 10_000))]
    pub(crate) aggregate: usize,
    /// The architecture of fixed-step and fixed-infer
    #[arg(long, value_name = "ARC", required_if_eq_any = [("mode", "fixed-step"), ("mode", "fixed-infer")])]
    pub(crate) arc: Option<String>,
    /// A file with one architecture on each line, for search-step and reward-step
    #[arg(long, value_name = "FILE")]
    pub(crate) arcs: Option<PathBuf>,
    /// Fold batch norm into the weights before fixed-infer
    #[arg(long, value_name = "0|1", default_value = "0", action = ArgAction::Set, value_parser = switch)]
    pub(crate) fold: bool,
    /// Threads to compute with
    #[arg(long, value_name = "N", default_value = "2", value_parser = whole(1, 1024))]
    pub(crate) threads: usize,
    /// cpu, cuda or cuda:N [default: cuda if built in and present, else cpu]
    #[arg(long, value_name = "DEVICE", value_parser = device)]
    pub(crate) device: Option<Device>,
    /// How activations are kept in a GPU's memory: f32, or bf16 in modes that normalise with batch statistics
    #[arg(long, value_name = "f32|bf16", default_value = "f32", value_parser = activations)]
    pub(crate) activations: Activations,
    /// Steps before the clock starts
    #[arg(long, value_name = "N", default_value = "5", value_parser = whole(0, 1_000_000))]
    pub(crate) warmup: usize,
    /// Steps that are timed
    #[arg(long, value_name = "N", default_value = "20", value_parser = whole(1, 1_000_000))]
    pub(crate) iters: usize,
    /// The number the pictures, weights and samples start from
    #[arg(long, value_name = "N", default_value = "0")]
    pub(crate) seed: u64,
    /// Add the time of every step to the line
    #[arg(long, value_name = "0|1", num_args = 0..=1, default_value = "0", default_missing_value = "1", action = ArgAction::Set, value_parser = switch)]
    pub(crate) raw: bool,
    /// Also print time, calls, bytes and arithmetic per operation on stderr
    #[arg(long, value_name = "0|1", num_args = 0..=1, default_value = "0", default_missing_value = "1", action = ArgAction::Set, value_parser = switch)]
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

pub(crate) fn whole(low: usize, high: usize) -> impl Fn(&str) -> Result<usize, String> + Clone {
    move |text| match text.parse::<usize>() {
        Ok(n) if (low..=high).contains(&n) => Ok(n),
        _ => Err(format!("write a whole number from {low} to {high}")),
    }
}

fn epochs(text: &str) -> Result<u64, String> {
    whole(1, 1_000_000)(text).map(|n| n as u64)
}

fn share(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(p) if p > 0.0 && p <= 1.0 => Ok(p),
        _ => Err("write a number above 0, up to 1".to_owned()),
    }
}

fn switch(text: &str) -> Result<bool, String> {
    match text {
        "0" => Ok(false),
        "1" => Ok(true),
        _ => Err("write 0 or 1".to_owned()),
    }
}

fn activations(text: &str) -> Result<Activations, String> {
    match text {
        "f32" => Ok(Activations::F32),
        "bf16" => Ok(Activations::Bf16),
        _ => Err("write f32 or bf16".to_owned()),
    }
}

fn device(text: &str) -> Result<Device, String> {
    let number = match text {
        "cpu" => return Ok(Device::Cpu),
        "cuda" => Some(0),
        _ => text.strip_prefix("cuda:").and_then(|number| number.parse().ok()),
    };
    match number {
        None => Err("write cpu, cuda or cuda:N".to_owned()),
        #[cfg(feature = "cuda")]
        Some(number) => Ok(Device::Cuda(number)),
        #[cfg(not(feature = "cuda"))]
        Some::<usize>(_) => {
            let remedy = "build it with `--features cuda`, or use --device cpu";
            Err(format!("CUDA is not built into this program; {remedy}"))
        }
    }
}

pub(crate) fn time_limit(text: &str) -> Result<TimeLimit, String> {
    match text.parse() {
        Ok(TimeLimit(None)) | Err(_) => {
            Err("write a whole number with a unit, as in 90s, 30m or 2h".to_owned())
        }
        Ok(limit) => Ok(limit),
    }
}

fn memory_limit(text: &str) -> Result<MemoryLimit, String> {
    text.parse()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_description_of_the_arguments_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn time_limits_are_a_number_and_a_unit() {
        assert_eq!(time_limit("90s").unwrap().to_string(), "90s");
        assert_eq!(time_limit("120m").unwrap().to_string(), "2h");
        for bad in ["", "s", "90", "1h30m", "-5m", "5 m", "infs", "1e3s", "90µ", "0s", "m5", "off"] {
            assert!(time_limit(bad).is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn devices_are_the_cpu_and_numbered_gpus() {
        #[cfg(not(feature = "cuda"))]
        assert!(device("cuda:1").unwrap_err().contains("not built"));
        #[cfg(feature = "cuda")]
        assert_eq!((device("cuda"), device("cuda:1")), (Ok(Device::Cuda(0)), Ok(Device::Cuda(1))));
        assert!(device("cuda:x").unwrap_err().contains("write cpu"));
        assert_eq!(device("cpu"), Ok(Device::Cpu));
    }

    #[test]
    fn whole_numbers_stay_in_their_range() {
        let threads = whole(1, 4);
        assert_eq!(threads("4"), Ok(4));
        for bad in ["0", "5", "-1", "1.5", "two"] {
            assert_eq!(threads(bad), Err("write a whole number from 1 to 4".to_owned()));
        }
    }
}
