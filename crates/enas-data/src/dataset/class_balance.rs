//! Number of images per class, and the finding of imbalance.

use crate::config::Sampling;
use crate::finding::{Case, ClassCount, Finding, FindingKind, Severity, count};
use crate::source::item::{Item, Part};

/// Ratio of class sizes from which the imbalance is reported.
const IMBALANCED: usize = 10;

/// Number of images of every class in every part.
pub(crate) fn counts(classes: &[String], items: &[Item]) -> Vec<ClassCount> {
    let empty = |class: &String| ClassCount { class: class.clone(), train: 0, valid: 0, test: 0 };
    let mut counts: Vec<ClassCount> = classes.iter().map(empty).collect();
    for item in items {
        let of_class = &mut counts[item.class];
        match item.part {
            Some(Part::Train) => of_class.train += 1,
            Some(Part::Valid) => of_class.valid += 1,
            Some(Part::Test) => of_class.test += 1,
            None => {}
        }
    }
    counts
}

/// The finding of imbalance, if there is one. It is a note if the settings balance the classes.
pub(crate) fn imbalance(counts: &[ClassCount], sampling: Sampling) -> Option<Finding> {
    let usual = counts.iter().filter(|c| c.train > 0);
    let least = usual.clone().min_by_key(|c| c.train)?;
    let most = usual.max_by_key(|c| c.train)?;
    if most.train < IMBALANCED * least.train {
        return None;
    }
    let times = most.train / least.train;
    let rare = counts.iter().filter(|c| c.train > 0 && c.train * IMBALANCED <= most.train);
    let case = |c: &ClassCount| Case {
        paths: vec![c.class.clone()],
        detail: count(c.train, "training image", "training images"),
    };
    let (severity, consequence) = match sampling {
        Sampling::Balanced => {
            (Severity::Note, "a training draws all classes equally often (data.sampling = \"balanced\")")
        }
        Sampling::Shuffled => (
            Severity::Warning,
            "rare classes count little: data.sampling = \"balanced\" or run.class_weights = \"balanced\" makes classes \
             count equally, and the metric \"macro-f1\" measures them equally",
        ),
    };
    Some(Finding {
        severity,
        kind: FindingKind::Imbalance,
        summary: format!(
            "the largest class, {}, has {times} times the training images of the smallest, {} ({} to {})",
            most.class, least.class, most.train, least.train
        ),
        consequence: consequence.into(),
        cases: rare.map(case).collect(),
    })
}
