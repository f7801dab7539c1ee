//! Settings derived from the images, for everything that the user does not set.
//!
//! Each is one [`Choice`] of key, value and reason. A `--set` of the same key overrides it.

use enas_data::check::{ClassCount, Report};
use enas_data::{Part, held_out};
use serde::{Deserialize, Serialize};

use crate::run::Kind;

/// A setting derived from the images.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// The dotted key, as for `--set`.
    pub key: String,
    /// The value, as for `--set`.
    pub value: String,
    /// The reason.
    pub reason: String,
    /// The command that it applies to; `None` for both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<Kind>,
}

impl Choice {
    /// Whether it applies to a command of this kind.
    pub fn is_for(&self, kind: Kind) -> bool {
        self.only.is_none_or(|only| only == kind)
    }
}

/// Settings given by the user, which affect the others.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Given {
    /// `data.image_size`.
    pub image_size: Option<usize>,
    /// `run.batch_size`.
    pub batch_size: Option<usize>,
    /// `data.valid_fraction`.
    pub valid_fraction: Option<f64>,
    /// `data.test_fraction`.
    pub test_fraction: Option<f64>,
    /// Time limit of everything in seconds, if there is one.
    pub seconds: Option<f64>,
    /// Whether a refit may follow the measurement.
    pub refits: bool,
}

/// Images up to this side, in pixels, keep their size.
const SMALL: usize = 40;
/// Sides of the network input for larger images, in pixels.
const MEDIUM: usize = 48;
const LARGE: usize = 64;
/// With fewer training images, the held-out images are a large addition in a refit.
const FEW: usize = 1000;
/// Time limit in seconds below which [`MEDIUM`] is used instead of [`LARGE`], so that more steps fit in.
const HURRY: f64 = 40.0;
/// Images up to this longest side, in pixels, are reduced to [`MEDIUM`].
const MEDIUM_IMAGES: usize = 56;
/// Minimum size of a split for a useful accuracy: its 95 % interval is at most 14 points wide.
const ENOUGH: usize = 50;
/// Batch sizes. The smaller one still occupies two cores, because kernels process groups of sixteen images.
const LARGE_BATCH: usize = 64;
const SMALL_BATCH: usize = 32;
/// Largest learning rate, for large batches. Smaller batches use the square-root scaling rule.
const LEARNING_RATE: f64 = 0.2;
/// Minimum number of steps per pass for large batches.
const STEPS: usize = 20;
/// Share of validation and of test images if a tenth is too few.
const LARGER: f64 = 0.15;
/// The usual share of each.
const TENTH: f64 = 0.1;
/// Ratio of class sizes from which classes are drawn equally often.
const UNEQUAL: usize = 10;
/// Minimum number of steps per epoch, so that measuring and saving take little of the time.
const MEASURED: usize = 50;
/// Number of steps of the learning-rate warm-up.
const WARMUP: usize = 280;
/// Number of augmented images that a training should see in total.
const SEEN: usize = 200_000;
/// Training steps of the shared weights: two and a half warm-ups for cells with five nodes.
const SEARCH_STEPS: usize = 9000;
/// With fewer training images, the search has no shared weights and no policy: short trainings alone tell more.
const ENOUGH_TO_SHARE: usize = 2000;
/// Minimum and maximum number of epochs of a search; the policy is updated at least once per epoch.
const SEARCH_EPOCHS: (usize, usize) = (30, 300);
/// Rewards per update of the policy: `controller.aggregate` in every preset.
const REWARDS: usize = 10;
/// Maximum number of policy updates per epoch, as published (`controller_train_steps` of the authors' search script).
const UPDATES: usize = 30;

