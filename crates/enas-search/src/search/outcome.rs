//! What a search found.

use std::path::PathBuf;

use enas_arc::Arc;
use serde::Serialize;

use crate::finals::FinalsOutcome;
use crate::paired::PairedDifference;
use crate::select::{Candidate, Selection};

/// What a search found.
#[derive(Clone, Debug, PartialEq)]
pub struct SearchOutcome<A = Arc> {
    /// The run directory.
    pub run: PathBuf,
    /// The arc found: the balanced one of the finals, or without finals the best candidate of the policy.
    pub arc: A,
    /// Accuracy of its network after the finals on the half of validation that reports; without finals, its accuracy with
    /// the shared weights on the whole validation split. 0 to 1.
    pub valid_accuracy: f64,
    /// Its macro-F1 there, where that decides.
    pub valid_macro_f1: Option<f64>,
    /// Mean accuracy of uniformly random arcs on the same images, as long trained or with the same shared weights; `None` when
    /// none were asked for.
    pub random_valid_accuracy: Option<f64>,
    /// By how much the arc is more accurate there than the best of the random ones; `None` when none were asked for, or where
    /// finals compared trained networks.
    pub difference: Option<PairedDifference>,
    /// What to know of the arc and of the policy before trusting them.
    pub warnings: Vec<String>,
    /// All arcs that were scored with the shared weights.
    pub selection: Selection<A>,
    /// What the finals came to; `None` where the settings have none.
    pub finals: Option<FinalsOutcome>,
    /// Epochs done.
    pub epochs: u64,
    /// Wall time, over all sessions of a resumed run.
    pub seconds: f64,
    /// Trained weights of the search network, without the auxiliary head.
    pub params: usize,
    /// Multiply-adds per picture of the arc in the search network.
    pub macs: u64,
}

/// What a finished search says beside the arc.
#[derive(Serialize)]
pub(super) struct Facts {
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

impl Facts {
    /// The same without what depends on the machine.
    pub(super) fn without_times(self) -> Self {
        Self { finals: self.finals.map(|finals| finals.without_times()), ..self }
    }
}

impl<A> SearchOutcome<A> {
    /// The same with its architectures in another form.
    pub(super) fn map<B>(self, mut form: impl FnMut(A) -> B) -> SearchOutcome<B> {
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

    pub(super) fn facts(&self) -> Facts {
        let Self { valid_accuracy, valid_macro_f1, random_valid_accuracy, difference, .. } = *self;
        let Self { epochs, params, macs, .. } = *self;
        let warnings = self.warnings.clone();
        Facts {
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
