//! Exact and near duplicates, and what they mean for labels and splits.
//!
//! Exact duplicates have equal SHA-256 digests. Near duplicates are found by SimHash ([`super::likeness`]) with
//! sorting by bands, a form of locality-sensitive hashing (LSH; Charikar, 2002; Manku et al., WWW 2007):
//!
//! 1. Cut the 64-bit hash into [`PIECES`] bands.
//! 2. Hashes that differ in at most [`MAX_BITS`] bits agree in at least `PIECES - MAX_BITS` bands (pigeonhole).
//! 3. For every choice of that many bands, sort by their bits. Candidates then are neighbours in the order.
//! 4. Compare candidates by their pixels; pairs form groups by union–find.

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::likeness::{Likeness, MAX_BITS};
use super::report::{Case, Finding, Kind, Severity, count};
use crate::layout::{Item, Part};

/// Number of bands. With six bands and three bits there are 20 choices of three bands, and so 20 sorts.
const PIECES: usize = 6;

/// Each image is compared with at most this many successors that agree in the chosen bands. Ties are sorted by
/// contrast, which near duplicates share. The limit avoids quadratic time if thousands of images are alike.
const WINDOW: usize = 64;

/// Indices of images that belong together; each group and the groups are in ascending order.
pub(super) type Groups = Vec<Vec<usize>>;

/// Groups of images with the same SHA-256.
pub(super) fn exact(hashes: impl Iterator<Item = [u8; 32]>) -> Groups {
    let mut by_hash: BTreeMap<[u8; 32], Vec<usize>> = BTreeMap::new();
    hashes.enumerate().for_each(|(i, hash)| by_hash.entry(hash).or_default().push(i));
    let mut groups: Groups = by_hash.into_values().filter(|group| group.len() > 1).collect();
    groups.sort_unstable();
    groups
}

/// Groups of images that are nearly the same: connected components of near pairs. Copies of `exact` count once.
pub(super) fn near(pictures: &[&Likeness], exact: &Groups) -> Groups {
    let mut copies = vec![false; pictures.len()];
    exact.iter().flat_map(|group| &group[1..]).for_each(|&i| copies[i] = true);
    let candidates: Vec<usize> =
        (0..pictures.len()).filter(|&i| !copies[i] && pictures[i].is_telling()).collect();
    let mut pairs: Vec<(usize, usize)> =
        masks().into_par_iter().flat_map_iter(|mask| near_pairs(pictures, &candidates, mask)).collect();
    pairs.sort_unstable();
    pairs.dedup();
    let mut groups = joined(pictures.len(), &pairs);
    // Each group also gets the exact copies of its members.
    let of_first: BTreeMap<usize, &Vec<usize>> = exact.iter().map(|group| (group[0], group)).collect();
    for group in &mut groups {
        let rest: Vec<usize> =
            group.iter().filter_map(|i| of_first.get(i)).flat_map(|g| &g[1..]).copied().collect();
        group.extend(rest);
        group.sort_unstable();
    }
    groups
}

/// The bit masks of every choice of `PIECES - MAX_BITS` bands.
fn masks() -> Vec<u64> {
    let bits = |piece: usize| {
        let edge = |k: usize| (k * 64 / PIECES) as u32;
        (edge(piece)..edge(piece + 1)).fold(0u64, |mask, bit| mask | 1 << bit)
    };
    let choices = (0u32..1 << PIECES).filter(|choice| choice.count_ones() == PIECES as u32 - MAX_BITS);
    choices
        .map(|choice| (0..PIECES).filter(|k| choice >> k & 1 == 1).fold(0, |mask, k| mask | bits(k)))
        .collect()
}

