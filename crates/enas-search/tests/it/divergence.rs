//! Trainings and searches whose numbers really stop being finite: learning rates at which the penalty on the weights
//! makes them grow without bound.

use std::path::Path;

use enas_search::{Divergence, Error, Event, LOWERED, Observer, Run};
use enas_testing::runs::{
    arc, digits, lines_of, metrics, newest_weights, search, search_config, train, train_config,
};
use serde_json::Value;

const NEVER: u64 = u64::MAX;

/// With this penalty a learning rate of 0.3 makes the weights of a search four times as large at every step, which are
/// no numbers any more after an epoch or two; a tenth of it is stable.
const SEARCH_ONCE: [&str; 4] =
    ["child.l2=5.0", "schedule.lr_max=0.32", "schedule.lr_min=0.3", "child.clip_norm=0.0"];

/// The same for a training, in which more weights are multiplied with each other.
const TRAIN_ONCE: [&str; 4] =
    ["child.l2=5.0", "schedule.lr_max=0.22", "schedule.lr_min=0.21", "child.clip_norm=0.0"];

/// A tenth of this diverges as well.
const TWICE: [&str; 4] =
    ["child.l2=0.1", "schedule.lr_max=1e6", "schedule.lr_min=1e5", "child.clip_norm=0.0"];

/// The events other than steps.
#[derive(Default)]
struct Listener {
    went_back: Vec<(Divergence, u64)>,
    saved: usize,
}

impl Observer for Listener {
    fn event(&mut self, event: &Event<'_>) {
        match event {
            Event::WentBack { divergence, epoch } => self.went_back.push(((*divergence).clone(), *epoch)),
            Event::Saved { .. } => self.saved += 1,
            _ => {}
        }
    }
}

/// Whether everything in the newest checkpoint is finite.
fn is_healthy(dir: &Path) -> bool {
    let number = |b: &[u8]| f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
    newest_weights(dir).iter().all(|(_, bytes)| bytes.chunks_exact(4).all(|b| number(b).is_finite()))
}

fn diverged(error: Error) -> Divergence {
    match error {
        Error::Diverged(found) => *found,
        other => panic!("{other}"),
    }
}

#[test]
fn a_training_that_diverges_goes_back_once_and_then_ends_well() {
    let config = train_config(&[&["run.epochs=4"], &TRAIN_ONCE[..]].concat());
    let dir = tempfile::tempdir().unwrap();
    let data = digits(&config.data, config.run.seed());
    let mut run = Run::for_training(Some(dir.path()), &config, arc(), &data).unwrap();
    let mut listener = Listener::default();
    let trained = enas_search::train(&config, &arc(), &data, &mut run, &mut listener).unwrap();

    assert_eq!((listener.went_back.len(), trained.epochs), (1, 4));
    let (found, epoch) = &listener.went_back[0];
    assert_eq!((found.epoch, found.again), (epoch + 1, false));
    assert!(*epoch > 0, "it goes back to the end of an epoch, not to the start: {found}");
    assert!(found.layer.is_some() && (1..=8).contains(&found.images.len()), "{found}");
    assert!(found.images.iter().all(|name| (0..data.train.len()).any(|i| data.train.path(i) == name)));

    let rollbacks = lines_of(dir.path(), "rollback");
    assert_eq!(rollbacks.len(), 1);
    assert_eq!((&rollbacks[0]["epoch"], &rollbacks[0]["step"]), (&found.epoch.into(), &found.step.into()));
    let rates: Vec<f64> = lines_of(dir.path(), "epoch").iter().map(|l| l["lr"].as_f64().unwrap()).collect();
    assert_eq!(rates.len(), 4, "an epoch is reported when it is complete, and only then");
    assert!(rates[*epoch as usize..].iter().all(|lr| *lr < 0.22 * f64::from(LOWERED) + 1e-6), "{rates:?}");
    assert!(rates[..*epoch as usize].iter().all(|lr| *lr > 0.2), "{rates:?}");
    // The steps that led astray stay in the log, before the event that ends them.
    let lines = metrics(dir.path());
    let at = lines.iter().position(|line| line["kind"] == "rollback").unwrap();
    let steps =
        |lines: &[Value]| lines.iter().filter(|l| l["kind"] == "step" && l["epoch"] == found.epoch).count();
    assert_eq!((steps(&lines[..at]) as u64, steps(&lines[at..])), (found.step - 1, 11));
    assert!(is_healthy(dir.path()));
}

