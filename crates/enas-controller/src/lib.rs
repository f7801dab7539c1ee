//! The ENAS controller: an LSTM policy π(m; θ) over arcs, trained with REINFORCE (Pham et al., ICML 2018). Training
//! follows sections 2.1 to 2.3 of the paper, and the arcs are the cells of section 2.4.
//!
//! This crate knows arcs and random numbers. It knows neither child networks nor images. The weights are named candle
//! variables, made through a `VarBuilder`. [`Controller::nll`] is a tensor that candle's autograd can propagate
//! through. The whole rollout is one candle operation with a hand-written backward pass. The policy is small (41,733
//! parameters at the published size), so one allocation per LSTM step would cost more than its arithmetic.
//!
//! [`Controller::sample`], [`Controller::score`] and [`Controller::most_likely`] share one rollout over the decisions
//! of an arc; they differ in how a choice is made. [`Controller::reinforce`] turns rewarded arcs into one optimiser
//! step, in place. A candle optimiser on [`Controller::vars`] can train the policy too.
//!
//! The decisions are data, a [`Plan`]; a [`Policy`] works with any plan. [`Config::reference`] reproduces the
//! authors' algorithm (`micro_controller.py`). [`Config::improved`] changes four named settings of it.
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

mod advantage;
mod backward;
mod config;
mod controller;
mod decision;
mod dot_product;
mod episodes;
mod error;
mod gemm;
mod init;
mod logits;
mod lstm;
mod macro_policy;
mod named_tensor;
mod nll;
mod plan;
mod policy;
mod reinforce;
mod rollout;
mod scratch;
mod state;
mod tape;
mod training;
mod weights;

pub use config::{Advantage, Anneal, BaselineInit, Bounds, Config, OpBias, Skip};
pub use controller::{Controller, Sample};
pub use decision::{Decision, SampledChoices};
pub use episodes::{Episode, EpisodeStats, RewardedChoices, UpdateStats};
pub use error::Error;
pub use init::{VariableSource, seeded};
pub use macro_policy::MacroPolicy;
pub use named_tensor::NamedTensor;
pub use plan::{Plan, PlanStep};
pub use policy::Policy;

/// Types of lower crates that occur in this crate's interface.
pub use enas_arc::Arc;
pub use enas_rng::{Seed, Stream};

/// Compiles and runs the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadMe;