fn near_pairs(pictures: &[&Likeness], candidates: &[usize], mask: u64) -> Vec<(usize, usize)> {
    let mut order: Vec<(u64, u64, usize)> =
        candidates.iter().map(|&i| (pictures[i].hash & mask, pictures[i].spread, i)).collect();
    order.sort_unstable();
    let mut pairs = Vec::new();
    for (at, &(key, _, i)) in order.iter().enumerate() {
        let followers = order[at + 1..].iter().take(WINDOW).take_while(|(other, ..)| *other == key);
        for &(.., j) in followers {
            let bits = (pictures[i].hash ^ pictures[j].hash).count_ones();
            if bits <= MAX_BITS && pictures[i].is_near(pictures[j]) {
                pairs.push((i.min(j), i.max(j)));
            }
        }
    }
    pairs
}

/// The connected components with at least two of `n` images, by union–find.
fn joined(n: usize, pairs: &[(usize, usize)]) -> Groups {
    let mut parent: Vec<usize> = (0..n).collect();
    for &(a, b) in pairs {
        let (a, b) = (root(&mut parent, a), root(&mut parent, b));
        parent[a.max(b)] = a.min(b);
    }
    let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    (0..n).for_each(|i| groups.entry(root(&mut parent, i)).or_default().push(i));
    groups.into_values().filter(|group| group.len() > 1).collect()
}

fn root(parent: &mut [usize], mut i: usize) -> usize {
    while parent[i] != i {
        parent[i] = parent[parent[i]];
        i = parent[i];
    }
    i
}

/// Names for indices of images.
#[derive(Clone, Copy)]
pub(super) struct Names<'a> {
    pub(super) files: &'a [String],
    pub(super) classes: &'a [String],
    pub(super) items: &'a [Item],
}

/// Findings about groups of equal images; `exact` tells whether they are equal byte for byte.
pub(super) fn findings(names: Names<'_>, groups: &Groups, exact: bool) -> Vec<Finding> {
    let (mut conflicts, mut leaks, mut copies) = (Vec::new(), Vec::new(), Vec::new());
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
        true => [Kind::ConflictingLabels, Kind::Leakage, Kind::Duplicate],
        false => [Kind::NearConflictingLabels, Kind::NearLeakage, Kind::NearDuplicate],
    };
    let groups = |cases: &[Case]| count(cases.len(), "group", "groups");
    let finding = |severity, kind, what: &str, cases: Vec<Case>, consequence: &str| Finding {
        severity,
        kind,
        summary: format!("{} of {same} picture {what}", groups(&cases)),
        consequence: consequence.to_owned(),
        cases,
    };
    let wrong = "all are kept, so at least one label of each group is wrong: keep the right one";
    let leaking = "all are kept, so accuracies flatter a network that has seen the answers: keep each picture in one \
                   split only";
    let repeated = "all are kept and count as many times as they are there";
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

fn case(names: Names<'_>, group: &[usize], detail: String) -> Case {
    Case { paths: group.iter().map(|&i| names.files[names.items[i].file].clone()).collect(), detail }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_that_differs_in_few_bits_agrees_under_some_mask() {
        let masks = masks();
        assert_eq!(masks.len(), 20);
        let mut stream = enas_rng::Seed::new(1).stream("bits", &[]);
        for _ in 0..2000 {
            let flipped = (0..MAX_BITS).fold(0u64, |bits, _| bits | 1 << stream.below(64));
            assert!(masks.iter().any(|mask| mask & flipped == 0), "{flipped:x}");
        }
    }

    #[test]
    fn chains_of_pairs_make_one_group() {
        assert_eq!(joined(7, &[(0, 3), (3, 5), (1, 2)]), [vec![0, 3, 5], vec![1, 2]]);
        assert!(joined(3, &[]).is_empty());
    }

    #[test]
    fn equal_hashes_make_groups_in_the_order_of_their_first() {
        let hashes = [3u8, 1, 3, 2, 1, 1].map(|h| [h; 32]);
        assert_eq!(exact(hashes.into_iter()), [vec![0, 2], vec![1, 4, 5]]);
    }
}
