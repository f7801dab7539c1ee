//! The finals of a search: networks of candidates are trained alone, in three rounds, and the best go on.
//!
//! ```text
//! round 1   all candidates, finals.steps each; then mutants of the best eight
//! round 2   the best quarter, three times as many steps
//! round 3   a quarter of those, ten times as many; random controls beside them
//! ```
//!
//! What decides is the mean training loss of the last two thirds of a network's steps. It is measured at every step, so it
//! is far less noisy than an accuracy after a short training, and all networks see the same images in the same order.
//! Validation is halved: one half may veto a winner that learns by heart, the other is looked at by no choice and reports.

mod again;
mod candidates;
mod halves;
mod outcome;
mod picks;
mod recipe;
mod rounds;

pub use self::again::train_as_finalist;
pub use self::candidates::Source;
pub(crate) use self::halves::Halves;
pub use self::outcome::{Control, Finalist, FinalsOutcome, FirstRound, Gain, Pick, Picks};
pub(crate) use self::recipe::{recipe, steps_of_all};
pub(crate) use self::rounds::{Finals, FinalsProgress, Task};
