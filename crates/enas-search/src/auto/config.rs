//! The settings of an automatic run.

use enas_arc::Arc;
use enas_run::auto::SearchWhen;
use enas_run::config::{SearchConfig, TimeLimit, TrainConfig};

use crate::cells::{DEFAULT_CELL, LIGHT_CELL, ready_cells};

/// With fewer training images, [`LIGHT_CELL`] is trained: it can overfit such data too, at a lower cost.
const FEW: usize = 1000;

/// All settings of an automatic run.
#[derive(Clone, Debug, PartialEq)]
pub struct AutoConfig {
    /// Settings of the search. The plan sets `run.time`.
    pub search: SearchConfig,
    /// Settings of both trainings. The plan sets `run.time`.
    pub train: TrainConfig,
    /// Wall-time limit of everything, including sessions before an interruption.
    pub time: TimeLimit,
    /// Seconds that the caller needs afterwards, in addition to one prediction of the validation and test images.
    pub finish: f64,
    /// Whether the run searches, or trains a ready cell.
    pub search_when: SearchWhen,
    /// The cell to train. If it is given, there is no search, whatever `search_when` says.
    pub cell: Option<Arc>,
    /// Whether the size of the trained network (`child.filters`, `child.layers`) is fitted to the time limit instead
    /// of taken from `train`.
    pub fits_network: bool,
}

impl AutoConfig {
    /// Epochs of the first model's training.
    pub(super) fn first_epochs(&self) -> u64 {
        self.train.run.epochs.div_ceil(10)
    }

    /// Whether a run with this many training images, and time for this many steps, searches.
    pub(super) fn searches(&self, images: usize, steps: f64) -> bool {
        self.cell.is_none() && self.search_when.searches(images, steps)
    }

    /// The cell that is trained without a search: the given one, or a ready one for this number of training images.
    pub(super) fn cell_for(&self, images: usize) -> Arc {
        self.cell.clone().unwrap_or_else(|| {
            let name = if images < FEW { LIGHT_CELL } else { DEFAULT_CELL };
            let cell = ready_cells().into_iter().find(|cell| cell.name == name);
            cell.expect("both are among the ready cells").arc
        })
    }
}

#[cfg(test)]
mod tests {
    use enas_run::auto::SearchWhen;

    #[test]
    fn a_search_needs_images_and_steps() {
        let pays = |images, steps| SearchWhen::IfItPays.searches(images, steps);
        assert!(pays(1000, 60_000.0) && pays(50_000, f64::INFINITY));
        assert!(!pays(999, f64::INFINITY) && !pays(50_000, 59_999.0));
        assert!(SearchWhen::Always.searches(1, 0.0) && !SearchWhen::Never.searches(50_000, f64::INFINITY));
    }
}