/// Recommends the settings for the images of a report that are not given.
pub fn recommend(report: &Report, given: &Given) -> Vec<Choice> {
    let larger = Larger::of(report, given);
    let (train, valid, test) = larger.sizes();
    let larger_splits = larger.choices();
    let mut choices = of_looks(report, given);
    choices.extend(larger_splits);
    choices.extend(of_number(train, given.batch_size));
    choices.extend(recipe(train, report.coloured > 0));
    choices.extend(of_unequal_classes(report));
    if given.refits {
        choices.push(refit(report, (train, valid, test)));
        choices.extend(of_few_images(train));
    }
    choices
}

fn choice(key: &str, value: impl ToString, reason: impl Into<String>) -> Choice {
    Choice { key: key.to_owned(), value: value.to_string(), reason: reason.into(), only: None }
}

fn for_training(key: &str, value: impl ToString, reason: impl Into<String>) -> Choice {
    Choice { only: Some(Kind::Train), ..choice(key, value, reason) }
}

fn for_search(key: &str, value: impl ToString, reason: impl Into<String>) -> Choice {
    Choice { only: Some(Kind::Search), ..choice(key, value, reason) }
}

/// Settings for the size and the channels of the input.
fn of_looks(report: &Report, given: &Given) -> Vec<Choice> {
    let mut choices = Vec::new();
    if let Some(sizes) = &report.sizes {
        let (width, height) = (sizes.widths[1], sizes.heights[1]);
        let side = width.max(height);
        let (size, why) = if side <= SMALL {
            (side.max(8), "small images are taken as they are")
        } else if side <= MEDIUM_IMAGES {
            (MEDIUM, "larger ones are reduced")
        } else if given.seconds.is_some_and(|seconds| seconds < HURRY) {
            (MEDIUM, "so little time is not enough for more")
        } else {
            (LARGE, "larger ones are reduced")
        };
        if given.image_size.is_none() {
            choices.push(choice("data.image_size", size, format!("the median is {width}x{height}; {why}")));
        }
        let size = given.image_size.unwrap_or(size);
        // 28 pixels halved three times would leave 4.
        let reductions = if size <= SMALL { "two" } else { "three" };
        let reason = format!("the size of the network's maps halves that often, from {size}");
        choices.push(choice("child.reductions", reductions, reason));
    }
    let (channels, reason) = match report.coloured {
        0 => (1, "all images are grey".to_owned()),
        n => (3, format!("{n} of {} images have colours", report.usable)),
    };
    choices.push(choice("data.channels", channels, reason));
    choices
}

/// Sum over the classes of a report.
fn sum(report: &Report, of: impl Fn(&ClassCount) -> usize) -> usize {
    report.classes.iter().map(of).sum()
}

/// Larger shares for the randomly drawn splits of small data sets. Splits that the user provides keep their images.
struct Larger<'a> {
    report: &'a Report,
    given: &'a Given,
    /// The parts with a larger share.
    parts: Vec<Part>,
}

