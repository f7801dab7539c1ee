//! Findings about the number of images per class.

use super::report::{Case, ClassCount, Finding, Kind, Severity, count};
use crate::checks::lacking;
use crate::config::Sampling;
use crate::layout::{Item, Part};

/// Minimum number of training images per class; with fewer a network learns little about it.
const TINY: usize = 10;
/// Ratio of class sizes from which the imbalance is reported.
const IMBALANCED: usize = 10;
/// With fewer images, the 95 % interval of an accuracy may reach 14 points to each side, or further.
const FEW_TO_MEASURE: usize = 50;

/// Number of images of every class in every part.
pub(super) fn counts(classes: &[String], items: &[Item]) -> Vec<ClassCount> {
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
pub(super) fn imbalance(counts: &[ClassCount], sampling: Sampling) -> Option<Finding> {
    let usual = counts.iter().filter(|c| c.train > 0);
    let (least, most) = (usual.clone().min_by_key(|c| c.train)?, usual.max_by_key(|c| c.train)?);
    if most.train < IMBALANCED * least.train {
        return None;
    }
    let times = most.train / least.train;
    let rare = counts.iter().filter(|c| c.train > 0 && c.train * IMBALANCED <= most.train);
    let case = |c: &ClassCount| Case {
        paths: vec![c.class.clone()],
        detail: count(c.train, "training picture", "training pictures"),
    };
    let (severity, consequence) = match sampling {
        Sampling::Balanced => {
            (Severity::Note, "a training draws all classes equally often (data.sampling = \"balanced\")")
        }
        Sampling::Shuffled => (
            Severity::Warning,
            "rare classes count little: data.sampling = \"balanced\" or run.class_weights = \"balanced\" makes \
             classes count alike, and the metric \"macro-f1\" measures them so",
        ),
    };
    Some(Finding {
        severity,
        kind: Kind::Imbalance,
        summary: format!(
            "the largest class, {}, has {times} times the training pictures of the smallest, {} ({} to {})",
            most.class, least.class, most.train, least.train
        ),
        consequence: consequence.into(),
        cases: rare.map(case).collect(),
    })
}

/// Findings about classes with few training images, and classes that a split lacks.
pub(super) fn scarcity(classes: &[String], items: &[Item], counts: &[ClassCount]) -> Vec<Finding> {
    let tiny = counts.iter().filter(|c| (1..TINY).contains(&c.train));
    let tiny: Vec<Case> = tiny
        .map(|c| Case {
            paths: vec![c.class.clone()],
            detail: count(c.train, "training picture", "training pictures"),
        })
        .collect();
    let missing = lacking(classes, items).into_iter().flat_map(|(part, classes)| {
        classes.into_iter().map(move |class| Case {
            paths: vec![class.to_owned()],
            detail: format!("not in {}", part.name()),
        })
    });
    let missing: Vec<Case> = missing.collect();
    let has = if tiny.len() == 1 { "class has" } else { "classes have" };
    let is = if missing.len() == 1 { "class is" } else { "classes are" };
    [
        Finding {
            severity: Severity::Warning,
            kind: Kind::TinyClass,
            summary: format!("{} {has} fewer than {TINY} training pictures", tiny.len()),
            consequence: "they are used as they are, but little can be learnt from them: add pictures".into(),
            cases: tiny,
        },
        Finding {
            severity: Severity::Warning,
            kind: Kind::MissingClass,
            summary: format!("{} {is} missing from a split", missing.len()),
            consequence: "nothing measures how well these classes are recognised there".into(),
            cases: missing,
        },
    ]
    .into_iter()
    .filter(|finding| !finding.cases.is_empty())
    .collect()
}

/// The note about validation and test splits that measure coarsely.
pub(super) fn small_splits(counts: &[ClassCount]) -> Option<Finding> {
    let sum = |of: fn(&ClassCount) -> usize| counts.iter().map(of).sum::<usize>();
    let sizes = [(Part::Valid, sum(|c| c.valid)), (Part::Test, sum(|c| c.test))];
    let few: Vec<(Part, usize)> =
        sizes.into_iter().filter(|(_, n)| (1..FEW_TO_MEASURE).contains(n)).collect();
    let said: Vec<String> =
        few.iter().map(|(part, n)| format!("{} {}", part.name(), count(*n, "image", "images"))).collect();
    (!few.is_empty()).then(|| Finding {
        severity: Severity::Note,
        kind: Kind::SmallSplit,
        summary: format!("few images to measure with: {}", said.join(", ")),
        consequence: format!(
            "differences of a few points there are chance: {FEW_TO_MEASURE} images or more measure better"
        ),
        cases: Vec::new(),
    })
}
