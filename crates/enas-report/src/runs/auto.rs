//! The directory of an automatic run: its result is that of one of its trainings, its time that of all phases.

use enas_run::{AutoPhase, SMALL_FILE, read_plain_text};
use serde_json::Value;

use super::entry::{Entry, EntryKind, RunImages, RunState};
use super::find::{Found, is_run};
use super::read::single;
use crate::text::visible;

/// Reads the directory. The result is that of the training with the higher validation accuracy, the later one on a
/// tie.
pub(super) fn read(found: &Found) -> Entry {
    let path = found.dir.join("auto.json");
    let about = match read_plain_text(&path, SMALL_FILE)
        .map_err(|e| e.to_string())
        .and_then(|text| serde_json::from_str::<Value>(&text).map_err(|e| e.to_string()))
    {
        Ok(about) => about,
        Err(e) => return Entry::damaged(&found.name, &found.dir, format!("{}: {e}", visible(&path))),
    };
    let phases = phases(found);
    let trained = phases.iter().filter(|(phase, entry)| {
        *phase != AutoPhase::Search && entry.model.is_some() && entry.valid_accuracy.is_some()
    });
    let by_accuracy = |a: &Entry, b: &Entry| {
        let of = |entry: &Entry| entry.valid_accuracy.unwrap_or(f64::NEG_INFINITY);
        of(a).total_cmp(&of(b))
    };
    let best = trained.max_by(|(_, a), (_, b)| by_accuracy(a, b)).map(|(_, entry)| entry);
    let last = phases.last();
    let (state, note) = standing(last);
    let seconds = about["seconds"].as_f64().filter(|seconds| *seconds > 0.0);
    let of_phases = || phases.iter().filter_map(|(_, entry)| entry.seconds).reduce(|a, b| a + b);
    let model = Some(found.dir.join("model.safetensors")).filter(|path| path.is_file());
    let images = RunImages {
        name: about["data"].as_str().unwrap_or_default().to_owned(),
        files: about["fingerprint"]["files"].as_u64().unwrap_or_default(),
        sha256: about["fingerprint"]["sha256"].as_str().unwrap_or_default().to_owned(),
    };
    let result = best.cloned().unwrap_or_else(|| Entry::damaged("", &found.dir, String::new()));
    Entry {
        name: found.name.clone(),
        dir: found.dir.clone(),
        kind: Some(EntryKind::Auto),
        state,
        note,
        data: Some(images),
        seconds: seconds.or_else(of_phases),
        changed: phases.iter().filter_map(|(_, entry)| entry.changed).max(),
        log: best.or(last.map(|(_, entry)| entry)).and_then(|entry| entry.log.clone()),
        model,
        ..result
    }
}

/// The phases that have begun, in their order.
fn phases(found: &Found) -> Vec<(AutoPhase, Entry)> {
    [AutoPhase::First, AutoPhase::Search, AutoPhase::Train]
        .into_iter()
        .map(|phase| (phase, found.dir.join(phase.folder())))
        .filter(|(_, dir)| is_run(dir))
        .map(|(phase, dir)| (phase, single(phase.folder(), &dir)))
        .collect()
}

fn standing(last: Option<&(AutoPhase, Entry)>) -> (RunState, Option<String>) {
    let Some((phase, entry)) = last else {
        return (RunState::Unfinished, Some("before its first phase".into()));
    };
    match entry.state {
        // The training is the last phase.
        RunState::Finished if *phase == AutoPhase::Train => (RunState::Finished, None),
        RunState::Finished => (RunState::Unfinished, Some(format!("after the phase {}", phase.folder()))),
        state => {
            let far = entry.note.clone().unwrap_or_default();
            (state, Some(format!("in the phase {}, {far}", phase.folder())))
        }
    }
}
