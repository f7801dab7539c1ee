//! Whole studies: with a trainer that makes results up, and with images.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "in helpers of tests, too, a failed unwrap is a failed test")]

mod images;
mod replication;

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use enas_search::{Arc, ConfigBuilder, Dataset, Error, Observer, Result, SearchConfig, enas_data};
use enas_study::{
    Clock, Measurements, SearchResult, SessionEnd, Size, Study, StudyConfig, StudyCounts, StudyEvent,
    StudyObserver, Trainer, read_summary,
};
use tempfile::TempDir;

const COUNTS: StudyCounts =
    StudyCounts { pool: 4, wide: 2, searches: 2, seeds: 2, pick_seeds: 3, controls: 2 };
/// Trainings and searches of these.
const TOTAL: usize = 8 + 4 + 2 + 6 + 4 + 4;

/// Makes up what follows from an arc and a seed; fails, is slow or is asked to stop where a test wants it.
#[derive(Default)]
struct FakeTrainer {
    trainings: Vec<(Arc, u64)>,
    searches: Vec<(u64, PathBuf)>,
    /// Wall time of a training.
    takes: Duration,
}

impl Trainer for FakeTrainer {
    fn size(&self, arc: &Arc) -> Result<Size> {
        let ints = arc.to_ints();
        let convolutions = ints.iter().skip(1).step_by(2).filter(|op| **op < 2).count();
        Ok(Size { params: 400 + 40 * convolutions, macs: 4000 + 100 * convolutions as u64 })
    }

    fn train(
        &mut self,
        arc: &Arc,
        seed: u64,
        goes_on: &mut dyn FnMut(f64) -> bool,
    ) -> Result<Option<Measurements>> {
        for share in [0.25, 0.5, 0.75, 1.0] {
            std::thread::sleep(self.takes / 4);
            if !goes_on(share) {
                return Ok(None);
            }
        }
        self.trainings.push((arc.clone(), seed));
        let Size { params, macs } = self.size(arc)?;
        let luck = (seed % 5) as f64 / 1000.0;
        let accuracy = 0.7 + arc.to_ints().iter().sum::<usize>() as f64 / 1000.0 + luck;
        Ok(Some(Measurements {
            params,
            macs,
            losses: vec![1.0 / 3.0, 0.1 + 0.2],
            choose_losses: vec![0.5, 0.4],
            choose_accuracies: vec![0.6, accuracy],
            early_loss: 1.0 - accuracy,
            late_loss: 0.5 - accuracy,
            choose_accuracy: accuracy,
            report_accuracy: accuracy,
            test_accuracy: accuracy,
            test_loss: 1.0 - accuracy,
        }))
    }

    fn search(&mut self, seed: u64, dir: &Path, observer: &mut dyn Observer) -> Result<SearchResult> {
        if observer.should_stop() {
            return Err(Error::Interrupted { run: dir.to_owned() });
        }
        self.searches.push((seed, dir.to_owned()));
        let arc = Arc::random(2, &mut enas_data::Seed::new(seed).stream("test", &[]));
        let small = Some(Arc::random(2, &mut enas_data::Seed::new(seed).stream("small", &[])));
        Ok(SearchResult { arc, small, valid_accuracy: 0.6, random_valid_accuracy: Some(0.5), seconds: 1.0 })
    }
}

/// Asks to stop after so many events of finished work.
struct StopsAfter(Cell<usize>, usize);

impl StudyObserver for StopsAfter {
    fn event(&mut self, event: &StudyEvent<'_>) {
        if matches!(event, StudyEvent::Trained { .. } | StudyEvent::Found { .. }) {
            self.0.set(self.0.get() + 1);
        }
    }

    fn should_stop(&self) -> bool {
        self.0.get() >= self.1
    }
}

fn config() -> StudyConfig {
    let search: SearchConfig = ConfigBuilder::preset("quick").set("child.nodes=2").load().unwrap();
    StudyConfig { counts: COUNTS, ..StudyConfig::new(search, &[]).unwrap() }
}

fn digits() -> Dataset {
    enas_data::digits().unwrap()
}

struct StudyDir {
    folder: TempDir,
}

impl StudyDir {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn dir(&self) -> PathBuf {
        self.folder.path().join("study")
    }

    fn begin(&self) -> Study {
        Study::create(Some(&self.dir()), &config(), &digits()).unwrap()
    }

    fn file(&self, name: &str) -> String {
        fs::read_to_string(self.dir().join(name)).unwrap()
    }

    /// The lines of the log without what clocks say.
    fn lines(&self) -> Vec<serde_json::Value> {
        let line = |text: &str| {
            let mut line: serde_json::Value = serde_json::from_str(text).unwrap();
            line.as_object_mut().unwrap().remove("seconds");
            line
        };
        self.file("trials.jsonl").lines().map(line).collect()
    }
}

fn finish(study: &mut Study, trainer: &mut FakeTrainer) {
    assert_eq!(study.run(trainer, Clock::unlimited(), &mut ()).unwrap(), SessionEnd::Complete);
    study.write(&study.summary()).unwrap();
}

