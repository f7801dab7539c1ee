//! Settings for batches, epochs and steps, which follow from the number of training images.

use enas_run::choice::Choice;

use super::choice::{choice, for_search, for_training};

/// Batch sizes. The smaller one still occupies two cores, because kernels process groups of sixteen images.
const LARGE_BATCH: usize = 64;
/// Largest learning rate, for large batches. Smaller batches use the square-root scaling rule.
const LEARNING_RATE: f64 = 0.2;
/// Minimum number of steps per pass for large batches.
const STEPS: usize = 20;
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
const SMALL_BATCH: usize = 32;

/// Settings for batches, passes and epochs that follow from the number of training images.
pub(super) fn of_number(train: usize, given: Option<usize>) -> Vec<Choice> {
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
            format!("{train} training images: networks trained alone rank better than shared weights");
        choices.push(for_search("finals.policy", 0, reason));
    }
    choices
}
