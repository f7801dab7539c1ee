//! What happens to a run from outside: ends without warning, damaged files, other processes, changed settings, clocks.

use std::fs::{self, File};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use enas_search::{
    AutoConfig, AutoRun, Error, Event, Observer, Run, RunReader, SearchConfig, SearchWhen, TrainConfig,
};
use enas_testing::runs::{
    StopsAfter, arc, digits, metrics, newest_weights, search, search_config, train, train_config,
};

const NEVER: u64 = u64::MAX;

/// Ends the work at an event of its choice without any farewell, as a crash would.
struct Crash<F>(F);

impl<F: FnMut(&Event<'_>) -> bool> Observer for Crash<F> {
    fn event(&mut self, event: &Event<'_>) {
        if (self.0)(event) {
            resume_unwind(Box::new("crash"));
        }
    }
}

/// Starts or resumes a training, and stops it when `at` returns true.
fn train_until(config: &TrainConfig, dir: &Path, at: impl FnMut(&Event<'_>) -> bool) {
    let data = digits(&config.data, config.run.seed());
    let mut run = match Run::resume(dir) {
        Ok(run) => run,
        Err(_) => Run::for_training(Some(dir), config, arc(), &data).unwrap(),
    };
    let crashed = catch_unwind(AssertUnwindSafe(|| {
        enas_search::train(config, &arc(), &data, &mut run, &mut Crash(at)).unwrap();
    }));
    assert!(crashed.is_err(), "it ended before the crash");
}

/// Goes on with a training to its end.
fn go_on(config: &TrainConfig, dir: &Path) -> PathBuf {
    let data = digits(&config.data, config.run.seed());
    let mut run = Run::resume(dir).unwrap();
    enas_search::train(config, &arc(), &data, &mut run, &mut ()).unwrap().model
}

fn checkpoints(dir: &Path) -> Vec<PathBuf> {
    let mut all: Vec<_> = fs::read_dir(dir.join("checkpoints")).unwrap().map(|e| e.unwrap().path()).collect();
    all.sort();
    all
}

/// Changes the first weight of a checkpoint a little.
fn flip_a_byte(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    bytes[8 + header + 2] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

fn same_run(a: &Path, b: &Path) {
    for file in ["model.safetensors", "best.arc.json"] {
        assert!(fs::read(a.join(file)).unwrap() == fs::read(b.join(file)).unwrap(), "{file} differs");
    }
    assert_eq!(metrics(a), metrics(b));
    assert!(newest_weights(a) == newest_weights(b), "optimiser states differ");
}

#[test]
fn an_end_between_the_model_and_the_checkpoint_changes_nothing() {
    for keep in ["keep=best", "keep=last"] {
        let config = train_config(&["run.epochs=4", keep]);
        let calm = tempfile::tempdir().unwrap();
        let torn = tempfile::tempdir().unwrap();
        train(&config, calm.path(), NEVER);
        for epoch in 1..=4 {
            // An epoch is reported after its model is written and before its checkpoint is.
            train_until(&config, torn.path(), |event| matches!(event, Event::Epoch(e) if e.epoch == epoch));
        }
        go_on(&config, torn.path());
        same_run(torn.path(), calm.path());
    }
}

#[test]
fn a_damaged_newest_checkpoint_costs_time_and_no_byte() {
    let config = train_config(&["run.epochs=5", "keep=best"]);
    let calm = tempfile::tempdir().unwrap();
    let torn = tempfile::tempdir().unwrap();
    train(&config, calm.path(), NEVER);
    // Several checkpoints, of which the newest is later than the model that an older one would find.
    for epoch in [2, 4] {
        train_until(&config, torn.path(), |event| matches!(event, Event::Epoch(e) if e.epoch == epoch));
        let data = digits(&config.data, config.run.seed());
        let mut run = Run::resume(torn.path()).unwrap();
        let stopped = enas_search::train(&config, &arc(), &data, &mut run, &mut StopsAfter::new(13));
        assert!(matches!(stopped, Err(Error::Interrupted { .. })), "{stopped:?}");
    }
    let all = checkpoints(torn.path());
    assert!(all.len() >= 2, "{all:?}");
    flip_a_byte(all.last().unwrap());
    go_on(&config, torn.path());
    same_run(torn.path(), calm.path());
}

#[test]
fn a_search_survives_a_damaged_newest_checkpoint() {
    let config = search_config(&["run.epochs=2"]);
    let calm = tempfile::tempdir().unwrap();
    let torn = tempfile::tempdir().unwrap();
    let (expected, _) = search(&config, calm.path(), NEVER);
    let data = digits(&config.data, config.run.seed());
    let mut run = Run::for_search(Some(torn.path()), &config, &data).unwrap();
    for patience in [5, 11] {
        let stopped = enas_search::search(&config, &data, &mut run, &mut StopsAfter::new(patience));
        assert!(matches!(stopped, Err(Error::Interrupted { .. })), "{stopped:?}");
    }
    drop(run);
    flip_a_byte(checkpoints(torn.path()).last().unwrap());
    let mut run = Run::resume(torn.path()).unwrap();
    let found = enas_search::search(&config, &data, &mut run, &mut ()).unwrap();
    assert_eq!(found.selection, expected.selection);
    assert_eq!(metrics(torn.path()), metrics(calm.path()));
    assert!(newest_weights(torn.path()) == newest_weights(calm.path()), "weights differ");
}

#[test]
fn what_an_interrupted_write_left_is_cleared_away() {
    let config = train_config(&["run.epochs=1"]);
    let dir = tempfile::tempdir().unwrap();
    train_until(&config, dir.path(), |event| matches!(event, Event::Epoch(_)));
    let left = ["model.safetensors.part", "manifest.json.part", "checkpoints/000007.safetensors.part"];
    left.iter().for_each(|name| fs::write(dir.path().join(name), "half").unwrap());
    go_on(&config, dir.path());
    assert!(left.iter().all(|name| !dir.path().join(name).exists()));
}

#[test]
fn a_start_that_was_cut_short_can_be_started_again() {
    let config = search_config(&[]);
    let data = digits(&config.data, config.run.seed());
    let dir = tempfile::tempdir().unwrap();
    drop(Run::for_search(Some(dir.path()), &config, &data).unwrap());
    // The manifest is what is written last.
    fs::remove_file(dir.path().join("manifest.json")).unwrap();
    fs::remove_file(dir.path().join("metrics.jsonl")).unwrap();
    let error = Run::resume(dir.path()).unwrap_err();
    assert!(error.to_string().contains("it has no manifest.json"), "{error}");
    Run::for_search(Some(dir.path()), &config, &data).unwrap();
}

#[test]
fn a_run_is_open_once_and_can_be_read_meanwhile() {
    let config = train_config(&[]);
    let data = digits(&config.data, config.run.seed());
    let dir = tempfile::tempdir().unwrap();
    let run = Run::for_training(Some(dir.path()), &config, arc(), &data).unwrap();
    let error = Run::resume(dir.path()).unwrap_err();
    assert!(error.is_usage(), "{error}");
    let expected = format!("in use by process {} on ", std::process::id());
    assert!(error.to_string().contains(&expected), "{error}");
    assert_eq!(RunReader::open(dir.path()).unwrap().config::<TrainConfig>().unwrap(), config);
    drop(run);
    Run::resume(dir.path()).unwrap();

    let auto = tempfile::tempdir().unwrap();
    let config = AutoConfig {
        search: search_config(&[]),
        train: config,
        time: "off".parse().unwrap(),
        finish: 0.0,
        search_when: SearchWhen::Always,
        cell: None,
        fits_network: false,
    };
    let now = std::time::Instant::now();
    let run = AutoRun::create(Some(auto.path()), &config, &data, now).unwrap();
    let error = AutoRun::resume(auto.path(), now).unwrap_err();
    assert!(error.to_string().contains(&expected), "{error}");
    drop(run);
    AutoRun::resume(auto.path(), now).unwrap();
}

/// Puts `to` in the place of `from` in a file of settings.
fn edit(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(path, text.replacen(from, to, 1)).unwrap();
}

#[test]
fn an_edited_configuration_is_noticed() {
    let config = search_config(&["run.epochs=2"]);
    let data = digits(&config.data, config.run.seed());
    let dir = tempfile::tempdir().unwrap();
    drop(Run::for_search(Some(dir.path()), &config, &data).unwrap());
    let file = dir.path().join("config.toml");
    edit(&file, "checkpoint_seconds = 300", "checkpoint_seconds = 7");
    let mut run = Run::resume(dir.path()).unwrap();
    let mut edited: SearchConfig = run.config().unwrap();
    assert_eq!(edited.run.checkpoint_seconds, 7);
    run.adopt(&edited).unwrap();

    edit(&file, "epochs = 2", "epochs = 3");
    edit(&file, "filters = 4", "filters = 6");
    let error = run.config::<SearchConfig>().unwrap_err();
    assert!(error.is_usage());
    let text = error.to_string();
    for part in ["run.epochs: 2 in the run, 3 asked for", "child.filters: 4 in the run, 6 asked for"] {
        assert!(text.contains(part), "no {part:?} in: {text}");
    }
    assert!(!text.contains("checkpoint_seconds: "), "{text}");

    edited.run.log_every = 9;
    run.adopt(&edited).unwrap();
    let stored: SearchConfig = RunReader::open(dir.path()).unwrap().config().unwrap();
    assert_eq!(stored, edited, "what was asked for is written down");
}

#[test]
fn an_edited_configuration_of_an_automatic_run_is_noticed() {
    let config = AutoConfig {
        search: search_config(&[]),
        train: train_config(&["run.epochs=2"]),
        time: "off".parse().unwrap(),
        finish: 0.0,
        search_when: SearchWhen::Always,
        cell: None,
        fits_network: false,
    };
    let data = digits(&config.search.data, config.search.run.seed());
    let dir = tempfile::tempdir().unwrap();
    let now = std::time::Instant::now();
    let run = AutoRun::create(Some(dir.path()), &config, &data, now).unwrap();
    assert_eq!(run.config().unwrap(), config);
    edit(&dir.path().join("train.toml"), "epochs = 2", "epochs = 5");
    let error = run.config().unwrap_err().to_string();
    assert!(
        error.contains("train.toml: ") && error.contains("run.epochs: 2 in the run, 5 asked for"),
        "{error}"
    );
}

#[test]
fn dates_of_files_decide_nothing() {
    let config = train_config(&["run.epochs=3"]);
    let calm = tempfile::tempdir().unwrap();
    let odd = tempfile::tempdir().unwrap();
    train(&config, calm.path(), NEVER);
    let day = Duration::from_secs(86_400);
    for (epoch, days) in [(1, 400), (2, -400)] {
        train_until(&config, odd.path(), |event| matches!(event, Event::Epoch(e) if e.epoch == epoch));
        // The clock was set: what is there is from the future, or older than it should be; and the other way round
        // for each file after the other.
        let now = SystemTime::now();
        let dates = [now + day * 400, now - day * 400];
        let mut files = checkpoints(odd.path());
        files.extend(
            fs::read_dir(odd.path()).unwrap().map(|e| e.unwrap().path()).filter(|path| path.is_file()),
        );
        for (i, path) in files.iter().enumerate() {
            let at = dates[(i + usize::from(days > 0)) % 2];
            File::options().write(true).open(path).unwrap().set_modified(at).unwrap();
        }
    }
    go_on(&config, odd.path());
    same_run(odd.path(), calm.path());
    let line = metrics(odd.path());
    assert!(line.iter().all(|line| line["epoch"].as_u64().is_none_or(|epoch| epoch <= 3)));
}

#[test]
fn time_never_runs_backwards_in_a_log() {
    let config = train_config(&["run.epochs=2"]);
    let dir = tempfile::tempdir().unwrap();
    train(&config, dir.path(), 6);
    let text = fs::read_to_string(dir.path().join("metrics.jsonl")).unwrap();
    let times: Vec<f64> = text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["t"].as_f64().unwrap())
        .collect();
    assert!(times.is_sorted() && times[0] >= 0.0, "{times:?}");
}

#[test]
fn impossible_counts_are_refused_before_anything_is_computed() {
    let data = digits(&train_config(&[]).data, train_config(&[]).run.seed());
    type Spoil = fn(&mut TrainConfig);
    let spoil: [(&str, Spoil); 4] = [
        ("run.epochs", |c| c.run.epochs = u64::MAX),
        ("run.epochs", |c| c.run.epochs = 0),
        ("run.batch_size", |c| c.run.batch_size = 0),
        ("run.log_every", |c| c.run.log_every = 0),
    ];
    for (key, spoil) in spoil {
        let dir = tempfile::tempdir().unwrap();
        let mut config = train_config(&[]);
        let mut run = Run::for_training(Some(dir.path()), &config, arc(), &data).unwrap();
        spoil(&mut config);
        let error = enas_search::train(&config, &arc(), &data, &mut run, &mut ()).unwrap_err();
        assert!(error.is_usage() && error.to_string().starts_with(key), "{key}: {error}");
    }
}

#[test]
fn the_largest_counts_that_are_allowed_overflow_nothing() {
    let most = [
        "run.epochs=1000000000",
        "run.time=1s",
        "run.batch_size=9223372036854775807",
        "run.eval_batch=9223372036854775807",
        "run.log_every=9223372036854775807",
        "run.checkpoint_seconds=9223372036854775807",
        "schedule.t_0=9223372036854775807",
        "schedule.t_mul=9223372036854775807",
    ];
    let dir = tempfile::tempdir().unwrap();
    let (trained, _) = train(&train_config(&most), dir.path(), NEVER);
    assert!(trained.epochs >= 1);
    let dir = tempfile::tempdir().unwrap();
    let of_search = ["reward.batch_size=9223372036854775807", "controller.train_every=9223372036854775807"];
    let (found, _) = search(&search_config(&[&most[..], &of_search].concat()), dir.path(), NEVER);
    assert!(found.epochs >= 1);
}
