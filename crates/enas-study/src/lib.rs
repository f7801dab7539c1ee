//! Tests whether an architecture search finds better architectures than random search.
//!
//! A [`Study`] trains the architectures that several searches found, and random ones for comparison, all by one
//! recipe. The random ones are of three kinds: uniform, *wide* (which train fast), and equal in size and cost to
//! those found. All trainings with one seed start alike and see the images in the same order, so differences come
//! from the architecture. Each training uses the test images once, at its end. [`Summary`] states the results with 95
//! % intervals; it says "better" only if the interval excludes zero.
//!
//! A study has a directory and continues where it was stopped: every finished training is a line of `trials.jsonl`. A
//! [`Laboratory`] trains and searches; [`ImageLaboratory`] does so with images.
//!
//! ```
//! use enas_search::{ConfigBuilder, SearchConfig};
//! use enas_study::{Clock, Ended, ImageLaboratory, Study, StudyConfig};
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
//! let mut laboratory = ImageLaboratory::load(&config, None)?;
//! let mut study = Study::create(Some(&folder), &config, laboratory.data())?;
//! let ended = study.run(&mut laboratory, Clock::unlimited(), &mut ())?;
//! assert_eq!(ended, Ended::Complete);
//!
//! let summary = study.summary();
//! study.write(&summary)?;
//! assert_eq!((summary.percentile.len(), summary.done), (1, 8));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

mod about;
mod arcs;
mod clock;
mod config;
mod images;
mod journal;
mod laboratory;
mod observer;
mod page;
mod plan;
mod proof;
mod record;
mod session;
mod study;
mod summary;

pub use arcs::Size;
pub use clock::Clock;
pub use config::{Counts, StudyConfig, recipe};
pub use images::ImageLaboratory;
pub use laboratory::{Found, Laboratory};
pub use observer::{StudyEvent, StudyObserver};
pub use proof::{Claim, Effort, Proof};
pub use record::{Group, Key, Line, Measured, Pick, Trial};
pub use study::{Ended, Study, read_summary};
pub use summary::{Choice, GroupSummary, Subject, Summary, Verdict, Verdicts};

/// Lower crates whose types occur in this crate's interface.
pub use {enas_search, enas_stats};

/// Compiles and runs the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadMe;
