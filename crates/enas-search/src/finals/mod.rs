//! The finals of a search: candidates are trained alone, in three rounds of successive halving.
//!
//! The scheme is that of Jamieson and Talwalkar (AISTATS 2016), with a quarter of the networks kept after each round:
//!
//! ```text
//! round 1   all candidates, finals.steps steps each; then mutants of the best eight
//! round 2   the best quarter, to 3 × finals.steps
//! round 3   a quarter of those, to 10 × finals.steps; random architectures are trained as long, as controls
//! ```
//!
//! Networks are ranked by the mean training loss over the last two thirds of their steps. Every step contributes to
//! it, so it is less noisy than an accuracy after a short training. All networks see the same images in the same
//! order.
//!
//! The validation split is halved. One half can veto a winner that overfits; no choice uses the other, which reports.

mod again;
mod candidates;
mod conclusion;
mod halves;
mod picks;
mod progress;
mod proposing;
mod ranking;
mod recipe;
mod rounds;
mod time;
mod training;

pub use self::again::train_as_finalist;
pub(crate) use self::halves::Halves;
pub(crate) use self::progress::FinalsProgress;
pub(crate) use self::recipe::{recipe, steps_of_all};
pub(crate) use self::rounds::{Finals, Task};
