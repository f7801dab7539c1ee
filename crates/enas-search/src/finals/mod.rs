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
//! The validation split is halved: one half chooses, the other reports, and no choice uses it. Networks are ranked by
//! three measures, each standardised over the round and added: the mean training loss over the last two thirds of
//! the steps, and loss and accuracy on the choosing half. Every step contributes to the training loss, so it tells
//! the most after few steps. The other two tell whether a network generalises, and count less if there are few images
//! (`combined_score.rs`). All networks see the same images in the same order.
//!
//! Mutants are chosen by a ridge regression on the results of the drawn candidates (`features.rs`).

mod again;
mod candidates;
mod combined_score;
mod conclusion;
mod features;
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
