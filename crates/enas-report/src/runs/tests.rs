//! Leaderboards of run directories that the tests write themselves.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use std::time::SystemTime;

use super::*;

const ARC: &str = "0 0 1 4 2 2 0 3 0 1 1 4 2 2 1 3";

/// Writes a run directory of `kind` on `data`, with ten images each in the validation and the test split.
fn make(dir: &Path, kind: &str, data: &str, settings: &str, log: &str, result: Option<Value>) {
    fs::create_dir_all(dir).unwrap();
    let names = |split: &str| (0..10).map(|i| format!("{split}/{i}.png")).collect::<Vec<_>>();
    let write = |name: &str, value: Value| fs::write(dir.join(name), value.to_string()).unwrap();
    write(
        "manifest.json",
        json!({"kind": kind, "version": "0.1.0", "revision": "x", "device": "cpu", "threads": 1, "data": data,
            "fingerprint": {"files": 30, "sha256": data}, "arc": null}),
    );
    write(
        "split.json",
        json!({"classes": ["a", "b"], "train": names("train"), "valid": names("valid"), "test": names("test")}),
    );
    fs::write(dir.join("config.toml"), settings).unwrap();
    fs::write(dir.join("metrics.jsonl"), log).unwrap();
    fs::write(dir.join("run.lock"), "").unwrap();
    if let Some(mut result) = result {
        result["arc"] = ARC.into();
        write("best.arc.json", result);
    }
}

fn trained(dir: &Path, test: f64, settings: &str) {
    let log = "{\"t\":61.5,\"kind\":\"result\"}\n";
    let result =
        json!({"valid_accuracy": 0.9, "test_accuracy": test, "epochs": 3, "params": 1000, "macs": 5000});
    make(dir, "train", "d", settings, log, Some(result));
}

fn epoch(n: u64) -> String {
    format!("{{\"t\":{n},\"kind\":\"epoch\",\"epoch\":{n},\"valid_accuracy\":0.{n}}}\n")
}

fn board(dir: &Path) -> Board {
    Board::read(&[dir], None)
}

fn names(board: &Board) -> Vec<&str> {
    board.rows().map(|row| row.entry.name.as_str()).collect()
}

fn find<'a>(board: &'a Board, name: &str) -> &'a RunRow {
    board.rows().find(|row| row.entry.name == name).unwrap()
}

#[test]
fn the_best_on_test_images_comes_first_and_a_search_after_trainings() {
    let dir = tempfile::tempdir().unwrap();
    trained(&dir.path().join("a"), 0.7, "metric = \"accuracy\"\n");
    trained(&dir.path().join("b"), 0.8, "metric = \"accuracy\"\n");
    let found = json!({"valid_accuracy": 1.0, "params": 7, "macs": 9});
    make(&dir.path().join("c"), "search", "d", "", "", Some(found));
    let mut board = board(dir.path());
    assert_eq!(names(&board), ["b", "a", "c"]);
    assert_eq!(board.groups[0].data.as_ref().unwrap().files, 30);
    let best = board.rows().next().unwrap();
    let accuracy = best.entry.accuracy.unwrap();
    assert_eq!((best.rank, accuracy.split, accuracy.images), (1, RunSplit::Test, Some(10)));
    let (low, high) = accuracy.interval.unwrap();
    assert!(low > 0.4 && low < 0.5 && high > 0.9 && high < 1.0, "{low} {high}");
    assert_eq!((best.entry.params, best.entry.seconds, best.entry.epochs), (Some(1000), Some(61.5), Some(3)));
    assert_eq!(find(&board, "c").entry.accuracy.unwrap().split, RunSplit::Valid);
    board.sort(Sort::Params);
    assert_eq!(names(&board), ["c", "a", "b"]);
    board.sort(Sort::Name);
    assert_eq!(names(&board), ["a", "b", "c"]);
    assert_eq!(board.rows().map(|row| row.rank).collect::<Vec<_>>(), [1, 2, 3]);
}

