//! Settings for the splits of small data sets, and for classes of unequal sizes.

use enas_data::check::{ClassCount, Report};
use enas_data::{Part, held_out};

use enas_run::choice::Choice;

use super::choice::{Given, choice, for_search, for_training, sum};

/// Minimum size of a split for a useful accuracy: its 95 % interval is at most 14 points wide.
const ENOUGH: usize = 50;
/// Share of validation and of test images if a tenth is too few.
const LARGER: f64 = 0.15;
/// The usual share of each.
const TENTH: f64 = 0.1;
/// Ratio of class sizes from which classes are drawn equally often.
const UNEQUAL: usize = 10;

/// Larger shares for the randomly drawn splits of small data sets. Splits that the user provides keep their images.
pub(super) struct Larger<'a> {
    report: &'a Report,
    given: &'a Given,
    /// The parts with a larger share.
    parts: Vec<Part>,
}

impl<'a> Larger<'a> {
    pub(super) fn of(report: &'a Report, given: &'a Given) -> Self {
        let is_small = |part: &Part| {
            let (of, fraction): (fn(&ClassCount) -> usize, _) = match part {
                Part::Train => return false,
                Part::Valid => (|class| class.valid, given.valid_fraction),
                Part::Test => (|class| class.test, given.test_fraction),
            };
            fraction.is_none() && sum(report, of) < ENOUGH
        };
        Self { report, given, parts: report.drawn.iter().copied().filter(is_small).collect() }
    }

    /// Number of images of a class that are divided at random.
    fn divided(&self, class: &ClassCount) -> usize {
        let drawn = |part, n| if self.report.drawn.contains(&part) { n } else { 0 };
        class.train + drawn(Part::Valid, class.valid) + drawn(Part::Test, class.test)
    }

    pub(super) fn choices(&self) -> Vec<Choice> {
        let all = sum(self.report, |class| self.divided(class));
        let key = |part: &Part| match part {
            Part::Test => "data.test_fraction",
            Part::Train | Part::Valid => "data.valid_fraction",
        };
        let tenth = (all as f64 * TENTH).round() as usize;
        let reason = match tenth < ENOUGH {
            true if tenth == 1 => "a tenth would be 1 image, too few to measure anything".to_owned(),
            true => format!("a tenth would be {tenth} images, too few to measure anything"),
            // The rounding of each class may leave fewer.
            false => format!("a tenth of each class would be fewer than {ENOUGH} images in all"),
        };
        self.parts.iter().map(|part| choice(key(part), LARGER, reason.clone())).collect()
    }

    /// Number of images for training, validation and test with these shares.
    pub(super) fn sizes(&self) -> (usize, usize, usize) {
        let classes = self.report.classes.iter().map(|class| self.sizes_of(class));
        let [train, valid, test] =
            classes.fold([0; 3], |[train, valid, test], [a, b, c]| [train + a, valid + b, test + c]);
        (train, valid, test)
    }

    /// Number of training images of each class with these shares.
    fn training_sizes(&self) -> Vec<usize> {
        self.report.classes.iter().map(|class| self.sizes_of(class)[0]).collect()
    }

    /// The same for one class.
    fn sizes_of(&self, class: &ClassCount) -> [usize; 3] {
        let Self { report, given, parts } = self;
        if parts.is_empty() {
            return [class.train, class.valid, class.test];
        }
        let share = |part, own: Option<f64>| match report.drawn.contains(&part) {
            false => 0.0,
            true if parts.contains(&part) => LARGER,
            true => own.unwrap_or(TENTH),
        };
        let of_valid = share(Part::Valid, given.valid_fraction);
        let of_test = share(Part::Test, given.test_fraction);
        let (valid, test) = held_out(self.divided(class), of_valid, of_test);
        [
            self.divided(class) - valid - test,
            if of_valid > 0.0 { valid } else { class.valid },
            if of_test > 0.0 { test } else { class.test },
        ]
    }
}

/// Settings for classes of very different sizes, so that a network does not neglect the small ones.
pub(super) fn of_unequal_classes(larger: &Larger<'_>) -> Vec<Choice> {
    let sizes: Vec<usize> = larger.training_sizes().into_iter().filter(|n| *n > 0).collect();
    let (Some(&least), Some(&most)) = (sizes.iter().min(), sizes.iter().max()) else { return Vec::new() };
    if most < UNEQUAL * least {
        return Vec::new();
    }
    let times = most / least;
    let reason = format!("the largest class has {times} times the training images of the smallest");
    vec![
        choice("data.sampling", "balanced", reason),
        for_search("select.metric", "macro-f1", "every class counts equally, whatever its size"),
        for_training("metric", "macro-f1", "every class counts equally, whatever its size"),
    ]
}
