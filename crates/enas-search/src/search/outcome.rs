//! The result of a search.

use std::path::PathBuf;

use enas_arc::{Arc, Arch};
use enas_run::finals::FinalsOutcome;
use enas_run::paired::PairedDifference;
use serde::Serialize;

use crate::select::{Candidate, Selection};

/// The result of a search.
#[derive(Clone, Debug, PartialEq)]
pub struct SearchOutcome<A = Arc> {
    /// The run directory.
    pub run: PathBuf,
    /// The arc found: the balanced pick of the finals; without finals, the strategy's best candidate.
    pub arc: A,
    /// Accuracy of the arc's network, 0 to 1. With finals: the trained network on the reporting half of the
    /// validation split. Without: the shared weights on the whole validation split.
    pub valid_accuracy: f64,
    /// Macro-F1 on the same images, if candidates are ranked by it.
    pub valid_macro_f1: Option<f64>,
    /// Mean accuracy of uniformly random arcs on the same images, with the same training or the same shared weights.
    /// `None` if no random arcs were asked for.
    pub random_valid_accuracy: Option<f64>,
    /// Difference in accuracy between the arc and the best random one, image by image. `None` without random arcs, or
    /// if finals compared trained networks.
    pub difference: Option<PairedDifference>,
    /// Signs that the arc or the policy should not be trusted, for the user.
    pub warnings: Vec<String>,
    /// All arcs that were scored with the shared weights.
    pub selection: Selection<A>,
    /// The result of the finals; `None` if the settings have none.
    pub finals: Option<FinalsOutcome>,
    /// Epochs completed.
    pub epochs: u64,
    /// Wall time in seconds, over all sessions of a resumed run.
    pub seconds: f64,
    /// Trained weights of the shared network, without the auxiliary head.
    pub params: usize,
    /// Multiply-adds per image of the arc in the shared network.
    pub macs: u64,
}

/// What `best.arc.json` and the log say about a finished search, in addition to the arc.
#[derive(Serialize)]
pub(super) struct ResultSummary {
    valid_accuracy: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    valid_macro_f1: Option<f64>,
    random_valid_accuracy: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    difference: Option<PairedDifference>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    epochs: u64,
    params: usize,
    macs: u64,
    #[serde(flatten)]
    finals: Option<FinalsOutcome>,
}

impl ResultSummary {
    /// The same without times, so that equal seeds give equal files.
    pub(super) fn without_times(self) -> Self {
        Self { finals: self.finals.map(|finals| finals.without_times()), ..self }
    }
}

impl SearchOutcome<Arch> {
    /// The outcome of a search of the micro space.
    ///
    /// # Panics
    /// If an architecture is not of that space.
    pub(super) fn of_cells(self) -> SearchOutcome {
        self.map(|arch| match arch {
            Arch::Micro(arc) => arc,
            Arch::Macro(_) => unreachable!("a search of the micro space has cells only"),
        })
    }
}

impl<A> SearchOutcome<A> {
    /// The same outcome with every architecture converted by `form`.
    fn map<B>(self, mut form: impl FnMut(A) -> B) -> SearchOutcome<B> {
        let Self { run, arc, valid_accuracy, valid_macro_f1, random_valid_accuracy, difference, .. } = self;
        let Self { warnings, selection, finals, epochs, seconds, params, macs, .. } = self;
        let Selection { candidates, random } = selection;
        let mut all = |of: Vec<Candidate<A>>| of.into_iter().map(|one| one.map(&mut form)).collect();
        let selection = Selection { candidates: all(candidates), random: all(random) };
        SearchOutcome {
            run,
            arc: form(arc),
            valid_accuracy,
            valid_macro_f1,
            random_valid_accuracy,
            difference,
            warnings,
            selection,
            finals,
            epochs,
            seconds,
            params,
            macs,
        }
    }

    pub(super) fn result_summary(&self) -> ResultSummary {
        let Self { valid_accuracy, valid_macro_f1, random_valid_accuracy, difference, .. } = *self;
        let Self { epochs, params, macs, .. } = *self;
        let warnings = self.warnings.clone();
        ResultSummary {
            valid_accuracy,
            valid_macro_f1,
            random_valid_accuracy,
            difference,
            warnings,
            epochs,
            params,
            macs,
            finals: self.finals.clone(),
        }
    }
}
