//! Findings about the number of images per class.

use crate::dataset::checks::lacking;
use crate::finding::{Case, ClassCount, Finding, FindingKind, Severity, count};
use crate::source::item::{Item, Part};

/// Minimum number of training images per class; with fewer a network learns little about it.
const TINY: usize = 10;
/// With fewer images, the 95 % interval of an accuracy may reach 14 points to each side, or further.
const FEW_TO_MEASURE: usize = 50;

/// Findings about classes with few training images, and classes that a split lacks.
pub(super) fn scarcity(classes: &[String], items: &[Item], counts: &[ClassCount]) -> Vec<Finding> {
    let tiny = counts.iter().filter(|c| (1..TINY).contains(&c.train));
    let tiny: Vec<Case> = tiny
        .map(|c| Case {
            paths: vec![c.class.clone()],
            detail: count(c.train, "training image", "training images"),
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
            kind: FindingKind::TinyClass,
            summary: format!("{} {has} fewer than {TINY} training images", tiny.len()),
            consequence: "they are used as they are, but little can be learnt from them: add images".into(),
            cases: tiny,
        },
        Finding {
            severity: Severity::Warning,
            kind: FindingKind::MissingClass,
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
        kind: FindingKind::SmallSplit,
        summary: format!("few images to measure with: {}", said.join(", ")),
        consequence: format!(
            "differences of a few points there are chance: {FEW_TO_MEASURE} images or more measure better"
        ),
        cases: Vec::new(),
    })
}
