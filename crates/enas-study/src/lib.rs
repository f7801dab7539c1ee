//! Whether an architecture search finds anything better than chance.
//!
//! A [`Study`] trains the architectures that some searches found, and random ones beside them, by one recipe: uniformly
//! random ones, random *wide* ones, which train fast, and random ones of the same size and cost. All trainings of one seed
//! start alike and see the images in one order, so that what differs is the architecture. The test images are looked at once
//! by each training, at its end. [`Summary`] says what follows, with intervals: "better" is said where they exclude zero.
//!
//! A study lives in a directory and goes on where it was stopped: every finished training is a line of `trials.jsonl`. What
//! trains and searches is a [`Laboratory`]; [`ImageLaboratory`] does it with images.
//!
//! ```
//! use enas_search::{Layers, SearchConfig};
//! use enas_study::{Clock, Ended, ImageLaboratory, Study, StudyConfig};
//!
//! // As small as can be. A study that says something takes hours.
//! let tiny = ["run.epochs=1", "run.batch_size=512", "child.filters=4", "child.layers=1", "child.nodes=2"];
//! let quick = ["controller.steps=1", "select.samples=1", "select.random=1", "finals.steps=0"];
//! let search = tiny.iter().chain(&quick).fold(Layers::preset("quick"), |layers, set| layers.set(*set));
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

/// The crates below this one, for what its functions take and give.
pub use {enas_search, enas_stats};

/// The example of the read-me compiles and runs.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadMe;
