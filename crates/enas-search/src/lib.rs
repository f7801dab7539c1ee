//! ENAS as readable loops, [`search()`] and [`train()`], with a durable run directory.
//!
//! This crate combines the child network, the controller and the data. It owns the loops, the metrics
//! ([`Evaluation`], [`Selection`]), the files ([`Run`], [`Model`]) and the settings ([`SearchConfig`],
//! [`TrainConfig`]). It prints nothing: progress goes to an [`Observer`], warnings to `tracing`.
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
//! use enas_search::{Layers, Run, SearchConfig, TrainConfig, enas_data};
//!
//! # fn main() -> Result<(), enas_search::Error> {
//! let config: SearchConfig = Layers::preset("quick").set("run.epochs=5").load()?;
//! let data = enas_data::load(&config.data, &enas_data::LoadOptions::new(config.run.seed()))?;
//! let mut run = Run::for_search(None, &config, &data)?;
//! let found = enas_search::search(&config, &data, &mut run, &mut ())?;
//! println!("{} reaches {}", found.arc, found.valid_accuracy);
//!
//! let config: TrainConfig = Layers::preset("quick").load()?;
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
//! use enas_search::{Layers, Model, Run, TrainConfig, enas_data};
//!
//! let tiny = ["run.epochs=1", "child.filters=4", "child.layers=1", "child.nodes=2", "run.batch_size=256"];
//! let config: TrainConfig = tiny.into_iter().fold(Layers::preset("quick"), Layers::set).load()?;
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
mod atomic;
mod auto;
mod bounded;
mod budget;
mod calibration;
mod cells;
mod changes;
mod checkpoint;
mod claim;
mod concerns;
mod config;
mod divergence;
mod epoch;
mod error;
mod evaluate;
mod feed;
mod finals;
mod find_lr;
mod lock;
mod memory;
mod metrics;
mod model;
mod network;
mod observer;
mod pace;
mod paired;
mod pictures;
mod presets;
mod recommend;
mod record;
mod refine;
mod run;
mod seal;
mod search;
mod seen;
mod select;
mod series;
mod session;
mod tensorboard;
mod tensors;
mod train;
mod trial;
mod tta;
mod warm_start;
mod workplace;

pub use atomic::write_file;
pub use auto::{
    AutoConfig, AutoOutcome, AutoPhase, AutoPlan, AutoRecord, AutoRun, CheckedData, CheckedFinding,
    FittedNetwork, Preparation, SearchWhen, auto, fit_network,
};
pub use bounded::{SMALL_FILE, read_plain_text, read_text};
pub use calibration::{TEMPERATURES, fit_temperature, is_at_lower_bound, is_at_upper_bound};
pub use cells::{DEFAULT_CELL, ReadyCell, ready_cells};
pub use changes::Change;
pub use config::{
    Activations, ClassWeights, EvolutionConfig, FinalsConfig, Keep, Layers, Limits, Metric, RefitConfig,
    RefitImages, RewardConfig, RewardMetric, RunConfig, SearchConfig, SelectConfig, Settings, StrategyConfig,
    TimeLimit, TrainConfig, WarmupConfig,
};
pub use divergence::{Divergence, LOWERED};
pub use error::{ConfigError, Error, Result};
pub use evaluate::{ClassScore, Evaluation, interval};
pub use finals::{
    Control, Finalist, FinalsOutcome, FirstRound, Gain, Pick, Picks, Source, train_as_finalist,
};
pub use find_lr::{LrCurve, LrPoint, find_lr};
pub use memory::{MemoryLimit, MemoryParts, MemoryPlan};
pub use model::{Accuracies, Model, Refitted};
pub use observer::{EpochSummary, Event, Observer, Phase, Place, PolicySummary, SearchPlan};
pub use paired::{PairedDifference, Verdict};
pub use presets::{Preset, PublishedArc, presets, published_arcs};
pub use recommend::{Choice, Given, recommend};
pub use record::Record;
pub use run::{Kind, Manifest, Run, read_arc, read_arch};
pub use search::{SearchOutcome, search, search_any};
pub use select::{Candidate, Origin, Selection};
pub use series::{Member, MemberOutcome, Observers, Pooled, Series, SeriesOutcome, SeriesRun, train_series};
pub use train::{Ended, Refit, TrainOutcome, train, train_any};
pub use trial::{Answer, Trial};
pub use tta::Tta;
pub use workplace::Workplace;

/// The crates below this one: their types are arguments and results here.
pub use {enas_arc, enas_child, enas_controller, enas_data};

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