impl<'a> Larger<'a> {
    fn of(report: &'a Report, given: &'a Given) -> Self {
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

    fn choices(&self) -> Vec<Choice> {
        let all = sum(self.report, |class| self.divided(class));
        let key = |part: &Part| match part {
            Part::Test => "data.test_fraction",
            Part::Train | Part::Valid => "data.valid_fraction",
        };
        let tenth = (all as f64 * TENTH).round() as usize;
        let reason = match tenth < ENOUGH {
            true => format!("a tenth would be {tenth} images, too few to measure anything"),
            // The rounding of each class may leave fewer.
            false => format!("a tenth of each class would be fewer than {ENOUGH} images in all"),
        };
        self.parts.iter().map(|part| choice(key(part), LARGER, reason.clone())).collect()
    }

    /// Number of images for training, validation and test with these shares.
    fn sizes(&self) -> (usize, usize, usize) {
        let Self { report, given, parts } = self;
        if parts.is_empty() {
            return (sum(report, |c| c.train), sum(report, |c| c.valid), sum(report, |c| c.test));
        }
        let share = |part, own: Option<f64>| match report.drawn.contains(&part) {
            false => 0.0,
            true if parts.contains(&part) => LARGER,
            true => own.unwrap_or(TENTH),
        };
        let shares = (share(Part::Valid, given.valid_fraction), share(Part::Test, given.test_fraction));
        let mut sizes = (0, 0, 0);
        for class in &report.classes {
            let (valid, test) = held_out(self.divided(class), shares.0, shares.1);
            sizes.0 += self.divided(class) - valid - test;
            sizes.1 += if shares.0 > 0.0 { valid } else { class.valid };
            sizes.2 += if shares.1 > 0.0 { test } else { class.test };
        }
        sizes
    }
}

/// Settings for batches, passes and epochs that follow from the number of training images.
fn of_number(train: usize, given: Option<usize>) -> Vec<Choice> {
    let fitting = || if train / LARGE_BATCH >= STEPS { LARGE_BATCH } else { SMALL_BATCH };
    let batch = given.unwrap_or_else(fitting).max(1);
    let of_pass = (train / batch).max(1);
    let passes = MEASURED.div_ceil(of_pass);
    // A batch may span two passes.
    let steps = (passes * train / batch).max(1);
    let mut choices = Vec::new();
    if given.is_none() {
        let make = if of_pass == 1 { "1 step".to_owned() } else { format!("{of_pass} steps") };
        choices.push(choice("run.batch_size", batch, format!("{train} training images make {make}")));
    }
    if passes > 1 {
        let reason = format!("an epoch of {steps} steps, before each measurement");
        choices.push(choice("run.passes", passes, reason));
    }
    let lr = LEARNING_RATE * (batch as f64 / LARGE_BATCH as f64).min(1.0).sqrt();
    let lr = (100.0 * lr).round() / 100.0;
    choices.push(for_training("schedule.lr_max", lr, format!("for batches of {batch} images")));
    choices.extend(length_of_training(train, passes, steps));
    choices.extend(length_of_search(train, steps));
    choices
}

/// Settings for the epochs of a training, each of `passes` passes and `steps` steps.
fn length_of_training(train: usize, passes: usize, steps: usize) -> [Choice; 2] {
    let epochs = (2 * (SEEN / train.max(1)).clamp(30, 250)).div_ceil(passes);
    let warmup = (WARMUP as f64 / steps as f64).clamp(0.5, 2.0);
    [
        for_training(
            "run.epochs",
            epochs,
            format!("{} steps, or as many as the time allows", epochs * steps),
        ),
        for_training("schedule.warmup_epochs", format!("{warmup:.1}"), "no large steps from random weights"),
    ]
}

/// Settings for the epochs of a search, each of `steps` steps.
fn length_of_search(train: usize, steps: usize) -> Vec<Choice> {
    let epochs = (SEARCH_STEPS / steps).clamp(SEARCH_EPOCHS.0, SEARCH_EPOCHS.1);
    let updates = steps.div_ceil(REWARDS).min(UPDATES);
    let rewards = format!("{} rewards for the {steps} training steps of an epoch", REWARDS * updates);
    let mut choices = vec![
        for_search(
            "run.epochs",
            epochs,
            format!("{} training steps, or as many as the time allows", epochs * steps),
        ),
        for_search("controller.steps", updates, rewards),
    ];
    if train < ENOUGH_TO_SHARE {
        let reason =
            format!("{train} training images: networks trained alone tell more than shared weights would");
        choices.push(for_search("finals.policy", 0, reason));
    }
    choices
}

/// Settings for classes of very different sizes, so that a network does not neglect the small ones.
fn of_unequal_classes(report: &Report) -> Vec<Choice> {
    let sizes = || report.classes.iter().map(|class| class.train).filter(|n| *n > 0);
    let (Some(least), Some(most)) = (sizes().min(), sizes().max()) else { return Vec::new() };
    if most < UNEQUAL * least {
        return Vec::new();
    }
    let times = most / least;
    let reason = format!("the largest class has {times} times the training images of the smallest");
    vec![
        for_training("data.sampling", "balanced", reason),
        for_training("metric", "macro-f1", "every class counts alike, whatever its size"),
    ]
}

/// The setting for the images of a refit. Test images that the user provides are never used for it.
fn refit(report: &Report, (train, valid, test): (usize, usize, usize)) -> Choice {
    if report.drawn.contains(&Part::Test) {
        let all = report.classes.iter().map(|class| class.train + class.valid + class.test).sum::<usize>();
        let reason = format!("once it is measured, the network goes on with all {all} images");
        return for_training("refit.images", "all", reason);
    }
    let both = train + valid;
    let reason = format!(
        "once it is measured, the network goes on with {both} images; the {test} to test with stay unseen"
    );
    for_training("refit.images", "validation", reason)
}

/// Settings for the refit of a small data set: nearly a new training, because the held-out images are a large
/// addition.
fn of_few_images(train: usize) -> Vec<Choice> {
    if train >= FEW {
        return Vec::new();
    }
    let share = "few images: most of the time is for learning from all of them";
    vec![for_training("refit.share", 0.8, share), for_training("refit.lr", 1, "as fast as from the start")]
}

/// Settings for augmentation, regularisation and averaging.
fn recipe(train: usize, coloured: bool) -> Vec<Choice> {
    let (magnitude, why) = if coloured {
        (4, "photos bear strong variations")
    } else {
        (3, "grey images are often digits or parts")
    };
    let mirror =
        if coloured { "photos have no left and right" } else { "grey images are often digits or text" };
    let decay = if train < 2000 { 0.99 } else { 0.998 };
    vec![
        for_training("data.augment.mode", "rand-augment", "random variations, drawn anew every time"),
        for_training("data.augment.operations", 2, "two variations for each image"),
        for_training("data.augment.magnitude", magnitude, why),
        choice("data.augment.flip", coloured, mirror),
        for_training("run.label_smoothing", 0.05, "targets a little below certainty"),
        for_training("run.ema_decay", decay, "averaged weights vary less from step to step"),
        for_training("run.bn_reestimate", 4, "statistics for the averaged weights"),
        for_training("schedule.per_step", true, "the rate reaches its end in runs of any length"),
        for_training("child.drop_path_keep", 1, "for longer trainings only"),
        for_training("child.keep_prob", 0.9, "for longer trainings more"),
        for_training("keep", "last", "averaged weights at the end of the schedule, not the luckiest epoch"),
    ]
}

#[cfg(test)]
mod tests {
    use enas_data::check::{ClassCount, Sizes};

