//! What a run of `enas` lies in and is made of: settings, run directories, checkpoints, logs, models and memory plans.
//!
//! This crate owns the settings ([`SearchConfig`], [`TrainConfig`]), the files ([`Run`], [`RunReader`], [`Model`]), the
//! metrics ([`Evaluation`]) and the memory plan ([`MemoryPlan`]). The loops that fill a run directory are in
//! `enas-search`; what only reads runs needs this crate alone. It prints nothing: warnings go to `tracing`.
//!
//! # Durability
//!
//! Every file is replaced atomically, a directory is locked by the process that works in it, and a checkpoint holds
//! everything that a run needs to continue exactly. See [`directory`] for the files.
//!
//! # Example
//!
//! ```
//! use enas_run::{ConfigBuilder, RunReader, Run, SearchConfig, enas_data};
//!
//! let config: SearchConfig = ConfigBuilder::preset("quick").set("run.epochs=5").load()?;
//! let data = enas_data::load(&config.data, &enas_data::LoadOptions::new(config.run.seed()))?;
//! # let dir = tempfile::tempdir()?;
//! # let folder = dir.path().join("run");
//! let run = Run::for_search(Some(&folder), &config, &data)?;
//!
//! let record = RunReader::open(run.dir())?;
//! assert_eq!(record.config::<SearchConfig>()?, config);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

pub mod auto;
pub mod calibration;
pub mod checkpoint;
pub mod choice;
pub mod config;
pub mod data_warnings;
pub mod directory;
pub mod divergence;
pub mod error;
pub mod evaluation;
pub mod files;
pub mod finals;
pub mod loader;
pub mod log;
pub mod memory;
pub mod model;
pub mod network;
pub mod non_finite;
pub mod paired;
pub mod setting_change;
pub mod tta;

pub use auto::{
    AutoPhase, AutoPlan, AutoRunReader, CheckedData, CheckedFinding, FittedNetwork, Preparation, SearchWhen,
};
pub use calibration::{TEMPERATURES, fit_temperature, is_at_lower_bound, is_at_upper_bound};
pub use choice::Choice;
pub use config::presets::{Preset, PublishedArc, presets, published_arcs};
pub use config::{
    Activations, ClassWeights, ConfigBuilder, EvolutionConfig, FinalsConfig, Keep, Kind, Limits, Metric,
    RefitConfig, RefitImages, RewardConfig, RewardMetric, RunConfig, SearchConfig, SelectConfig, Settings,
    StrategyConfig, TimeLimit, TrainConfig, Tta, WarmupConfig,
};
pub use directory::files::{read_arc, read_arch};
pub use directory::manifest::Manifest;
pub use directory::reader::RunReader;
pub use directory::run::{FollowUpWork, Run};
pub use directory::work_directory::WorkDirectory;
pub use divergence::{Divergence, LOWERED};
pub use error::{ConfigError, Error, Result};
pub use evaluation::{BalancedAccuracy, ClassScore, Evaluation, interval};
pub use files::atomic::write_file;
pub use files::limited_read::{SMALL_FILE, read_plain_text, read_text};
pub use finals::{CandidateOrigin, Control, Finalist, FinalsOutcome, FirstRound, Gain, Pick, Picks};
pub use memory::{MemoryLimit, MemoryParts, MemoryPlan};
pub use model::{Accuracies, Model, Refitted};
pub use paired::{PairedDifference, Verdict};
pub use setting_change::SettingChange;

/// The crates below this one: their types are arguments and results here.
pub use {enas_arc, enas_child, enas_controller, enas_data};

/// The types of theirs that most callers need.
pub use enas_arc::{Arc, Arch, SpaceKind};
pub use enas_data::Dataset;
pub use enas_kernels::gpu::Gpu;
pub use enas_rng::Seed;

/// The example of the README compiles and runs.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadMe;
