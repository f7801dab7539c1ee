//! The trainings of a group, by architecture.

use std::collections::BTreeMap;

use enas_stats::{Bootstrap, Components, Estimate, mean};
use serde::Serialize;

use crate::record::{Group, Measurements, StudyTrial};

/// The results of a group.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GroupSummary {
    /// The group.
    pub group: Group,
    /// Number of architectures with at least one training.
    pub arcs: usize,
    /// Number of trainings.
    pub trainings: usize,
    /// Mean test accuracy over the architectures.
    pub test_accuracy: Estimate,
    /// Lowest and highest mean test accuracy of an architecture.
    pub range: [f64; 2],
    /// Standard deviation between architectures in percentage points, without the contribution of the seeds.
    pub sd_points: Option<f64>,
    /// Standard deviation between seeds of one architecture, in percentage points.
    pub seed_sd_points: Option<f64>,
    /// Reliability: share of the variance between the architectures' means that is not noise of the seeds.
    pub reliability: Option<f64>,
    /// Mean number of weights.
    pub params: f64,
    /// Mean number of multiply-adds per image.
    pub macs: f64,
    /// Number of controls outside the tolerances of size and cost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_fitting: Option<usize>,
}

/// The trainings of a group by architecture, each in the order of its seeds.
#[derive(Debug)]
pub(super) struct GroupTrials<'a> {
    group: Group,
    /// By the number of the architecture; no entry is empty.
    pub(super) by_arc: BTreeMap<usize, BTreeMap<u64, &'a StudyTrial>>,
}

impl<'a> GroupTrials<'a> {
    pub(super) fn of(group: Group, trials: &'a [StudyTrial]) -> Self {
        let mut by_arc: BTreeMap<usize, BTreeMap<u64, &StudyTrial>> = BTreeMap::new();
        for trial in trials.iter().filter(|trial| trial.key.group == group) {
            by_arc.entry(trial.key.index).or_default().insert(trial.key.repeat, trial);
        }
        Self { group, by_arc }
    }

    /// The test accuracies of every architecture, by seed.
    pub(super) fn accuracies(&self) -> Vec<Vec<f64>> {
        self.by_arc
            .values()
            .map(|repeats| repeats.values().map(|t| t.measured.test_accuracy).collect())
            .collect()
    }

    /// The mean test accuracy of every architecture.
    pub(super) fn means(&self) -> Vec<f64> {
        self.accuracies().iter().map(|repeats| mean(repeats)).collect()
    }

    /// One measurement per architecture, for values that do not depend on the seed.
    pub(super) fn sizes(&self) -> impl Iterator<Item = &'a Measurements> {
        self.by_arc.values().map(|repeats| &repeats.values().next().expect("none is empty").measured)
    }

    /// The mean number of multiply-adds per image; `None` for a group without trainings.
    pub(super) fn mean_macs(&self) -> Option<f64> {
        let macs: Vec<f64> = self.sizes().map(|measured| measured.macs as f64).collect();
        (!macs.is_empty()).then(|| mean(&macs))
    }

    /// The summary of the group; `None` if it has no trainings.
    pub(super) fn summary(&self, bootstrap: &Bootstrap) -> Option<GroupSummary> {
        let accuracies = self.accuracies();
        let means = self.means();
        let low = means.iter().copied().reduce(f64::min)?;
        let high = means.iter().copied().reduce(f64::max)?;
        let spread = Components::of(&accuracies);
        let trainings = accuracies.iter().map(Vec::len).sum::<usize>();
        let unfit =
            self.by_arc.values().flat_map(|repeats| repeats.values()).filter(|t| t.fits == Some(false));
        let average = |value: fn(&Measurements) -> f64| mean(&self.sizes().map(value).collect::<Vec<f64>>());
        Some(GroupSummary {
            group: self.group,
            arcs: accuracies.len(),
            trainings,
            test_accuracy: bootstrap.mean(&accuracies),
            range: [low, high],
            sd_points: spread.map(|spread| 100.0 * spread.between),
            seed_sd_points: spread.and_then(|spread| spread.within).map(|sd| 100.0 * sd),
            reliability: spread
                .and_then(|spread| spread.reliability(trainings as f64 / accuracies.len() as f64)),
            params: average(|measured| measured.params as f64),
            macs: average(|measured| measured.macs as f64),
            not_fitting: (self.group == Group::Control).then(|| unfit.count()),
        })
    }
}