#[test]
fn a_study_does_everything_once_with_the_seeds_of_its_repeats() {
    let study_dir = StudyDir::new();
    let mut trainer = FakeTrainer::default();
    finish(&mut study_dir.begin(), &mut trainer);
    assert_eq!((trainer.trainings.len(), trainer.searches.len()), (TOTAL - 2, 2));
    // Groups share their seeds; two searches and two trainings have different ones.
    let mut seeds: Vec<u64> = trainer.trainings.iter().map(|(_, seed)| *seed).collect();
    seeds.sort_unstable();
    seeds.dedup();
    assert_eq!(seeds.len(), 3);
    assert_ne!(trainer.searches[0].0, trainer.searches[1].0);
    assert!(trainer.searches.iter().all(|(seed, _)| !seeds.contains(seed)), "a search's luck is its own");
    assert!(trainer.searches[1].1.ends_with("search-2"));
    let summary = read_summary(&study_dir.dir()).unwrap();
    assert_eq!((summary.done, summary.total), (TOTAL, TOTAL));
    assert!(
        summary.missing.iter().all(|what| !what.contains(" of ") || what.contains("within")),
        "{summary:?}"
    );
    assert!(study_dir.file("study.md").contains("| found by search | 2 | 6 |"));
    assert!(study_dir.file("study.html").starts_with("<!DOCTYPE html>"));
}

#[test]
fn a_study_that_is_stopped_at_any_time_ends_like_one_that_was_not() {
    let whole = StudyDir::new();
    finish(&mut whole.begin(), &mut FakeTrainer::default());
    for stop in [1, 4, 5, 7, 19, 22] {
        let study_dir = StudyDir::new();
        let mut trainer = FakeTrainer::default();
        let mut study = study_dir.begin();
        let ended = study.run(&mut trainer, Clock::unlimited(), &mut StopsAfter(Cell::new(0), stop));
        assert!(matches!(ended.unwrap_err(), Error::Interrupted { run } if run == study_dir.dir()));
        drop(study);
        // As if it had been killed while it wrote the next line.
        let path = study_dir.dir().join("trials.jsonl");
        let torn = format!("{}{{\"kind\":\"tra", study_dir.file("trials.jsonl"));
        fs::write(&path, torn).unwrap();
        finish(&mut Study::resume(&study_dir.dir()).unwrap(), &mut trainer);
        assert_eq!(trainer.trainings.len(), TOTAL - 2, "nothing is done twice");
        assert_eq!(study_dir.lines(), whole.lines(), "stopped after {stop}");
        for file in ["study.json", "study.md", "study.html"] {
            assert_eq!(study_dir.file(file), whole.file(file), "{file}, stopped after {stop}");
        }
    }
}

#[test]
fn when_the_time_is_up_there_is_a_result_of_what_there_is() {
    let study_dir = StudyDir::new();
    let mut trainer = FakeTrainer { takes: Duration::from_millis(100), ..FakeTrainer::default() };
    let mut study = study_dir.begin();
    let began = Instant::now();
    let limit = Duration::from_millis(560);
    let ended = study.run(&mut trainer, Clock::new(began, Some(limit)), &mut ()).unwrap();
    assert_eq!(ended, SessionEnd::TimeLimit);
    assert!(began.elapsed() < limit + Duration::from_millis(60), "{:?}", began.elapsed());
    let summary = study.summary();
    study.write(&summary).unwrap();
    assert!(summary.done >= 2 && summary.done < TOTAL, "{summary:?}");
    assert!(summary.missing.iter().any(|what| what.contains("of 8 trainings of random")), "{summary:?}");
    assert!(study_dir.file("study.md").contains("Missing, or to be known"));
    drop(study);
    trainer.takes = Duration::ZERO;
    finish(&mut Study::resume(&study_dir.dir()).unwrap(), &mut trainer);
    assert_eq!(read_summary(&study_dir.dir()).unwrap().done, TOTAL);
}

#[test]
fn more_may_be_asked_for_and_what_is_done_stays() {
    let study_dir = StudyDir::new();
    let mut trainer = FakeTrainer::default();
    finish(&mut study_dir.begin(), &mut trainer);
    let before = study_dir.lines();
    let mut study = Study::resume(&study_dir.dir()).unwrap();
    study.extend(StudyCounts { pool: 6, searches: 3, ..COUNTS }).unwrap();
    study.extend(StudyCounts { pool: 1, ..COUNTS }).unwrap();
    finish(&mut study, &mut trainer);
    drop(study);
    let after = study_dir.lines();
    assert_eq!(after[..before.len()], before);
    assert_eq!(after.len(), TOTAL + 2 * 2 + 1 + 3 + 2 + 2);
    assert_eq!(Study::resume(&study_dir.dir()).unwrap().config().counts.pool, 6);
}

#[test]
fn other_images_and_other_directories_are_refused() {
    let study_dir = StudyDir::new();
    let study = study_dir.begin();
    study.check_data(&digits()).unwrap();
    let mut other = digits();
    other.fingerprint.sha256 = "0".repeat(64);
    let said = study.check_data(&other).unwrap_err().to_string();
    assert!(said.contains("has other contents") && said.contains("begin another study"), "{said}");
    let taken = Study::resume(&study_dir.dir()).unwrap_err();
    assert!(taken.is_usage() && taken.to_string().contains("in use by process"), "{taken}");
    drop(study);
    let again = Study::create(Some(&study_dir.dir()), &config(), &digits()).unwrap_err();
    assert!(again.to_string().contains("--resume"), "{again}");
    let elsewhere = Study::resume(study_dir.folder.path()).unwrap_err();
    assert!(elsewhere.is_usage() && elsewhere.to_string().contains("enas study DATA"), "{elsewhere}");
    assert_eq!(fs::read_dir(study_dir.folder.path()).unwrap().count(), 1, "no lock file is left there");
    fs::write(study_dir.dir().join("study.config.json"), "{").unwrap();
    let broken = Study::resume(&study_dir.dir()).unwrap_err().to_string();
    assert!(broken.contains("study.config.json: these are not the settings of a study"), "{broken}");
}
