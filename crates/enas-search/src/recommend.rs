//! Settings that follow from the images: what a run takes where nobody says otherwise.
//!
//! Each is one [`Choice`]: a key, a value and the reason. A `--set` of the same key wins.

use enas_data::doctor::Report;

/// A setting that follows from the images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The dotted key, as for `--set`.
    pub key: &'static str,
    /// The value, as for `--set`.
    pub value: String,
    /// What it follows from.
    pub reason: String,
    /// Whether it is for a search as well as for a training.
    pub for_search: bool,
}

/// Largest side, in pixels, of images that are taken as they are.
const SMALL: usize = 40;
/// Sides of the network input for larger images, in pixels.
const MEDIUM: usize = 48;
const LARGE: usize = 64;
/// Longest side, in pixels, of images that [`MEDIUM`] is enough for.
const MEDIUM_IMAGES: usize = 80;
/// Images of a split from which on an accuracy says something: its 95 % interval is at most 14 points wide.
const ENOUGH: usize = 50;
/// Steps that an epoch should have at least.
const STEPS: usize = 20;
/// Steps that an epoch should have at least for measuring and saving at its end to take little of the time.
const MEASURED: usize = 50;
/// Steps over which the learning rate rises at the beginning.
const WARMUP: usize = 280;
/// Images that a training should see in all, each varied anew every time.
const SEEN: usize = 200_000;

/// The settings for the images of a report.
pub fn recommend(report: &Report) -> Vec<Choice> {
    let sum = |of: fn(&enas_data::doctor::ClassCount) -> usize| report.classes.iter().map(of).sum::<usize>();
    let (train, valid, test) = (sum(|c| c.train), sum(|c| c.valid), sum(|c| c.test));
    let mut choices = of_looks(report);
    choices.extend(of_splits(report, valid.min(test)));
    choices.extend(of_number(train));
    choices.extend(recipe(train, report.coloured > 0));
    choices
}

fn choice(key: &'static str, value: impl ToString, reason: impl Into<String>) -> Choice {
    Choice { key, value: value.to_string(), reason: reason.into(), for_search: true }
}

fn for_training(key: &'static str, value: impl ToString, reason: impl Into<String>) -> Choice {
    Choice { for_search: false, ..choice(key, value, reason) }
}

/// Size and colour of the network's input.
fn of_looks(report: &Report) -> Vec<Choice> {
    let mut choices = Vec::new();
    if let Some(sizes) = &report.sizes {
        let (width, height) = (sizes.widths[1], sizes.heights[1]);
        let side = width.max(height);
        let (size, why) = if side <= SMALL {
            (side.max(8), "small images are taken as they are")
        } else if side <= MEDIUM_IMAGES {
            (MEDIUM, "larger ones are reduced")
        } else {
            (LARGE, "larger ones are reduced")
        };
        choices.push(choice("data.image_size", size, format!("the median is {width}x{height}; {why}")));
        // Where the size halves three times, 28 pixels would become 4.
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

/// Larger shares for splits that chance draws from few images.
fn of_splits(report: &Report, smallest: usize) -> Vec<Choice> {
    if report.drawn.is_empty() || smallest >= ENOUGH {
        return Vec::new();
    }
    let reason = format!("a tenth would be {smallest} images, too few to measure anything");
    vec![choice("data.valid_fraction", 0.15, reason.clone()), choice("data.test_fraction", 0.15, reason)]
}

fn of_number(train: usize) -> Vec<Choice> {
    let batch = [64, 32].into_iter().find(|batch| train / batch >= STEPS).unwrap_or(16);
    let steps = (train / batch).max(1);
    let passes = MEASURED.div_ceil(steps);
    let epochs = (2 * (SEEN / train.max(1)).clamp(30, 250)).div_ceil(passes);
    let warmup = (WARMUP as f64 / (passes * steps) as f64).clamp(0.5, 2.0);
    let mut choices =
        vec![choice("run.batch_size", batch, format!("{train} training images make {steps} steps"))];
    if passes > 1 {
        let reason = format!("measured after every {} steps", passes * steps);
        choices.push(choice("run.passes", passes, reason));
    }
    let reason = format!("{} steps, or as many as the time allows", epochs * passes * steps);
    choices.push(for_training("run.epochs", epochs, reason));
    let reason = "no large steps from random weights";
    choices.push(for_training("schedule.warmup_epochs", format!("{warmup:.1}"), reason));
    choices
}

/// How images are varied and weights are fitted.
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
        for_training("data.augment.flip", coloured, mirror),
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
    use enas_data::doctor::{ClassCount, Sizes};

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
        let choices = recommend(&report(5000, 28, false));
        let of = |key| value(&choices, key).unwrap();
        assert_eq!((of("data.image_size"), of("data.channels")), ("28".into(), "1".into()));
        assert_eq!((of("data.augment.flip"), of("run.batch_size")), ("false".into(), "64".into()));
        assert_eq!(of("child.reductions"), "two");
        assert_eq!(value(&choices, "data.valid_fraction"), None, "a tenth is enough");
        assert_eq!(value(&choices, "run.passes"), None, "an epoch of one pass is long enough");
    }

    #[test]
    fn few_photos_get_small_batches_and_larger_splits() {
        let choices = recommend(&report(90, 96, true));
        let of = |key| value(&choices, key).unwrap();
        assert_eq!((of("data.image_size"), of("data.channels")), ("64".into(), "3".into()));
        assert_eq!((of("run.batch_size"), of("data.test_fraction")), ("16".into(), "0.15".into()));
        // 144 images make 9 steps.
        assert_eq!((of("run.passes"), of("run.epochs")), ("6".into(), "84".into()));
        assert_eq!(of("data.augment.flip"), "true");
    }

    #[test]
    fn every_choice_is_a_setting_of_the_preset_for_folders() {
        use crate::{Layers, SearchConfig, TrainConfig};
        for choices in [recommend(&report(5000, 28, false)), recommend(&report(40, 300, true))] {
            let set =
                |layers: Layers, choice: &Choice| layers.set(format!("{}={}", choice.key, choice.value));
            choices.iter().fold(Layers::preset("folder"), set).load::<TrainConfig>().unwrap();
            let for_search = choices.iter().filter(|choice| choice.for_search);
            for_search.fold(Layers::preset("folder"), set).load::<SearchConfig>().unwrap();
        }
    }
}
