//! Settings of the training recipe and of the refit.

use enas_data::Part;
use enas_data::check::Report;

use enas_run::choice::Choice;

use super::choice::{choice, for_training};

/// With fewer training images, the held-out images are a large addition in a refit.
const FEW: usize = 1000;

/// The setting for the images of a refit. Test images that the user provides are never used for it.
pub(super) fn refit(report: &Report, train: usize, valid: usize, test: usize) -> Choice {
    if report.drawn.contains(&Part::Test) {
        let all = report.classes.iter().map(|class| class.train + class.valid + class.test).sum::<usize>();
        let reason = format!("after its measurement, the network trains on all {all} images");
        return for_training("refit.images", "all", reason);
    }
    let both = train + valid;
    let reason = format!(
        "after its measurement, the network trains on {both} images; the {test} test images stay unseen"
    );
    for_training("refit.images", "validation", reason)
}

/// Settings for the refit of a small data set: nearly a new training, because the held-out images are a large
/// addition.
pub(super) fn of_few_images(train: usize) -> Vec<Choice> {
    if train >= FEW {
        return Vec::new();
    }
    let share = "few images: most of the time is for learning from all of them";
    vec![
        for_training("refit.share", 0.8, share),
        for_training("refit.lr", 1, "the same learning rate as from the start"),
    ]
}

/// Settings for augmentation, regularisation and averaging.
pub(super) fn recipe(train: usize, coloured: bool) -> Vec<Choice> {
    let (magnitude, why) = if coloured {
        (4, "photos tolerate strong augmentation")
    } else {
        (3, "grey images are often digits or parts")
    };
    let mirror =
        if coloured { "mirrored photos keep their class" } else { "grey images are often digits or text" };
    let decay = if train < 2000 { 0.99 } else { 0.998 };
    vec![
        for_training("data.augment.mode", "rand-augment", "random augmentation, drawn again each time"),
        for_training("data.augment.operations", 2, "two operations for each image"),
        for_training("data.augment.magnitude", magnitude, why),
        choice("data.augment.flip", coloured, mirror),
        for_training("run.label_smoothing", 0.05, "targets slightly below 1"),
        for_training("run.ema_decay", decay, "averaged weights vary less from step to step"),
        for_training("run.bn_reestimate", 4, "batch statistics for the averaged weights"),
        for_training("schedule.per_step", true, "the rate reaches its end in runs of any length"),
        for_training("child.drop_path_keep", 1, "for longer trainings only"),
        for_training("child.keep_prob", 0.9, "for longer trainings more"),
        for_training(
            "keep",
            "last",
            "averaged weights at the end of the schedule, not an epoch that is best by chance",
        ),
    ]
}
