//! The order of images in an epoch: all of them once, or every class equally often. No pixels.

use enas_rng::{Seed, Stream};

use super::plan::EpochPlan;
use crate::config::Sampling;
use crate::dataset::split::Split;

impl Split {
    /// The images of all passes of an epoch, in order.
    pub(crate) fn plan_order(&self, plan: &EpochPlan) -> Vec<usize> {
        let passes = plan.passes as u64;
        (0..passes).flat_map(|pass| self.epoch_order(plan.epoch * passes + pass)).collect()
    }

    /// The images of one pass, in order, as many as the split has. Depends only on the seed and the number of the
    /// pass.
    pub(crate) fn epoch_order(&self, epoch: u64) -> Vec<usize> {
        match self.data.sampling {
            Sampling::Shuffled => {
                let mut order: Vec<usize> = (0..self.len()).collect();
                self.data.seed.stream("order", &[epoch]).shuffle(&mut order);
                order
            }
            Sampling::Balanced => balanced(self.labels(), self.data.seed, epoch),
        }
    }
}

/// Class-balanced sampling: as many images as there are; the counts of occurring classes differ by at most one.
///
/// Within a class the counts of images differ by at most one, too; which images get one more is random.
fn balanced(labels: &[u32], seed: Seed, epoch: u64) -> Vec<usize> {
    let n_classes = labels.iter().max().map_or(0, |last| *last as usize + 1);
    let mut by_class = vec![Vec::new(); n_classes];
    labels.iter().enumerate().for_each(|(i, &label)| by_class[label as usize].push(i));
    by_class.retain(|members| !members.is_empty());

    let mut stream = seed.stream("balanced-order", &[epoch]);
    // The classes that get one image more are drawn anew each time.
    stream.shuffle(&mut by_class);
    let share = labels.len() / by_class.len().max(1);
    let rest = labels.len() % by_class.len().max(1);
    let mut order = Vec::with_capacity(labels.len());
    for (rank, members) in by_class.iter().enumerate() {
        repeat(members, share + usize::from(rank < rest), &mut stream, &mut order);
    }
    stream.shuffle(&mut order);
    order
}

/// Appends `n` of `members`; their counts differ by at most one.
fn repeat(members: &[usize], n: usize, stream: &mut Stream, order: &mut Vec<usize>) {
    for _ in 0..n / members.len() {
        order.extend_from_slice(members);
    }
    let mut last = members.to_vec();
    stream.shuffle(&mut last);
    order.extend_from_slice(&last[..n % members.len()]);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn counts<T: Ord>(values: impl Iterator<Item = T>) -> BTreeMap<T, usize> {
        values.fold(BTreeMap::new(), |mut counts, value| {
            *counts.entry(value).or_default() += 1;
            counts
        })
    }

    fn labels(sizes: &[usize]) -> Vec<u32> {
        sizes.iter().enumerate().flat_map(|(class, &n)| std::iter::repeat_n(class as u32, n)).collect()
    }

    #[test]
    fn every_class_comes_equally_often_give_or_take_one() {
        let labels = labels(&[90, 7, 3, 0, 1]);
        for epoch in 0..5 {
            let order = balanced(&labels, Seed::new(1), epoch);
            assert_eq!(order.len(), labels.len());
            let of_class = counts(order.iter().map(|&i| labels[i]));
            assert_eq!(of_class.len(), 4, "the class without images is left out");
            assert!(of_class.values().all(|n| [25, 26].contains(n)), "{of_class:?}");
        }
    }

    #[test]
    fn within_a_class_images_come_equally_often_give_or_take_one() {
        let labels = labels(&[90, 7, 3]);
        let order = balanced(&labels, Seed::new(1), 0);
        let of_image = counts(order.into_iter());
        for class in 0..3 {
            let times: Vec<usize> = (0..100)
                .filter(|&i| labels[i] == class)
                .map(|i| of_image.get(&i).copied().unwrap_or(0))
                .collect();
            let least = times.iter().min().unwrap();
            let most = times.iter().max().unwrap();
            assert!(most - least <= 1, "class {class}: {times:?}");
        }
    }

    #[test]
    fn epochs_leave_out_other_images_and_repeat_to_the_same_order() {
        let labels = labels(&[60, 20]);
        let of = |seed, epoch| balanced(&labels, Seed::new(seed), epoch);
        assert_eq!(of(1, 3), of(1, 3));
        assert_ne!(of(1, 3), of(1, 4));
        assert_ne!(of(1, 3), of(2, 3));
        let mut seen: Vec<usize> = (0..8).flat_map(|epoch| of(1, epoch)).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 80, "in a few epochs every image has come");
    }

    #[test]
    fn no_images_have_an_order() {
        assert!(balanced(&[], Seed::new(1), 0).is_empty());
    }
}
