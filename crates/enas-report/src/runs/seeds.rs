//! Trainings with several seeds: the mean and the standard deviation of their accuracies.

use enas_run::{SMALL_FILE, read_plain_text};
use serde_json::Value;

use super::entry::{Accuracy, Entry, EntryKind, RunSplit, RunState, Seeds};
use super::find::Found;
use super::read::single;
use crate::settings::RunSettings;
use crate::text::visible;

/// Reads the directory. Its accuracy is the mean over the finished trainings.
pub(super) fn read(found: &Found) -> Entry {
    let path = found.dir.join("seeds.json");
    let text = read_plain_text(&path, SMALL_FILE).map_err(|e| e.to_string());
    let about = text.and_then(|text| serde_json::from_str::<Value>(&text).map_err(|e| e.to_string()));
    let seeds: Vec<u64> = match &about {
        Ok(about) => about["seeds"].as_array().into_iter().flatten().filter_map(Value::as_u64).collect(),
        Err(e) => return Entry::damaged(&found.name, &found.dir, format!("{}: {e}", visible(&path))),
    };
    let dirs = seeds.iter().map(|seed| found.dir.join(format!("seed-{seed}")));
    let trainings: Vec<Entry> = dirs.filter(|dir| dir.is_dir()).map(|dir| single("", &dir)).collect();
    let finished: Vec<&Entry> = trainings.iter().filter(|entry| entry.is_finished()).collect();
    let values =
        |of: fn(&Entry) -> Option<f64>| finished.iter().filter_map(|entry| of(entry)).collect::<Vec<f64>>();
    let valid = values(|entry| entry.valid_accuracy);
    let test = values(|entry| entry.test_accuracy);
    let valid_accuracy = mean(&valid);
    let test_accuracy = mean(&test);
    let all = seeds.len() as u64;
    let done = finished.len() as u64;
    let state = if done == all {
        RunState::Finished
    } else if trainings.iter().any(|entry| entry.state == RunState::Running) {
        RunState::Running
    } else {
        RunState::Unfinished
    };
    let first = trainings.first().cloned().unwrap_or_else(|| Entry::damaged("", &found.dir, String::new()));
    let images = finished.iter().find_map(|entry| entry.accuracy?.images);
    let settings = RunSettings::read(&found.dir.join("train.toml"));
    Entry {
        name: found.name.clone(),
        dir: found.dir.clone(),
        kind: Some(EntryKind::Seeds),
        state,
        note: (done < all).then(|| format!("{done} of {all} seeds")),
        accuracy: test_accuracy.map(|value| Accuracy::new(value, RunSplit::Test, images)),
        valid_accuracy,
        test_accuracy,
        macro_f1: mean(&values(|entry| entry.macro_f1)),
        seeds: Some(Seeds { finished: done, all, sd: deviation(&test) }),
        metric: settings.get("metric"),
        seconds: trainings.iter().filter_map(|entry| entry.seconds).reduce(|a, b| a + b),
        epochs: finished.iter().filter_map(|entry| entry.epochs).max(),
        model: Some(found.dir.join("model.safetensors")).filter(|path| path.is_file()),
        changed: trainings.iter().filter_map(|entry| entry.changed).max(),
        settings,
        ..first
    }
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// The sample standard deviation; 0 for fewer than two values.
fn deviation(values: &[f64]) -> f64 {
    let Some(mean) = mean(values).filter(|_| values.len() > 1) else { return 0.0 };
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (squares / (values.len() - 1) as f64).sqrt()
}
