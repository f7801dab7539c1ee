//! ENAS as readable loops, [`search()`] and [`train()`], with a durable run directory.
//!
//! This crate combines the child network, the controller and the data. It owns the loops and what they choose
//! ([`Selection`], [`SearchOutcome`], [`TrainOutcome`]); the files ([`Run`], [`Model`]), the settings
//! ([`SearchConfig`],
//! [`TrainConfig`]) and the metrics ([`Evaluation`]) are those of [`enas_run`]. It prints nothing: progress goes to an
//! [`Observer`], warnings to `tracing`.
//!
//! The search follows Pham et al. (ICML 2018, arXiv:1802.03268, section 2.2): phase 1 trains the shared weights ω,
//! phase 2 the parameters θ of the policy.
//!
//! # Reproducibility
//!
//! Every random number comes from a stream that is named by its purpose and position. A run therefore depends only on
//! its configuration and its data, not on the number of threads or on interruptions. A run that was stopped and
//! resumed writes the same arcs and the same weights, byte for byte. Runs with a time limit (`run.time`) are the
//! exception: how many steps they make depends on the machine.
//!
//! If numbers stop being finite, the run goes back to the end of its last epoch, once, and continues with [`LOWERED`]
//! times the learning rate; see [`Divergence`].
//!
//! # Example
//!
//! ```no_run
//! use enas_search::{ConfigBuilder, Run, SearchConfig, TrainConfig, enas_data};
//!
//! # fn main() -> Result<(), enas_search::Error> {
//! let config: SearchConfig = ConfigBuilder::preset("quick").set("run.epochs=5").load()?;
//! let data = enas_data::load(&config.data, &enas_data::LoadOptions::new(config.run.seed()))?;
//! let mut run = Run::for_search(None, &config, &data)?;
//! let found = enas_search::search(&config, &data, &mut run, &mut ())?;
//! println!("{} reaches {}", found.arc, found.valid_accuracy);
//!
//! let config: TrainConfig = ConfigBuilder::preset("quick").load()?;
//! let mut run = Run::for_training(None, &config, &found.arc, &data)?;
//! let trained = enas_search::train(&config, &found.arc, &data, &mut run, &mut ())?;
//! println!("{:?} on the test split", trained.test_accuracy);
//! # Ok(())
//! # }
//! ```
//!
//! A minimal training and prediction; `examples/` has the same for folders of images:
//!
//! ```
//! use enas_search::{ConfigBuilder, Model, Run, TrainConfig, enas_data};
//!
//! let tiny = ["run.epochs=1", "child.filters=4", "child.layers=1", "child.nodes=2", "run.batch_size=256"];
//! let config: TrainConfig = tiny.into_iter().fold(ConfigBuilder::preset("quick"), ConfigBuilder::set).load()?;
//! let data = enas_data::load(&config.data, &enas_data::LoadOptions::new(config.run.seed()))?;
//! let arc = "0 0 1 4 2 2 0 3  0 1 1 4 2 2 1 3".parse()?;
//! # let dir = tempfile::tempdir()?;
//! # let folder = dir.path().join("run");
//! let mut run = Run::for_training(Some(&folder), &config, &arc, &data)?;
//! let trained = enas_search::train(&config, &arc, &data, &mut run, &mut ())?;
//!
//! let model = Model::load(&trained.model)?;
//! let probabilities = model.probabilities(&model.images(&[data.test.image(0)?])?)?;
//! assert_eq!(probabilities.dims(), [1, 10]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod annealing;
mod auto;
mod budget;
mod cells;
mod child_epoch;
mod epoch;
mod finals;
mod find_lr;
mod image_weights;
mod observer;
mod recommend;
mod refine;
mod search;
mod select;
mod series;
mod session;
mod train;
mod trial;

pub use auto::{AutoConfig, AutoOutcome, AutoRun, auto, fit_network};
pub use cells::{DEFAULT_CELL, ReadyCell, ready_cells};
pub use finals::train_as_finalist;
pub use find_lr::{LrCurve, LrPoint, find_lr};
pub use observer::{EpochSummary, Event, Observer, Phase, PolicySummary, Position, SearchPlan};
pub use recommend::{Given, recommend, side_of_large_images};
pub use search::{SearchOutcome, search, search_any};
pub use select::{Candidate, Origin, Selection};
pub use series::{Member, MemberOutcome, Observers, Pooled, Series, SeriesOutcome, SeriesRun, train_series};
pub use train::{Ended, Refit, TrainOutcome, train, train_any};
pub use trial::{ImageOutcome, Trial};

/// The settings, files and results of a run, which are arguments and results here.
pub use enas_run::{
    Accuracies, Activations, AutoPhase, AutoPlan, AutoRunReader, BalancedAccuracy, CandidateOrigin,
    CheckedData, CheckedFinding, Choice, ClassScore, ClassWeights, ConfigBuilder, ConfigError, Control,
    Divergence, Error, Evaluation, EvolutionConfig, Finalist, FinalsConfig, FinalsOutcome, FirstRound,
    FittedNetwork, FollowUpWork, Gain, Keep, Kind, LOWERED, Limits, Manifest, MemoryLimit, MemoryParts,
    MemoryPlan, Metric, Model, PairedDifference, Pick, Picks, Preparation, Preset, PublishedArc, RefitConfig,
    RefitImages, Refitted, Result, RewardConfig, RewardMetric, Run, RunConfig, RunReader, SMALL_FILE,
    SearchConfig, SearchWhen, SelectConfig, SettingChange, Settings, StrategyConfig, TEMPERATURES, TimeLimit,
    TrainConfig, Tta, Verdict, WarmupConfig, WorkDirectory, fit_temperature, interval, is_at_lower_bound,
    is_at_upper_bound, presets, published_arcs, read_arc, read_arch, read_plain_text, read_text, write_file,
};

/// The crates below this one: their types are arguments and results here.
pub use {enas_arc, enas_child, enas_controller, enas_data, enas_run};

/// The types of theirs that most callers need.
pub use enas_arc::{Arc, Arch, SpaceKind};
pub use enas_data::Dataset;
pub use enas_kernels::gpu::Gpu;
pub use enas_rng::Seed;

/// The examples of the guide compile and run.
#[cfg(doctest)]
#[doc = include_str!("../guide.md")]
struct Guide;

/// The examples of the page about candle compile and run.
#[cfg(doctest)]
#[doc = include_str!("../candle.md")]
struct EnasFromCandle;

/// The example of the README compiles and runs.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadMe;
