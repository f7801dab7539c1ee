//! Statistics to compare architectures that were trained several times each.
//!
//! An architecture is a *unit*; its trainings with several seeds are *repeats*. The repeats of one architecture say
//! nothing about other architectures, so intervals resample units first and repeats within them ([`Bootstrap`], a
//! hierarchical bootstrap). With few units its intervals are too narrow; [`t_interval`] and [`welch_interval`] are
//! right for these.
//!
//! ```
//! use enas_stats::{Components, percentile, t_interval};
//!
//! let pool = [vec![0.80, 0.82], vec![0.84, 0.84], vec![0.78, 0.77]];
//! let spread = Components::of(&pool).expect("there are two units at least");
//! assert!(spread.between > spread.within.expect("there are repeats"));
//!
//! let gains = [0.02, 0.03, 0.01];
//! assert!(t_interval(&gains).low < 0.0, "three searches are too few to be sure of two points");
//! assert_eq!(percentile(0.83, &[0.81, 0.84, 0.775]), 100.0 * 2.0 / 3.0);
//! ```
#![forbid(unsafe_code)]

mod bootstrap;
mod estimate;
mod front;
mod pool;
mod rank;
mod ridge;
mod student;
mod variance;

pub use bootstrap::{Bootstrap, RESAMPLES, quantile, resample};
pub use estimate::{Estimate, StandardScale, mean, sd};
pub use front::{Point, hypervolume, pareto_front};
pub use pool::{expected_best, expected_choice, percentile, regret};
pub use rank::{disattenuated, kendall_tau_b, precision_at_top};
pub use ridge::Ridge;
pub use student::{t_cdf, t_interval, t_quantile, welch_interval};
pub use variance::Components;

/// The source of random draws.
pub use enas_rng::{Seed, Stream};

/// Compiles and runs the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadMe;
