//! The record of each training and search: one line of `trials.jsonl`.

use enas_arc::Arc;
use serde::{Deserialize, Serialize};

/// The group of architectures that a training belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Group {
    /// Uniformly drawn architectures.
    Pool,
    /// Uniformly drawn wide architectures, whose branches all read a cell's inputs.
    Wide,
    /// Architectures found by searches.
    SearchPick,
    /// Random architectures with the size and cost of a pick.
    Control,
    /// The small picks of the same searches; see [`SearchPick::small`].
    Small,
}

impl Group {
    /// All groups, in the order of tables.
    pub const ALL: [Self; 5] = [Self::Pool, Self::Wide, Self::Control, Self::Small, Self::SearchPick];

    /// A description of the group for tables and legends.
    pub fn description(self) -> &'static str {
        match self {
            Self::Pool => "random",
            Self::Wide => "random, wide cells",
            Self::SearchPick => "found by search",
            Self::Control => "random, size of those found",
            Self::Small => "small, found by search",
        }
    }
}

/// Identifies a training of a study.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TrialKey {
    /// The group of its architecture.
    pub group: Group,
    /// The number of the architecture in its group, from 0. Found architectures and small picks have the number of
    /// their search. With `n` controls per pick, those of pick `i` have the numbers `i·n` to `i·n + n − 1`.
    pub index: usize,
    /// The number of the training, from 0. The same repeat has the same seed in all groups.
    pub repeat: u64,
}

/// A network that was trained alone and measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StudyTrial {
    /// The training.
    #[serde(flatten)]
    pub key: TrialKey,
    /// Its seed, for the initial weights and the order of the images.
    pub seed: u64,
    /// The architecture.
    pub arc: Arc,
    /// The measurements.
    #[serde(flatten)]
    pub measured: Measurements,
    /// For controls: whether size and cost are within the tolerances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fits: Option<bool>,
    /// Wall time in seconds.
    pub seconds: f64,
}

/// The measurements of a training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measurements {
    /// Number of trained weights.
    pub params: usize,
    /// Multiply-adds per image.
    pub macs: u64,
    /// Mean training loss of every epoch, in nats.
    pub losses: Vec<f64>,
    /// Mean cross entropy after every epoch on the half of the validation images for choosing, in nats. Empty in
    /// studies of earlier versions, as [`Self::choose_accuracies`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub choose_losses: Vec<f64>,
    /// Accuracy after every epoch on the same images, 0 to 1.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub choose_accuracies: Vec<f64>,
    /// Mean loss at the end of a short training: the second and third of ten epochs.
    pub early_loss: f64,
    /// Mean loss at the end of the whole training.
    pub late_loss: f64,
    /// Accuracy on the half of the validation images for choosing, 0 to 1.
    pub choose_accuracy: f64,
    /// Accuracy on the other half, for reporting.
    pub report_accuracy: f64,
    /// Accuracy on the test images.
    pub test_accuracy: f64,
    /// Mean cross entropy on the test images, in nats.
    pub test_loss: f64,
}

/// The result of a search.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SearchPick {
    /// The number of the search, from 0.
    pub index: usize,
    /// Its seed.
    pub seed: u64,
    /// The architecture found.
    pub arc: Arc,
    /// The small pick of the search; `None` if the search had no finals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub small: Option<Arc>,
    /// The accuracy of `arc` on the validation images as the search measured it, 0 to 1.
    pub valid_accuracy: f64,
    /// The mean accuracy of the random architectures that the search measured in the same way.
    pub random_valid_accuracy: Option<f64>,
    /// Wall time in seconds.
    pub seconds: f64,
}

/// A line of `trials.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum LogLine {
    /// A training.
    Training(StudyTrial),
    /// A search.
    Search(SearchPick),
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A training with this accuracy; its losses follow from the accuracy.
    pub(crate) fn trial(key: TrialKey, arc: &Arc, accuracy: f64, (params, macs): (usize, u64)) -> StudyTrial {
        let loss = 2.0 - accuracy;
        let measured = Measurements {
            params,
            macs,
            losses: vec![loss + 0.3, loss + 0.1, loss],
            choose_losses: Vec::new(),
            choose_accuracies: Vec::new(),
            early_loss: loss + 0.2,
            late_loss: loss,
            choose_accuracy: accuracy,
            report_accuracy: accuracy,
            test_accuracy: accuracy,
            test_loss: loss,
        };
        StudyTrial { key, seed: 8 + key.repeat, arc: arc.clone(), measured, fits: None, seconds: 1.5 }
    }

    #[test]
    fn lines_come_back_to_the_last_bit() {
        let arc: Arc = "0 0 1 4 2 2 0 3 0 1 1 4 2 2 1 3".parse().unwrap();
        let key = TrialKey { group: Group::Control, index: 3, repeat: 1 };
        let mut one = trial(key, &arc, 0.1 + 0.2, (640, 12_345));
        one.fits = Some(false);
        let line = LogLine::Training(one);
        let text = serde_json::to_string(&line).unwrap();
        assert!(
            text.starts_with(r#"{"kind":"training","group":"control","index":3,"repeat":1,"seed":9,"#),
            "{text}"
        );
        assert_eq!(serde_json::from_str::<LogLine>(&text).unwrap(), line);
        let small = Some(arc.clone());
        let valid_accuracy = 0.7;
        let random_valid_accuracy = None;
        let pick =
            SearchPick { index: 0, seed: 2, arc, small, valid_accuracy, random_valid_accuracy, seconds: 2.0 };
        let text = serde_json::to_string(&LogLine::Search(pick.clone())).unwrap();
        assert_eq!(serde_json::from_str::<LogLine>(&text).unwrap(), LogLine::Search(pick.clone()));
        // Studies of earlier versions kept the balanced architecture alone.
        let earlier = SearchPick { small: None, ..pick };
        let text = serde_json::to_string(&LogLine::Search(earlier.clone())).unwrap();
        assert!(!text.contains("small"), "{text}");
        assert_eq!(serde_json::from_str::<LogLine>(&text).unwrap(), LogLine::Search(earlier));
    }
}
