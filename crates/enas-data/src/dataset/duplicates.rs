//! Duplicates of images, and what they mean for labels and splits. Exact duplicates have equal SHA-256 digests.

use std::collections::BTreeMap;

use crate::finding::{Case, Finding, FindingKind, Severity, count};
use crate::source::item::{Item, Part};

/// Indices of images that belong together; each group and the groups are in ascending order.
pub(crate) type Groups = Vec<Vec<usize>>;

/// Groups of images with the same SHA-256.
pub(crate) fn exact_duplicates(hashes: impl Iterator<Item = [u8; 32]>) -> Groups {
    let mut by_hash: BTreeMap<[u8; 32], Vec<usize>> = BTreeMap::new();
    hashes.enumerate().for_each(|(i, hash)| by_hash.entry(hash).or_default().push(i));
    let mut groups: Groups = by_hash.into_values().filter(|group| group.len() > 1).collect();
    groups.sort_unstable();
    groups
}

/// Names for indices of images.
#[derive(Clone, Copy)]
pub(crate) struct ImageNames<'a> {
    pub(crate) files: &'a [String],
    pub(crate) classes: &'a [String],
    pub(crate) items: &'a [Item],
}

/// Findings about groups of equal images; `exact` tells whether they are equal byte for byte.
pub(crate) fn findings(names: ImageNames<'_>, groups: &Groups, exact: bool) -> Vec<Finding> {
    let mut conflicts = Vec::new();
    let mut leaks = Vec::new();
    let mut copies = Vec::new();
    for group in groups {
        let parts: Vec<Option<Part>> = distinct(group.iter().map(|&i| names.items[i].part));
        let labels: Vec<usize> = distinct(group.iter().map(|&i| names.items[i].class));
        if labels.len() > 1 {
            let labels: Vec<&str> = labels.iter().map(|&class| names.classes[class].as_str()).collect();
            conflicts.push(case(names, group, format!("labels {}", labels.join(", "))));
        }
        if parts.len() > 1 {
            let parts: Vec<&str> = parts.iter().flatten().map(|part| part.name()).collect();
            leaks.push(case(names, group, format!("splits {}", parts.join(", "))));
        }
        if labels.len() == 1 && parts.len() == 1 {
            copies.push(case(names, group, String::new()));
        }
    }
    let same = if exact { "the same" } else { "nearly the same" };
    let [conflict, leak, copy] = match exact {
        true => [FindingKind::ConflictingLabels, FindingKind::Leakage, FindingKind::Duplicate],
        false => [FindingKind::NearConflictingLabels, FindingKind::NearLeakage, FindingKind::NearDuplicate],
    };
    let groups = |cases: &[Case]| count(cases.len(), "group", "groups");
    let finding = |severity, kind, what: &str, cases: Vec<Case>, consequence: &str| Finding {
        severity,
        kind,
        summary: format!("{} of {same} image {what}", groups(&cases)),
        consequence: consequence.to_owned(),
        cases,
    };
    let wrong = "all are kept, so at least one label of each group is wrong: keep the right one";
    let leaking = "all are kept, so accuracies are too high, because the network learned from these images: keep each \
                   image in one split only";
    let repeated = "all are kept, and each copy counts";
    [
        finding(Severity::Warning, conflict, "under different labels", conflicts, wrong),
        finding(Severity::Warning, leak, "in more than one split", leaks, leaking),
        finding(Severity::Note, copy, "more than once in a split", copies, repeated),
    ]
    .into_iter()
    .filter(|finding| !finding.cases.is_empty())
    .collect()
}

fn distinct<T: Ord>(values: impl Iterator<Item = T>) -> Vec<T> {
    let mut all: Vec<T> = values.collect();
    all.sort_unstable();
    all.dedup();
    all
}

fn case(names: ImageNames<'_>, group: &[usize], detail: String) -> Case {
    Case { paths: group.iter().map(|&i| names.files[names.items[i].file].clone()).collect(), detail }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_hashes_make_groups_in_the_order_of_their_first() {
        let hashes = [3u8, 1, 3, 2, 1, 1].map(|h| [h; 32]);
        assert_eq!(exact_duplicates(hashes.into_iter()), [vec![0, 2], vec![1, 4, 5]]);
    }
}
