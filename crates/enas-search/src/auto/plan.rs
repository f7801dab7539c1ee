//! The division of an automatic run's time among its phases.

use serde::{Deserialize, Serialize};

use super::FittedNetwork;
use super::costs::Work;

/// The phases of an automatic run, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AutoPhase {
    /// A short training of a random arc, so that there is a model early on.
    First,
    /// The search.
    Search,
    /// The training of the arc found.
    Train,
}

impl AutoPhase {
    /// Name of the phase's folder within that of the run.
    pub fn folder(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Search => "search",
            Self::Train => "train",
        }
    }
}

/// Expected time of each phase, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AutoPlan {
    /// [`AutoPhase::First`].
    pub first: f64,
    /// [`AutoPhase::Search`], including the choice at its end.
    pub search: f64,
    /// [`AutoPhase::Train`], including the measurement on the test split.
    pub train: f64,
    /// The caller's work with the model: one more prediction of the validation and test images, and what it asked for
    /// in addition.
    pub finish: f64,
    /// Whether there is a search. If not, a ready cell is trained and there are no other phases.
    #[serde(default = "always")]
    pub searches: bool,
    /// The size of the trained network, if it was fitted to the time limit.
    #[serde(default)]
    pub network: Option<FittedNetwork>,
    /// Training steps of the final network that fitted into the time when the plan was made. Absent in plans of early
    /// versions and without a limit.
    #[serde(default)]
    pub possible_steps: Option<f64>,
}

/// The value of early versions, which always searched.
fn always() -> bool {
    true
}

/// Maximum share of the time for the first model.
const FIRST: f64 = 0.06;
/// Share of the remaining time that the search may take even if the training could use it.
const SEARCH: f64 = 0.45;
/// The same share if there is time for fewer than [`FEW_STEPS`] training steps; the search then has finals only.
const FINALS: f64 = 0.25;
/// Number of training steps below which shared weights learn too little.
const FEW_STEPS: f64 = 15_000.0;

impl AutoPlan {
    /// Divides what `limit` leaves after `spent` seconds. Without a limit, or if everything fits, every phase gets
    /// the time that its configuration asks for.
    pub(super) fn divide(limit: Option<f64>, spent: f64, work: &Work, finish: f64) -> Self {
        let finish = finish + work.predict;
        let whole = Self {
            first: work.first,
            search: work.search,
            train: work.train,
            finish,
            searches: true,
            network: None,
            possible_steps: None,
        };
        let Some(limit) = limit else { return whole };
        let left = (limit - spent - finish).max(0.0);
        let first = work.first.min(FIRST * left);
        let rest = left - first;
        let share = if left < FEW_STEPS * work.step { FINALS } else { SEARCH };
        // The search gets what the training does not need, but at least its share of the rest.
        let search = work.search.min((rest - work.train).max(share * rest));
        Self { first, search, train: work.train.min(rest - search), ..whole }
    }

    /// A plan with a training only: `train` seconds, or what `limit` leaves after `spent` seconds.
    pub(super) fn without_search(limit: Option<f64>, spent: f64, train: f64, finish: f64) -> Self {
        let left = limit.map_or(f64::INFINITY, |limit| (limit - spent - finish).max(0.0));
        let (searches, network, possible_steps) = (false, None, None);
        Self { first: 0.0, search: 0.0, train: train.min(left), finish, searches, network, possible_steps }
    }

    /// Total of all phases, in seconds.
    pub fn total(&self) -> f64 {
        self.first + self.search + self.train + self.finish
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORK: Work = Work { first: 50.0, search: 1000.0, train: 1000.0, predict: 1.0, step: 0.1 };

    #[test]
    fn without_a_limit_every_phase_does_what_it_wants() {
        assert_eq!(AutoPlan::divide(None, 9.0, &WORK, 5.0).total(), 2056.0);
    }

    #[test]
    fn a_wide_limit_changes_nothing() {
        assert_eq!(AutoPlan::divide(Some(3000.0), 9.0, &WORK, 5.0), AutoPlan::divide(None, 9.0, &WORK, 5.0));
    }

    #[test]
    fn a_tight_limit_is_used_up_and_kept() {
        let plan = AutoPlan::divide(Some(600.0), 20.0, &WORK, 29.0);
        assert!((plan.total() + 20.0 - 600.0).abs() < 1e-9, "{plan:?}");
        assert!((plan.first - 33.0).abs() < 1e-9 && plan.search < plan.train, "{plan:?}");
    }

    #[test]
    fn what_one_phase_does_not_need_goes_to_the_other() {
        let short_training =
            AutoPlan::divide(Some(600.0), 0.0, &Work { train: 100.0, predict: 0.0, ..WORK }, 0.0);
        assert!((short_training.search - (600.0 - 36.0 - 100.0)).abs() < 1e-9, "{short_training:?}");
        let short_search =
            AutoPlan::divide(Some(600.0), 0.0, &Work { search: 10.0, predict: 0.0, ..WORK }, 0.0);
        assert!((short_search.train - (600.0 - 36.0 - 10.0)).abs() < 1e-9, "{short_search:?}");
    }

    #[test]
    fn a_limit_that_is_over_leaves_nothing_and_nothing_negative() {
        let plan = AutoPlan::divide(Some(10.0), 30.0, &WORK, 5.0);
        assert_eq!((plan.first, plan.search, plan.train), (0.0, 0.0, 0.0));
    }
}
