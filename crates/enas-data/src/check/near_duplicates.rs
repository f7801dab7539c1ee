//! Near duplicates, found by SimHash ([`super::simhash`]) with sorting by bands, a form of locality-sensitive hashing
//! (LSH; Charikar, 2002; Manku et al., WWW 2007):
//!
//! 1. Cut the 64-bit hash into [`BANDS`] bands.
//! 2. Hashes that differ in at most [`MAX_BITS`] bits agree in at least `BANDS - MAX_BITS` bands (pigeonhole).
//! 3. For every choice of that many bands, sort by their bits. Candidates then are neighbours in the order.
//! 4. Compare candidates by their pixels; pairs form groups by union–find.

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::simhash::{MAX_BITS, SimHash};
use crate::dataset::duplicates::Groups;

/// Number of bands. With six bands and three bits there are 20 choices of three bands, and so 20 sorts.
const BANDS: usize = 6;

/// Each image is compared with at most this many successors that agree in the chosen bands. Ties are sorted by
/// contrast, which near duplicates share. The limit avoids quadratic time if thousands of images are alike.
const WINDOW: usize = 64;

/// Groups of images that are nearly the same: connected components of near pairs. Copies of `exact` count once.
pub(super) fn near_duplicates(images: &[&SimHash], exact: &Groups) -> Groups {
    let mut copies = vec![false; images.len()];
    exact.iter().flat_map(|group| &group[1..]).for_each(|&i| copies[i] = true);
    let candidates: Vec<usize> =
        (0..images.len()).filter(|&i| !copies[i] && images[i].has_contrast()).collect();
    let mut pairs: Vec<(usize, usize)> =
        band_masks().into_par_iter().flat_map_iter(|mask| near_pairs(images, &candidates, mask)).collect();
    pairs.sort_unstable();
    pairs.dedup();
    let mut groups = connected_components(images.len(), &pairs);
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

/// The bit masks of every choice of `BANDS - MAX_BITS` bands.
fn band_masks() -> Vec<u64> {
    let bits = |piece: usize| {
        let edge = |k: usize| (k * 64 / BANDS) as u32;
        (edge(piece)..edge(piece + 1)).fold(0u64, |mask, bit| mask | 1 << bit)
    };
    let choices = (0u32..1 << BANDS).filter(|choice| choice.count_ones() == BANDS as u32 - MAX_BITS);
    choices
        .map(|choice| (0..BANDS).filter(|k| choice >> k & 1 == 1).fold(0, |mask, k| mask | bits(k)))
        .collect()
}

fn near_pairs(images: &[&SimHash], candidates: &[usize], mask: u64) -> Vec<(usize, usize)> {
    let mut order: Vec<(u64, u64, usize)> =
        candidates.iter().map(|&i| (images[i].hash & mask, images[i].squared_deviation, i)).collect();
    order.sort_unstable();
    let mut pairs = Vec::new();
    for (at, &(key, _, i)) in order.iter().enumerate() {
        let followers = order[at + 1..].iter().take(WINDOW).take_while(|(other, ..)| *other == key);
        for &(.., j) in followers {
            let bits = (images[i].hash ^ images[j].hash).count_ones();
            if bits <= MAX_BITS && images[i].is_near(images[j]) {
                pairs.push((i.min(j), i.max(j)));
            }
        }
    }
    pairs
}

/// The connected components with at least two of `n` images, by union–find.
fn connected_components(n: usize, pairs: &[(usize, usize)]) -> Groups {
    let mut parent: Vec<usize> = (0..n).collect();
    for &(a, b) in pairs {
        let a = root(&mut parent, a);
        let b = root(&mut parent, b);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_that_differs_in_few_bits_agrees_under_some_mask() {
        let band_masks = band_masks();
        assert_eq!(band_masks.len(), 20);
        let mut stream = enas_rng::Seed::new(1).stream("bits", &[]);
        for _ in 0..2000 {
            let flipped = (0..MAX_BITS).fold(0u64, |bits, _| bits | 1 << stream.below(64));
            assert!(band_masks.iter().any(|mask| mask & flipped == 0), "{flipped:x}");
        }
    }

    #[test]
    fn chains_of_pairs_make_one_group() {
        assert_eq!(connected_components(7, &[(0, 3), (3, 5), (1, 2)]), [vec![0, 3, 5], vec![1, 2]]);
        assert!(connected_components(3, &[]).is_empty());
    }
}
