//! The validation split in two halves: one to choose by, and one to report with, which no choice uses.

use enas_data::Split;
use enas_rng::Seed;

/// Indices of images in the validation split.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Halves {
    pub(crate) choose: Vec<usize>,
    pub(crate) report: Vec<usize>,
}

impl Halves {
    /// Halves each class at random (stratified). The extra image of an odd class goes to the reporting half, where a
    /// small sample limits what the interval can show. Copies of an image are in one half.
    pub(crate) fn of(valid: &Split, seed: Seed) -> Self {
        let (mut choose, mut report) = valid.divided("finals/halves", seed, |n| n / 2);
        if choose.is_empty() {
            choose.clone_from(&report);
        }
        // Shuffled, so that batches hold images of all classes.
        seed.stream("finals/choose-order", &[]).shuffle(&mut choose);
        seed.stream("finals/report-order", &[]).shuffle(&mut report);
        Self { choose, report }
    }

    /// The whole split for both purposes.
    pub(crate) fn unsplit(valid: &Split, seed: Seed) -> Self {
        let mut order: Vec<usize> = (0..valid.len()).collect();
        seed.stream("search/valid-order", &[]).shuffle(&mut order);
        Self { report: order.clone(), choose: order }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_image_is_in_one_half_and_classes_are_halved() {
        let data = enas_data::load(&enas_data::Config::default(), &enas_data::LoadOptions::new(Seed::new(1)))
            .unwrap();
        let halves = Halves::of(&data.valid, Seed::new(5));
        let mut all: Vec<usize> = halves.choose.iter().chain(&halves.report).copied().collect();
        all.sort_unstable();
        assert!(all.into_iter().eq(0..data.valid.len()));
        for class in 0..10 {
            let of = |half: &[usize]| half.iter().filter(|&&i| data.valid.labels()[i] == class).count();
            let choose = of(&halves.choose);
            let report = of(&halves.report);
            assert!(report == choose || report == choose + 1, "{choose} {report}");
        }
        assert_ne!(Halves::of(&data.valid, Seed::new(6)), halves);
    }
}