    use super::*;

    fn report(per_class: usize, side: usize, coloured: bool) -> Report {
        let tenth = per_class / 10;
        let class = |name: &str| ClassCount {
            class: name.into(),
            train: per_class - 2 * tenth,
            valid: tenth,
            test: tenth,
        };
        Report {
            path: "photos".into(),
            can_start: true,
            files: 2 * per_class,
            usable: 2 * per_class,
            coloured: if coloured { 2 * per_class } else { 0 },
            drawn: vec![enas_data::Part::Valid, enas_data::Part::Test],
            classes: vec![class("a"), class("b")],
            sizes: Some(Sizes {
                distinct: 1,
                common: Vec::new(),
                widths: [side; 3],
                heights: [side; 3],
                proportions: [1.0; 3],
            }),
            findings: Vec::new(),
        }
    }

    fn value(choices: &[Choice], key: &str) -> Option<String> {
        choices.iter().find(|choice| choice.key == key).map(|choice| choice.value.clone())
    }

    #[test]
    fn small_grey_images_are_taken_as_they_are() {
        let choices = recommend(&report(5000, 28, false), &Given::default());
        let of = |key| value(&choices, key).unwrap();
        assert_eq!((of("data.image_size"), of("data.channels")), ("28".into(), "1".into()));
        assert_eq!((of("data.augment.flip"), of("run.batch_size")), ("false".into(), "64".into()));
        assert_eq!(of("child.reductions"), "two");
        assert_eq!(value(&choices, "data.valid_fraction"), None, "a tenth is enough");
        assert_eq!(value(&choices, "run.passes"), None, "an epoch of one pass is long enough");
    }

