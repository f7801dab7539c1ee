//! The arguments of `enas search`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::args::{Extent, Images, Machine, Memory, Settings, output_path, whole};

/// Find an architecture for a set of images
///
/// Trains the shared weights of all architectures, then a policy that proposes architectures. Trains the best proposals
/// and random architectures alone for a short time, keeps the best, and reports the gain over random architectures.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Examples:
  enas search                                    the built-in digits, about a minute on two cores
  enas search photos                             your own images: photos/<class>/*.png
  enas search photos --time 30m --set child.filters=16
  enas search photos --max-params 100000         no network has more trained weights
  enas search photos --strategy evolution        a population instead of a policy
  enas search photos --space macro               whole networks, layer by layer, instead of cells
  enas search photos --repeat 3                  three seeds: do the results agree?
  enas search --resume runs/photos-search-1      go on after Ctrl-C
  enas search photos --resume runs/photos-search-1    the same, where the images are now

DATA is a folder DIR/<class>/* or DIR/{train,valid,test}/<class>/*, or either of them in a .zip.
digits and fashion-small are built in. A folder of that name wins, and ./digits is always a folder.")]
pub(crate) struct Search {
    #[command(flatten)]
    pub(crate) images: Images,
    /// The directory of this run; must not exist or be empty [default: runs/DATA-search-N]
    #[arg(long, value_name = "DIR", value_parser = output_path(), conflicts_with = "resume")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) extent: Extent,
    /// Search N times with consecutive seeds, and report whether the results agree
    #[arg(long, value_name = "N", conflicts_with = "resume", allow_negative_numbers = true, value_parser = whole(2, 100))]
    pub(crate) repeat: Option<usize>,
    /// The search space [default: micro, unless --config or --set space says otherwise]
    #[arg(long, value_name = "NAME")]
    pub(crate) space: Option<Space>,
    /// The strategy that proposes architectures [default: reinforce, unless --config or --set strategy.kind says
    /// otherwise]
    #[arg(long, value_name = "NAME")]
    pub(crate) strategy: Option<Strategy>,
    #[command(flatten)]
    pub(crate) limits: Limits,
    #[command(flatten)]
    pub(crate) settings: Settings,
    #[command(flatten)]
    pub(crate) machine: Machine,
    #[command(flatten)]
    pub(crate) memory: Memory,
}

/// What a search looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Space {
    /// Two cells; networks are stacks of them
    Micro,
    /// Whole networks, layer by layer, on the CPU and without finals: the authors' macro search
    Macro,
}

/// Defaults of a search in the macro space: no finals, and the published penalty on skip connections.
const MACRO: [&str; 4] =
    ["space=macro", "finals.steps=0", "controller.skip.weight=0.8", "controller.skip.target=0.4"];

/// What proposes the architectures of a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Strategy {
    /// An LSTM policy that learns from rewards, as published
    Reinforce,
    /// Regularised evolution: mutates the best, removes the oldest
    Evolution,
    /// Draws uniformly: random search with shared weights
    Uniform,
    /// Draws among cells that read only their inputs
    Wide,
}

impl Search {
    fn names_settings(&self) -> bool {
        let of_macro = |name: &String| name.starts_with("reference-macro");
        self.settings.config.is_some() || self.settings.preset.as_ref().is_some_and(of_macro)
    }

    /// The settings, including those from the flags for space, strategy and limits.
    pub(crate) fn settings(&self) -> Settings {
        let mut settings = self.limits.within(&self.settings);
        let of_space: &[&str] = match self.space {
            None => &[],
            Some(Space::Micro) => &["space=micro"],
            // The other values of a file or preset of the macro space stay.
            Some(Space::Macro) if self.names_settings() => &MACRO[..1],
            Some(Space::Macro) => &MACRO,
        };
        if !of_space.is_empty() {
            settings.set.retain(|set| !set.starts_with("space="));
            // First in the list, so that values set by the user win.
            settings.set.splice(..0, of_space.iter().map(|&set| set.to_owned()));
        }
        let Some(strategy) = self.strategy else { return settings };
        let name = strategy.to_possible_value().expect("no strategy is hidden");
        // Before the keys of the strategy: a change of the kind drops the keys of the previous kind.
        let kind = format!("strategy.kind={}", name.get_name());
        let others = settings.set.into_iter().filter(|set| !set.starts_with("strategy.kind="));
        Settings { set: std::iter::once(kind).chain(others).collect(), ..settings }
    }
}

/// Limits on every architecture that a search proposes, for the network that its finals train
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Limits")]
pub(crate) struct Limits {
    /// Maximum number of trained weights of a network
    #[arg(long, value_name = "N")]
    pub(crate) max_params: Option<std::num::NonZeroU64>,
    /// Maximum multiply-adds per image
    #[arg(long, value_name = "N")]
    pub(crate) max_macs: Option<std::num::NonZeroU64>,
    /// Maximum time for a single image on this machine, such as 5ms
    #[arg(long, value_name = "TIME", value_parser = milliseconds)]
    pub(crate) max_latency: Option<f64>,
}

impl Limits {
    /// The settings with these limits, which win over `--set` for the same keys.
    pub(crate) fn within(&self, settings: &Settings) -> Settings {
        let mut set = settings.set.clone();
        set.extend(self.max_params.map(|n| format!("limits.params={n}")));
        set.extend(self.max_macs.map(|n| format!("limits.macs={n}")));
        set.extend(self.max_latency.map(|ms| format!("limits.latency_ms={ms:?}")));
        Settings { set, ..settings.clone() }
    }
}

/// Parses a latency in milliseconds: `5ms`, `0.8ms`, `5`.
///
/// # Errors
/// A message that says what to write.
fn milliseconds(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix("ms").unwrap_or(text).trim();
    match number.parse::<f64>() {
        Ok(ms) if ms > 0.0 && ms.is_finite() => Ok(ms),
        _ => Err("write a number above 0 and its unit, such as 5ms or 0.8ms".into()),
    }
}
