//! Tests whether an architecture search finds better architectures than random search.
//!
//! A [`Study`] trains the architectures that several searches found, and random ones for comparison, all by one
//! recipe. The random ones are of three kinds: uniform, *wide* (which train fast), and equal in size and cost to
//! those found. All trainings with one seed start alike and see the images in the same order, so differences come
//! from the architecture. Each training uses the test images once, at its end. [`StudySummary`] states the results with
//! 95 % intervals; it says "better" only if the interval excludes zero.
//!
//! A study has a directory and continues where it was stopped: every finished training is a line of `trials.jsonl`. A
//! [`Trainer`] trains and searches; [`ImageTrainer`] does so with images.
//!
//! ```
//! use enas_search::{ConfigBuilder, SearchConfig};
//! use enas_study::{Clock, ImageTrainer, SessionEnd, Study, StudyConfig};
//!
//! // The smallest possible study. A useful one takes hours.
//! let tiny = ["run.epochs=1", "run.batch_size=512", "child.filters=4", "child.layers=1", "child.nodes=2"];
//! let quick = ["controller.steps=1", "select.samples=1", "select.random=1", "finals.steps=0"];
//! let search = tiny.iter().chain(&quick).fold(ConfigBuilder::preset("quick"), |layers, set| layers.set(*set));
//! let mut config = StudyConfig::new(search.load::<SearchConfig>()?, &["run.epochs=1".to_owned()])?;
//! (config.counts.pool, config.counts.wide, config.counts.searches) = (3, 0, 1);
//! (config.counts.pick_seeds, config.counts.controls) = (1, 0);
//!
//! # let dir = tempfile::tempdir()?;
//! # let folder = dir.path().join("study");
//! let mut trainer = ImageTrainer::load(&config, None)?;
//! let mut study = Study::create(Some(&folder), &config, trainer.data())?;
//! let ended = study.run(&mut trainer, Clock::unlimited(), &mut ())?;
//! assert_eq!(ended, SessionEnd::Complete);
//!
//! let summary = study.summary();
//! study.write(&summary)?;
//! assert_eq!((summary.percentile.len(), summary.done), (1, 8));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod arcs;
mod clock;
mod config;
mod html;
mod image_trainer;
mod manifest;
mod observer;
mod plan;
mod record;
mod replication;
mod session;
mod study;
mod summary;
mod trainer;
mod trial_log;

pub use arcs::Size;
pub use clock::Clock;
pub use config::{StudyConfig, StudyCounts, recipe};
pub use image_trainer::ImageTrainer;
pub use observer::{StudyEvent, StudyObserver};
pub use record::{Group, LogLine, Measurements, SearchPick, StudyTrial, TrialKey};
pub use replication::{Replication, ReplicationCounts, SearchClaim};
pub use study::{SessionEnd, Study, read_summary};
pub use summary::{BestOfK, Comparison, Comparisons, GroupSummary, StudyInfo, StudySummary};
pub use trainer::{SearchResult, Trainer};

/// Lower crates whose types occur in this crate's interface.
pub use {enas_search, enas_stats};

/// Compiles and runs the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadMe;