    #[test]
    fn few_photos_get_small_batches_and_larger_splits() {
        let choices = recommend(&report(90, 96, true), &Given::default());
        let of = |key| value(&choices, key).unwrap();
        assert_eq!((of("data.image_size"), of("data.channels")), ("64".into(), "3".into()));
        assert_eq!((of("run.batch_size"), of("data.test_fraction")), ("32".into(), "0.15".into()));
        assert_eq!(of("schedule.lr_max"), "0.14");
        // 124 of 180 images make 3 steps.
        assert_eq!((of("run.passes"), of("run.epochs")), ("17".into(), "30".into()));
        assert_eq!(of("data.augment.flip"), "true");
    }

    fn reason(choices: &[Choice], key: &str) -> String {
        choices.iter().find(|choice| choice.key == key).map(|choice| choice.reason.clone()).unwrap()
    }

    #[test]
    fn reasons_have_the_numbers_of_the_run() {
        // 45 per class: 31 training images, 7 + 7 held out.
        let choices = recommend(&report(45, 96, true), &Given::default());
        assert_eq!(reason(&choices, "run.batch_size"), "62 training images make 1 step");
        // 50 passes over 62 images are 3100 images: 96 batches of 32.
        assert_eq!(reason(&choices, "run.passes"), "an epoch of 96 steps, before each measurement");
        let wanted = "a tenth would be 9 images, too few to measure anything";
        for key in ["data.valid_fraction", "data.test_fraction"] {
            assert_eq!(reason(&choices, key), wanted);
        }
    }

    #[test]
    fn splits_of_the_user_get_no_share_and_no_reason() {
        // 200 images to divide into training and validation; the 40 test images are the user's.
        let class = |name: &str| ClassCount { class: name.into(), train: 90, valid: 10, test: 20 };
        let of_user = Report {
            drawn: vec![Part::Valid],
            classes: vec![class("a"), class("b")],
            ..report(100, 96, true)
        };
        let choices = recommend(&of_user, &Given { refits: true, ..Given::default() });
        assert_eq!(value(&choices, "data.test_fraction"), None);
        assert!(
            reason(&choices, "data.valid_fraction").contains("a tenth would be 20 images"),
            "{choices:?}"
        );
        assert_eq!(reason(&choices, "run.batch_size"), "170 training images make 5 steps");
        assert!(reason(&choices, "refit.images").contains("200 images; the 40 to test"), "{choices:?}");

        let drawn = report(90, 96, true);
        let given = Given { test_fraction: Some(0.3), ..Given::default() };
        let choices = recommend(&drawn, &given);
        assert_eq!(value(&choices, "data.test_fraction"), None, "the user has set it");
        // Of 90 images of a class, 14 are for validation and 27 for the test.
        assert_eq!(reason(&choices, "run.batch_size"), "98 training images make 3 steps");
    }

    #[test]
    fn classes_of_very_different_size_count_alike() {
        let of = |sizes: [usize; 2]| {
            let class = |train: usize| ClassCount { class: train.to_string(), train, valid: 60, test: 60 };
            let report = Report { classes: sizes.map(class).to_vec(), ..report(90, 96, true) };
            recommend(&report, &Given::default())
        };
        let choices = of([4000, 400]);
        assert_eq!(value(&choices, "data.sampling"), Some("balanced".into()));
        assert_eq!(value(&choices, "metric"), Some("macro-f1".into()));
        assert!(reason(&choices, "data.sampling").contains("10 times"), "{choices:?}");
        let is_balance = |choice: &Choice| ["data.sampling", "metric"].contains(&choice.key.as_str());
        assert!(!choices.iter().any(|choice| choice.is_for(Kind::Search) && is_balance(choice)));
        for equal in [[3999, 400], [4000, 0]] {
            let choices = of(equal);
            assert_eq!((value(&choices, "data.sampling"), value(&choices, "metric")), (None, None));
        }
    }