#[test]
fn the_accuracy_of_finals_is_of_the_half_that_reports_and_its_size_of_the_network_found() {
    let dir = tempfile::tempdir().unwrap();
    let finalist = json!({"arc": ARC, "origin": "wide", "params": 10, "macs": 20, "steps": 1, "score": 1.0,
        "valid_choose": 0.2, "valid_report": 0.4});
    let found = json!({"valid_accuracy": 0.4, "params": 7000, "macs": 9000, "epochs": 0, "finalists": [finalist],
        "control": null, "gain": null, "first_round": {"random": 0, "beaten": 0, "steps": 4},
        "picks": {"small": ARC, "balanced": ARC, "accurate": ARC}, "usual_macs": 30, "images": [4, 5]});
    make(&dir.path().join("a"), "search", "d", "", "", Some(found));
    let board = board(dir.path());
    let entry = &find(&board, "a").entry;
    let accuracy = entry.accuracy.unwrap();
    assert_eq!((accuracy.images, accuracy.split), (Some(5), RunSplit::Valid));
    assert_eq!(accuracy.interval, Some(enas_run::interval(2, 5)));
    assert_eq!((entry.params, entry.macs, entry.of_finals), (Some(10), Some(20), true));
    let notes = search_notes(&board);
    assert!(notes.len() == 1 && notes[0].starts_with("The finals of a search"), "{notes:?}");
}

#[test]
fn settings_are_compared_with_the_first_run_that_has_the_same_ones() {
    let dir = tempfile::tempdir().unwrap();
    trained(&dir.path().join("a"), 0.9, "[child]\nfilters = 8\nlayers = 2\n[run]\nmemory = \"1G\"\n");
    trained(&dir.path().join("b"), 0.8, "[child]\nfilters = 16\nlayers = 2\n[data]\nchannels = 1\n");
    make(&dir.path().join("c"), "search", "d", "[controller]\nsteps = 3\n", "", None);
    make(&dir.path().join("d"), "search", "d", "[controller]\nsteps = 4\n", "", None);
    let board = board(dir.path());
    let row = find(&board, "b");
    let words: Vec<(String, String)> = row.differences.iter().map(Difference::words).collect();
    let word = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    assert_eq!(words, [word("child.filters", "16"), word("data.channels", "1")]);
    assert_eq!((row.compared_with, row.differences[0].reference.as_deref()), (Some(1), Some("8")));
    assert_eq!(find(&board, "a").compared_with, None);
    let row = find(&board, "d");
    assert_eq!((row.compared_with, row.differences.len()), (Some(3), 1), "{:?}", row.differences);
}

#[test]
fn unfinished_and_damaged_runs_are_listed_with_their_state() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let settings = "[run]\nepochs = 4\n";
    make(&at("running"), "train", "d", settings, &(epoch(1) + &epoch(2)), None);
    make(&at("stopped"), "train", "d", settings, &epoch(3), None);
    let log = fs::File::options().write(true).open(at("stopped/metrics.jsonl")).unwrap();
    log.set_modified(SystemTime::now() - std::time::Duration::from_secs(3600)).unwrap();
    make(&at("torn"), "train", "d", settings, "{\"kind\":\"epoch\",\"ep", None);
    trained(&at("no-manifest"), 0.5, "");
    fs::remove_file(at("no-manifest/manifest.json")).unwrap();
    trained(&at("no-json"), 0.5, "");
    fs::write(at("no-json/manifest.json"), "{\"kind\":").unwrap();
    trained(&at("half-a-result"), 0.5, "");
    fs::write(at("half-a-result/best.arc.json"), "{\"arc\":\"0 0").unwrap();
    fs::create_dir_all(at("auto")).unwrap();
    fs::write(at("auto/auto.json"), "no").unwrap();
    let board = board(dir.path());
    let states = |name: &str| {
        let entry = &find(&board, name).entry;
        (entry.state, entry.note.clone().unwrap_or_default())
    };
    assert_eq!(states("running"), (RunState::Running, "after epoch 2 of 4".into()));
    assert_eq!(find(&board, "running").entry.accuracy.unwrap().value, 0.2);
    assert_eq!(states("stopped"), (RunState::Unfinished, "after epoch 3 of 4".into()));
    assert_eq!(states("torn"), (RunState::Running, "before the end of its first epoch".into()));
    assert_eq!(states("half-a-result").0, RunState::Running);
    for (name, file) in [("no-manifest", "manifest.json"), ("no-json", "manifest"), ("auto", "auto.json")] {
        let (state, note) = states(name);
        assert!(state == RunState::Damaged && note.contains(file), "{name}: {note}");
    }
    // Runs with unknown images come last, and never under the name of a data set.
    assert_eq!(board.groups.last().unwrap().rows.len(), 3);
    assert_eq!(Board::read(&[dir.path()], Some("d")).rows().count(), 4);
    assert_eq!(Board::read(&[dir.path()], Some("e")).rows().count(), 0);
}

