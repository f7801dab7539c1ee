//! How a study is watched and stopped from outside.

use crate::record::{Pick, Trial};

/// Someone who watches a study. An observer never changes a number; it can only end the work early.
pub trait StudyObserver {
    /// Called for everything that happens.
    fn event(&mut self, event: &StudyEvent<'_>);

    /// Asked between steps. `true` ends the study: what is finished is saved, and it can go on later.
    fn should_stop(&self) -> bool {
        false
    }
}

/// Nobody watches.
impl StudyObserver for () {
    fn event(&mut self, _: &StudyEvent<'_>) {}
}

/// Something that happened in a study.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum StudyEvent<'a> {
    /// A training goes on.
    Training {
        /// Its name, such as `random 3, seed 1`.
        name: &'a str,
        /// Share of its steps that is done, 0 to 1.
        share: f64,
    },
    /// A training is finished.
    Trained {
        /// What it came to.
        trial: &'a Trial,
        /// Trainings and searches that are finished, and how many there will be.
        done: usize,
        /// All of them.
        total: usize,
    },
    /// A search begins or goes on.
    Searching {
        /// Its number, from 1.
        number: usize,
        /// How many there are.
        searches: usize,
    },
    /// Something happened in a search.
    Search(&'a enas_search::Event<'a>),
    /// A search is finished.
    Found {
        /// What it found.
        pick: &'a Pick,
        /// Trainings and searches that are finished, and how many there will be.
        done: usize,
        /// All of them.
        total: usize,
    },
}