    #[test]
    fn little_time_is_for_small_images() {
        let size = |seconds| {
            let given = Given { seconds, ..Given::default() };
            value(&recommend(&report(90, 96, true), &given), "data.image_size").unwrap()
        };
        assert_eq!([size(None), size(Some(20.0)), size(Some(60.0))], ["64", "48", "64"]);
    }

    #[test]
    fn images_that_measured_are_learned_from_unless_the_user_chose_them_for_testing() {
        let refit = |drawn: &[enas_data::Part], refits| {
            let report = Report { drawn: drawn.to_vec(), ..report(90, 96, true) };
            value(&recommend(&report, &Given { refits, ..Given::default() }), "refit.images")
        };
        let (valid, test) = (enas_data::Part::Valid, enas_data::Part::Test);
        assert_eq!(refit(&[valid, test], true), Some("all".into()));
        let few = recommend(&report(90, 96, true), &Given { refits: true, ..Given::default() });
        assert_eq!(value(&few, "refit.share"), Some("0.8".into()));
        let many = recommend(&report(5000, 28, false), &Given { refits: true, ..Given::default() });
        assert_eq!(value(&many, "refit.share"), None);
        assert_eq!(refit(&[valid], true), Some("validation".into()));
        assert_eq!(refit(&[], true), Some("validation".into()));
        assert_eq!(
            refit(&[valid, test], false),
            None,
            "a training that is asked for ends with its measurement"
        );
    }

    #[test]
    fn a_search_gets_rewards_in_proportion_to_its_steps() {
        let of = |per_class, key: &str| {
            let choices = recommend(&report(per_class, 28, false), &Given::default());
            let mut found = choices.into_iter().filter(|c| c.is_for(Kind::Search) && c.key == key);
            found.next().unwrap().value.parse::<usize>().unwrap()
        };
        // 17 passes over 124 training images in batches of 32: 65 steps, 7 updates of 10 rewards.
        assert_eq!((of(90, "controller.steps"), of(90, "run.epochs")), (7, 138));
        // 8,000 in batches of 64: 125 steps.
        assert_eq!((of(5000, "controller.steps"), of(5000, "run.epochs")), (13, 72));
        assert_eq!(of(50_000, "controller.steps"), 30, "never more than published");
        // With this few images a search has no policy.
        assert_eq!(of(90, "finals.policy"), 0);
    }

    #[test]
    fn choices_follow_from_what_is_given_and_do_not_repeat_it() {
        let given = Given { image_size: Some(32), batch_size: Some(8), ..Given::default() };
        let choices = recommend(&report(90, 96, true), &given);
        assert_eq!(value(&choices, "data.image_size"), None);
        assert_eq!(value(&choices, "run.batch_size"), None);
        assert_eq!(value(&choices, "child.reductions").unwrap(), "two", "32 pixels halve twice");
        let rewards = choices.iter().find(|choice| choice.key == "controller.steps").unwrap();
        assert!(rewards.reason.contains("the 62 training steps"), "{}", rewards.reason);
    }

    #[test]
    fn every_choice_is_a_setting_of_the_preset_for_folders() {
        use crate::{Layers, SearchConfig, TrainConfig};
        let mut unequal = report(1000, 28, false);
        unequal.classes[0].train = 9;
        for choices in [
            recommend(&report(5000, 28, false), &Given::default()),
            recommend(&report(40, 300, true), &Given::default()),
            of_unequal_classes(&unequal),
        ] {
            let set =
                |layers: Layers, choice: &Choice| layers.set(format!("{}={}", choice.key, choice.value));
            let of = |kind| choices.iter().filter(move |choice| choice.is_for(kind));
            of(Kind::Train).fold(Layers::preset("folder"), set).load::<TrainConfig>().unwrap();
            of(Kind::Search).fold(Layers::preset("folder"), set).load::<SearchConfig>().unwrap();
        }
    }
}
