//! Reading one run directory: its manifest, settings, result and the end of its log.

use std::path::Path;

use enas_data::{Fingerprint, SplitFile};
use enas_run::{Finalist, FinalsOutcome, Kind, Manifest, RunReader, SMALL_FILE, read_plain_text};
use serde::Deserialize;
use serde_json::Value;

use super::entry::{Accuracy, Entry, EntryKind, RunImages, RunSplit, RunState};
use super::tail::Tail;
use crate::settings::RunSettings;

impl Entry {
    /// A run that cannot be read, with the reason.
    pub(super) fn damaged(name: &str, dir: &Path, why: String) -> Self {
        Self {
            name: name.to_owned(),
            dir: dir.to_owned(),
            kind: None,
            state: RunState::Damaged,
            note: Some(why),
            data: None,
            accuracy: None,
            valid_accuracy: None,
            test_accuracy: None,
            macro_f1: None,
            seeds: None,
            metric: None,
            arc: None,
            of_finals: false,
            params: None,
            macs: None,
            latency_ms: None,
            seconds: None,
            epochs: None,
            settings: RunSettings::default(),
            log: None,
            model: None,
            changed: None,
        }
    }

    /// Whether the run has a result.
    pub fn is_finished(&self) -> bool {
        self.state == RunState::Finished
    }
}

/// Reads a run directory that does not contain other runs.
pub(super) fn single(name: &str, dir: &Path) -> Entry {
    let record = match RunReader::open(dir) {
        Ok(record) => record,
        Err(e) => return Entry::damaged(name, dir, e.to_string()),
    };
    let manifest = record.manifest();
    let settings = RunSettings::read(&record.config_path());
    let tail = Tail::read(&record.metrics_path());
    // The run writes this file last; a run with it is finished.
    let text = read_plain_text(&record.best_arc_path(), SMALL_FILE);
    let result: Value = text.ok().and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    let finished = result["arc"].is_string();
    let epoch = tail.epoch.as_ref();
    let of = |key: &str| result[key].as_f64().or_else(|| epoch?[key].as_f64());
    let whole = |key: &str| result[key].as_u64();
    let split = record.split().ok();
    let test_accuracy = result["test_accuracy"].as_f64();
    let valid_accuracy = of("valid_accuracy");
    let finals = FinalsOutcome::deserialize(&result).ok();
    // The finals report on one half of the validation split; the other half chose.
    let of_valid = match &finals {
        Some(finals) => Some(finals.images[1]),
        None => split.as_ref().map(|split| split.valid.len()),
    };
    let found = finals.as_ref().and_then(|finals| finals.finalist(&finals.picks.balanced));
    let size = |key: &str, of: fn(&Finalist) -> u64| found.map(of).or_else(|| whole(key));
    let epochs = whole("epochs").or_else(|| epoch?["epoch"].as_u64());
    let kind = match manifest.kind {
        Kind::Search => EntryKind::Search,
        Kind::Train => EntryKind::Train,
    };
    let (state, note) = standing(finished, &tail, epochs, &settings);
    Entry {
        kind: Some(kind),
        state,
        note,
        data: Some(RunImages::of(manifest)),
        accuracy: accuracy(test_accuracy, valid_accuracy, split.as_ref(), of_valid),
        valid_accuracy,
        test_accuracy,
        macro_f1: result["test_macro_f1"].as_f64(),
        metric: settings.get(if kind == EntryKind::Search { "select.metric" } else { "metric" }),
        arc: result["arc"].as_str().map(str::to_owned).or_else(|| Some(manifest.arc.as_ref()?.to_string())),
        of_finals: finals.is_some(),
        params: size("params", |found| found.params as u64),
        macs: size("macs", |found| found.macs),
        latency_ms: result["latency_ms"].as_f64(),
        seconds: tail.seconds,
        epochs,
        settings,
        log: Some(record.metrics_path()),
        model: Some(record.model_path()).filter(|path| path.is_file()),
        changed: tail.changed,
        ..Entry::damaged(name, dir, String::new())
    }
}

impl RunImages {
    fn of(manifest: &Manifest) -> Self {
        let Fingerprint { files, sha256, .. } = &manifest.fingerprint;
        Self { name: manifest.data.clone(), files: *files as u64, sha256: sha256.clone() }
    }
}

/// The accuracy on test images, or on `of_valid` validation images if there is none on test images.
fn accuracy(
    test: Option<f64>,
    valid: Option<f64>,
    split: Option<&SplitFile>,
    of_valid: Option<usize>,
) -> Option<Accuracy> {
    let of_test = split.map(|split| split.test.len());
    test.map(|value| Accuracy::new(value, RunSplit::Test, of_test))
        .or_else(|| valid.map(|value| Accuracy::new(value, RunSplit::Valid, of_valid)))
}

/// The progress of a run, and a note on a run without a result.
fn standing(
    finished: bool,
    tail: &Tail,
    epochs: Option<u64>,
    settings: &RunSettings,
) -> (RunState, Option<String>) {
    if finished {
        return (RunState::Finished, None);
    }
    let all = settings.number("run.epochs").map_or(String::new(), |all| format!(" of {all}"));
    let far = match epochs {
        Some(epoch) => format!("after epoch {epoch}{all}"),
        None => "before the end of its first epoch".to_owned(),
    };
    if tail.is_at_work() { (RunState::Running, Some(far)) } else { (RunState::Unfinished, Some(far)) }
}
