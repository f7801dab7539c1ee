//! How a study is observed and stopped from outside.

use crate::record::{SearchPick, StudyTrial};

/// An observer of a study. It never changes a result; it can only stop the work early.
pub trait StudyObserver {
    /// Called for everything that happens.
    fn event(&mut self, event: &StudyEvent<'_>);

    /// Called between steps. `true` stops the study: finished work is saved, and the study can continue later.
    fn should_stop(&self) -> bool {
        false
    }
}

/// The observer that does nothing.
impl StudyObserver for () {
    fn event(&mut self, _: &StudyEvent<'_>) {}
}

/// An event of a study.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum StudyEvent<'a> {
    /// A training has progressed.
    Training {
        /// Its name, such as `random 3, seed 1`.
        name: &'a str,
        /// Share of its steps that is done, 0 to 1.
        share: f64,
    },
    /// A training is finished.
    Trained {
        /// Its result.
        trial: &'a StudyTrial,
        /// Number of finished trainings and searches.
        done: usize,
        /// Number of all trainings and searches.
        total: usize,
    },
    /// A search starts or continues.
    Searching {
        /// Its number, from 1.
        number: usize,
        /// Number of searches.
        searches: usize,
    },
    /// An event of a search.
    Search(&'a enas_search::Event<'a>),
    /// A search is finished.
    Found {
        /// Its result.
        pick: &'a SearchPick,
        /// Number of finished trainings and searches.
        done: usize,
        /// Number of all trainings and searches.
        total: usize,
    },
}