#[test]
fn an_automatic_run_and_several_seeds_count_as_one_each() {
    let dir = tempfile::tempdir().unwrap();
    let auto = dir.path().join("x-auto-1");
    trained(&auto.join("first"), 0.6, "");
    make(&auto.join("search"), "search", "d", "", "", Some(json!({"valid_accuracy": 1.0})));
    for phase in ["first", "search"] {
        fs::write(auto.join(phase).join("model.safetensors"), "").unwrap();
    }
    let about = json!({"data": "d", "fingerprint": {"files": 30, "sha256": "d"}, "seconds": 0.0});
    fs::write(auto.join("auto.json"), about.to_string()).unwrap();
    let seeds = dir.path().join("x-train-1");
    trained(&seeds.join("seed-1"), 0.5, "");
    trained(&seeds.join("seed-2"), 0.7, "");
    fs::write(seeds.join("seeds.json"), "{\"seeds\":[1,2,3]}").unwrap();
    fs::write(seeds.join("train.toml"), "metric = \"accuracy\"\n").unwrap();
    let before = board(dir.path());
    assert_eq!(names(&before), ["x-auto-1", "x-train-1"]);
    let first = &find(&before, "x-auto-1").entry;
    assert_eq!(
        (first.state, first.test_accuracy),
        (RunState::Unfinished, Some(0.6)),
        "a search has no model"
    );
    assert_eq!(first.note.as_deref(), Some("after the phase search"));
    let entry = &find(&before, "x-train-1").entry;
    assert_eq!(entry.note.as_deref(), Some("2 of 3 seeds"));
    assert!((entry.test_accuracy.unwrap() - 0.6).abs() < 1e-12);
    let Seeds { finished, all, sd } = entry.seeds.unwrap();
    assert!(finished == 2 && all == 3 && (sd - 0.02f64.sqrt()).abs() < 1e-12, "{sd}");

    trained(&auto.join("train"), 0.8, "");
    fs::write(auto.join("train/model.safetensors"), "").unwrap();
    trained(&seeds.join("seed-3"), 0.6, "");
    let after = board(dir.path());
    let entry = &find(&after, "x-auto-1").entry;
    // Equal validation accuracies: the later training is taken. The time is that of all phases.
    assert_eq!(
        (entry.state, entry.test_accuracy, entry.seconds),
        (RunState::Finished, Some(0.8), Some(123.0))
    );
    assert!(find(&after, "x-train-1").entry.is_finished());
    // A directory that is named twice, or a run named in addition to its directory, is listed once.
    assert_eq!(Board::read(&[dir.path(), &auto], None).rows().count(), 2);
}

#[test]
fn the_end_of_a_long_log_is_enough_and_a_pipe_is_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let step = "{\"t\":1,\"kind\":\"step\",\"epoch\":1,\"step\":1,\"loss\":0.123456789}\n";
    let log = epoch(1) + &step.repeat(30_000) + &epoch(2) + step;
    make(&dir.path().join("a"), "train", "d", "", &log, None);
    assert_eq!(find(&board(dir.path()), "a").entry.epochs, Some(2));
    fs::remove_file(dir.path().join("a/metrics.jsonl")).unwrap();
    fs::create_dir(dir.path().join("a/metrics.jsonl")).unwrap();
    assert_eq!(find(&board(dir.path()), "a").entry.epochs, None);
}

#[test]
fn the_page_has_no_script_and_no_name_breaks_out_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let name = "<script>alert(1)<!--";
    trained(&dir.path().join(name), 0.9, "[run]\nnote = \"</table>\"\n");
    trained(&dir.path().join("b"), 0.8, "[run]\nnote = \"<i>\"\n");
    fs::write(dir.path().join("b/report.html"), "").unwrap();
    let html = page(&board(dir.path()), "Runs", &dir.path().join("runs.html")).unwrap();
    assert!(html.contains("&lt;script&gt;") || html.contains("&#60;script&#62;"), "{html}");
    assert!(!html.contains("<script") && !html.contains("</table>\"") && !html.contains("<i>\""), "{html}");
    assert!(html.contains("href=\"b/report.html\"") && html.contains("80.00\u{a0}%"), "{html}");
    assert!(html.contains("default-src 'none'"));
}
