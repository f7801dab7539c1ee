//! Random division of images in which images of equal content stay together.

use std::collections::BTreeMap;

/// The first 64 bits of the SHA-256 of an image's file. Files of equal bytes have equal contents.
pub(crate) fn content_of(sha256: &[u8; 32]) -> u64 {
    sha256.iter().take(8).fold(0, |bits, byte| bits << 8 | u64::from(*byte))
}

/// The share that each content got in a random division, over all classes.
///
/// If two copies of an image lay in different shares, the second share would measure what the first one has learned.
#[derive(Clone, Debug, Default)]
pub struct ContentDivision {
    shares: BTreeMap<u64, usize>,
}

impl ContentDivision {
    /// Divides the images of one class, given by their contents in random order, and returns the share of each. Share
    /// `i` gets at most `sizes[i]` images, share `sizes.len()` gets the rest.
    ///
    /// Images of equal content get the same share, also in different classes. Without equal contents the shares are
    /// consecutive images and have exactly these sizes. A class with fewer contents than shares is divided image by
    /// image.
    pub fn divide(&mut self, contents: &[u64], sizes: &[usize]) -> Vec<usize> {
        let mut counts: BTreeMap<u64, usize> = BTreeMap::new();
        contents.iter().for_each(|content| *counts.entry(*content).or_default() += 1);
        if counts.len() <= sizes.iter().filter(|size| **size > 0).count() {
            return shares_by_rank(contents.len(), sizes);
        }
        let rest = sizes.len();
        let mut free = sizes.to_vec();
        for (content, n) in &counts {
            // Contents that another class has placed.
            if let Some(share) = self.shares.get(content).filter(|share| **share < rest) {
                free[*share] = free[*share].saturating_sub(*n);
            }
        }
        let mut placed = Vec::new();
        for content in contents {
            if !self.shares.contains_key(content) {
                let n = counts[content];
                let share = free.iter().position(|free| *free >= n).unwrap_or(rest);
                if share < rest {
                    free[share] -= n;
                }
                self.shares.insert(*content, share);
                placed.push(*content);
            }
        }
        self.fill_empty_shares(&counts, &placed, sizes);
        contents.iter().map(|content| self.shares[content]).collect()
    }

    /// Gives every share that got nothing of a class the content with the fewest images, if the rest keeps another one.
    /// Only contents that were `placed` for this class move.
    fn fill_empty_shares(&mut self, counts: &BTreeMap<u64, usize>, placed: &[u64], sizes: &[usize]) {
        let rest = sizes.len();
        for share in (0..rest).filter(|share| sizes[*share] > 0) {
            let n_in = |share: usize| counts.keys().filter(|content| self.shares[*content] == share).count();
            let in_rest = placed.iter().filter(|content| self.shares[*content] == rest);
            let smallest = in_rest.min_by_key(|content| counts[*content]);
            if n_in(share) == 0
                && n_in(rest) > 1
                && let Some(content) = smallest
            {
                self.shares.insert(*content, share);
            }
        }
    }
}

/// The shares of images in order, regardless of their contents.
fn shares_by_rank(n: usize, sizes: &[usize]) -> Vec<usize> {
    let in_order = sizes.iter().enumerate().flat_map(|(share, size)| std::iter::repeat_n(share, *size));
    in_order.chain(std::iter::repeat(sizes.len())).take(n).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn different_contents_are_divided_by_their_ranks() {
        let shares = ContentDivision::default().divide(&[7, 3, 9, 1, 5], &[2, 1]);
        assert_eq!(shares, [0, 0, 1, 2, 2]);
        assert_eq!(ContentDivision::default().divide(&[4], &[1]), [0]);
        assert_eq!(ContentDivision::default().divide(&[4, 5], &[0, 0]), [2, 2]);
    }

    #[test]
    fn a_content_goes_where_it_fits_and_no_share_stays_empty() {
        assert_eq!(ContentDivision::default().divide(&[7, 7, 7, 1, 2, 3], &[2]), [1, 1, 1, 0, 0, 1]);
        // Pairs do not fit into shares of one image, which get one pair each all the same.
        assert_eq!(ContentDivision::default().divide(&[1, 2, 1, 3, 2, 3], &[1, 1]), [0, 1, 0, 2, 1, 2]);
    }

    #[test]
    fn copies_in_another_class_go_to_the_same_share() {
        let mut division = ContentDivision::default();
        assert_eq!(division.divide(&[1, 2, 3, 4], &[1]), [0, 1, 1, 1]);
        assert_eq!(division.divide(&[5, 1, 6, 2], &[1]), [1, 0, 1, 1]);
    }

    #[test]
    fn a_class_of_one_content_is_divided_image_by_image() {
        assert_eq!(ContentDivision::default().divide(&[8; 4], &[1, 1]), [0, 1, 2, 2]);
    }

    proptest! {
        #[test]
        fn equal_contents_share_and_sizes_are_kept(
            contents in proptest::collection::vec(0u64..40, 3..60), size in 1usize..20,
        ) {
            let size = 1 + size % (contents.len() - 1);
            let shares = ContentDivision::default().divide(&contents, &[size]);
            let distinct: std::collections::BTreeSet<&u64> = contents.iter().collect();
            if distinct.len() > 1 {
                for (i, j) in (0..contents.len()).flat_map(|i| (0..i).map(move |j| (i, j))) {
                    prop_assert!(contents[i] != contents[j] || shares[i] == shares[j]);
                }
                prop_assert!(shares.contains(&1), "the rest keeps images");
            }
        }
    }
}
