//! The ENAS controller: an LSTM policy π(m; θ) over arcs, trained with REINFORCE (Pham et al., ICML 2018,
//! sections 2.1 to 2.3, for the cells of section 2.4).
//!
//! It knows arcs and random numbers, and no child network and no images. The weights are named candle variables, made
//! through a `VarBuilder`; [`Controller::nll`] is a tensor that candle's autograd goes back through. The walk itself is
//! one operation of candle's with a hand-written backward pass, because the policy is small (41,733 parameters at the
//! published size) and one allocation per LSTM step would cost more than its arithmetic.
//!
//! [`Controller::sample`], [`Controller::score`] and [`Controller::most_likely`] are three readings of one walk over
//! the decisions of an arc; only who chooses differs. [`Controller::reinforce`] turns rewarded arcs into one
//! optimiser step, in place; an optimiser of candle's on [`Controller::vars`] does the same with more freedom. Which
//! decisions there are is data, a [`Plan`]: a [`Policy`] does the same for any of them. [`Config::reference`] reproduces
//! the published algorithm; [`Config::improved`] changes four named settings of it.
//!
//! ```
//! use enas_controller::{Config, Controller, Episode, Seed};
//!
//! # fn main() -> Result<(), enas_controller::Error> {
//! let seed = Seed::new(1);
//! let mut controller = Controller::new(&Config::improved(), 5, seed)?;
//! let bounds = controller.config().bounds(0.0); // how peaked the policy may be at the start of training
//!
//! let sample = controller.sample(bounds, &mut seed.stream("arc", &[0]));
//! assert_eq!(controller.score(bounds, &sample.arc)?, sample);
//!
//! // Two arcs and the accuracy that a child reached with each, one update.
//! let other = controller.sample(bounds, &mut seed.stream("arc", &[1]));
//! let stats = controller.reinforce(
//!     bounds,
//!     &[Episode { arc: sample.arc, accuracy: 0.9 }, Episode { arc: other.arc, accuracy: 0.4 }],
//! )?;
//! assert!(stats.grad_norm > 0.0);
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod backward;
mod config;
mod controller;
mod episodes;
mod error;
mod heads;
mod lstm;
mod macro_policy;
mod math;
mod matrix;
mod nll;
mod plan;
mod policy;
mod reinforce;
mod scratch;
mod simd;
mod start;
mod state;
mod training;
mod walk;
mod weights;

pub use config::{Advantage, Anneal, BaselineInit, Bounds, Config, OpBias, Skip};
pub use controller::{Controller, Sample};
pub use episodes::{Episode, EpisodeStats, Rewarded, UpdateStats};
pub use error::Error;
pub use macro_policy::MacroPolicy;
pub use plan::{Plan, Step};
pub use policy::{Decision, Draw, Policy};
pub use start::{Start, seeded};
pub use state::NamedTensor;

/// What this crate's functions take and give, from the crates below it.
pub use enas_arc::Arc;
pub use enas_rng::{Seed, Stream};

/// The example of the read-me compiles and runs.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadMe;