#[test]
fn interruptions_change_nothing_about_going_back() {
    let config = train_config(&[&["run.epochs=4"], &TRAIN_ONCE[..]].concat());
    let calm = tempfile::tempdir().unwrap();
    let hasty = tempfile::tempdir().unwrap();
    let (expected, _) = train(&config, calm.path(), NEVER);
    assert_eq!(lines_of(calm.path(), "rollback").len(), 1);
    for patience in [3, 7, 10] {
        let hasty = tempfile::tempdir_in(hasty.path()).unwrap();
        let (got, interruptions) = train(&config, hasty.path(), patience);
        assert!(interruptions > 3, "{interruptions}");
        assert!(
            std::fs::read(&got.model).unwrap() == std::fs::read(&expected.model).unwrap(),
            "models differ"
        );
        assert_eq!(metrics(hasty.path()), metrics(calm.path()), "{patience}");
        assert!(newest_weights(hasty.path()) == newest_weights(calm.path()), "optimiser states differ");
    }
}

#[test]
fn a_second_divergence_ends_the_training_with_a_diagnosis_and_nothing_bad_saved() {
    let config = train_config(&[&["run.epochs=3", "run.log_every=1"], &TWICE[..]].concat());
    let dir = tempfile::tempdir().unwrap();
    let data = digits(&config.data, config.run.seed());
    let mut run = Run::for_training(Some(dir.path()), &config, arc(), &data).unwrap();
    let error = enas_search::train(&config, &arc(), &data, &mut run, &mut ()).unwrap_err();
    let text = error.to_string();
    let found = diverged(error);
    assert!(found.again && found.layer.is_some() && !found.images.is_empty(), "{text}");
    for part in [" in epoch 1, step ", "; first not finite: ", "gone back once already", "schedule.lr_max"] {
        assert!(text.contains(part), "no {part:?} in: {text}");
    }
    assert_eq!(lines_of(dir.path(), "rollback").len(), 1);
    assert!(is_healthy(dir.path()));

    // Resuming it nevertheless fails in the same way, and the log does not grow.
    drop(run);
    let before = metrics(dir.path());
    let mut run = Run::resume(dir.path()).unwrap();
    let again = diverged(enas_search::train(&config, &arc(), &data, &mut run, &mut ()).unwrap_err());
    assert_eq!((again.epoch, again.step, again.layer), (found.epoch, found.step, found.layer));
    assert_eq!(metrics(dir.path()), before);
}

#[test]
fn a_search_that_diverges_goes_back_once_whatever_interrupts_it() {
    let config = search_config(&[&["run.epochs=3"], &SEARCH_ONCE[..]].concat());
    let calm = tempfile::tempdir().unwrap();
    let hasty = tempfile::tempdir().unwrap();
    let (expected, _) = search(&config, calm.path(), NEVER);
    let rollbacks = lines_of(calm.path(), "rollback");
    assert_eq!(rollbacks.len(), 1);
    assert!(rollbacks[0]["epoch"].as_u64() > Some(1), "it goes back to the end of an epoch: {rollbacks:?}");
    assert!(rollbacks[0]["layer"].is_string() && !rollbacks[0]["pictures"].as_array().unwrap().is_empty());
    let (got, interruptions) = search(&config, hasty.path(), 8);
    assert!(interruptions > 3, "{interruptions}");
    assert_eq!(got.selection, expected.selection);
    assert_eq!(metrics(hasty.path()), metrics(calm.path()));
    assert!(newest_weights(hasty.path()) == newest_weights(calm.path()), "weights differ");
}

#[test]
fn an_absurd_learning_rate_ends_a_search_with_a_diagnosis() {
    let config = search_config(&TWICE);
    let dir = tempfile::tempdir().unwrap();
    let data = digits(&config.data, config.run.seed());
    let mut run = Run::for_search(Some(dir.path()), &config, &data).unwrap();
    let found = diverged(enas_search::search(&config, &data, &mut run, &mut ()).unwrap_err());
    assert!(found.again && found.epoch == 1 && found.layer.is_some(), "{found}");
    assert!(is_healthy(dir.path()));
}

#[test]
fn a_policy_whose_numbers_overflow_is_caught_before_it_is_saved() {
    let config = search_config(&["controller.lr=1e300", "run.epochs=3"]);
    let dir = tempfile::tempdir().unwrap();
    let data = digits(&config.data, config.run.seed());
    let mut run = Run::for_search(Some(dir.path()), &config, &data).unwrap();
    let mut listener = Listener::default();
    let found = diverged(enas_search::search(&config, &data, &mut run, &mut listener).unwrap_err());
    assert!(found.again, "{found}");
    assert_eq!(listener.went_back.len(), 1);
    assert!(is_healthy(dir.path()), "after {found}");
}
