//! Complete series of tiny trainings.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use enas_run::config::ConfigBuilder;
use enas_testing::ARC;
use enas_testing::images::write_image;

use super::*;
use crate::observer::{Event, Observer};

/// An observer that stops once it has been asked `patience` times, counted over all trainings.
struct StopsAfter {
    patience: u64,
    asked: AtomicU64,
}

impl StopsAfter {
    fn new(patience: u64) -> Self {
        Self { patience, asked: AtomicU64::new(0) }
    }
}

struct One<'a>(&'a StopsAfter);

impl Observer for One<'_> {
    fn event(&mut self, _: &Event<'_>) {}

    fn should_stop(&self) -> bool {
        self.0.asked.fetch_add(1, Ordering::SeqCst) + 1 >= self.0.patience
    }
}

impl Observers for StopsAfter {
    fn of(&self, _: Member) -> Box<dyn Observer + '_> {
        Box::new(One(self))
    }
}

fn arc() -> Arc {
    ARC.parse().unwrap()
}

fn config(more: &[&str]) -> TrainConfig {
    let small = ["child.filters=4", "child.layers=1", "child.nodes=2", "data.image_size=8", "run.epochs=1"];
    let layers = small.iter().chain(more).fold(ConfigBuilder::preset("quick"), |layers, a| layers.set(*a));
    layers.set("run.seed=5").load().unwrap()
}

/// A folder of 120 digits, twelve of each class.
fn photos(dir: &Path) {
    let data = enas_data::digits().unwrap();
    let mut counts = [0; 10];
    for i in 0..data.train.len() {
        let class = data.train.labels()[i] as usize;
        counts[class] += 1;
        if counts[class] <= 12 {
            write_image(&data.train, i, &dir.join(&data.classes[class]).join(format!("{i}.png")));
        }
    }
}

/// The files of a finished series, by name, that must be equal in every repetition.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    const EQUAL: [&str; 5] =
        ["model.safetensors", "best.arc.json", "split.json", "config.toml", "manifest.json"];
    let entries = walkdir::WalkDir::new(dir).into_iter().map(Result::unwrap);
    entries
        .filter(|entry| EQUAL.iter().any(|name| entry.file_name() == *name))
        .map(|entry| (entry.path().strip_prefix(dir).unwrap().to_owned(), fs::read(entry.path()).unwrap()))
        .collect()
}

/// Runs a series to its end, with interruptions; returns the outcome and the files.
fn whole(
    config: &TrainConfig,
    series: Series,
    patience: u64,
    jobs: usize,
) -> (SeriesOutcome, BTreeMap<PathBuf, Vec<u8>>) {
    let data = enas_data::load(&config.data, &enas_data::LoadOptions::new(config.run.seed())).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().join("run");
    let mut run = SeriesRun::create(Some(&at), config, &arc(), &data, series).unwrap();
    loop {
        match train_series(config, &data, &run, &StopsAfter::new(patience), jobs) {
            Ok(mut outcome) => {
                assert_eq!(outcome.median.run, at);
                (outcome.median.run, outcome.median.model) = (PathBuf::new(), PathBuf::new());
                outcome.median.seconds = 0.0;
                return (outcome, files(&at));
            }
            Err(Error::Interrupted { run }) => assert_eq!(run, at),
            Err(e) => panic!("{e}"),
        }
        drop(run);
        run = SeriesRun::resume(&at).unwrap();
        assert_eq!(run.config_builder().load::<TrainConfig>().unwrap(), *config);
    }
}

#[test]
fn seeds_give_the_same_one_by_one_side_by_side_and_after_interruptions() {
    let config = config(&["run.batch_size=128"]);
    let calm = whole(&config, Series::Seeds(3), u64::MAX, 1);
    let members: Vec<Member> = calm.0.members.iter().map(|it| it.member).collect();
    assert_eq!(members, [5, 6, 7].map(Member::Seed));
    assert!(calm.0.test_accuracy_sd > 0.0, "the seeds differ: {:?}", calm.0);
    assert_eq!((calm.0.pooled, calm.1.len()), (None, 4 * 5));
    for way in [(7, 1), (u64::MAX, 3), (9, 2)] {
        let other = whole(&config, Series::Seeds(3), way.0, way.1);
        assert_eq!(other.0, calm.0, "{way:?}");
        for (name, bytes) in &calm.1 {
            assert!(other.1[name] == *bytes, "{way:?}: {} differs", name.display());
        }
    }
}

#[test]
fn folds_test_every_image_once_whatever_the_way() {
    let dir = tempfile::tempdir().unwrap();
    photos(dir.path());
    let path = format!("data.path={}", dir.path().display());
    let config = config(&[&path, "run.batch_size=32", "data.valid_fraction=0.2"]);
    let calm = whole(&config, Series::Folds(3), u64::MAX, 1);
    let SeriesOutcome { members, pooled, .. } = &calm.0;
    assert_eq!(members.iter().map(|it| it.member).collect::<Vec<_>>(), [1, 2, 3].map(Member::Fold));
    let pooled = pooled.unwrap();
    assert_eq!(pooled.total, 120);
    assert_eq!(pooled.correct, members.iter().map(MemberOutcome::test_correct).sum::<u64>());
    let test = |fold: usize| -> Vec<String> {
        let bytes = &calm.1[Path::new(&format!("fold-{fold}/split.json"))];
        serde_json::from_slice::<enas_data::SplitFile>(bytes).unwrap().test
    };
    let mut all: Vec<String> = (1..=3).flat_map(test).collect();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 120);
    for way in [(5, 1), (u64::MAX, 2)] {
        assert!(whole(&config, Series::Folds(3), way.0, way.1) == calm, "{way:?}");
    }
}

#[test]
fn as_many_are_trained_at_a_time_as_there_is_memory_for() {
    let config = config(&["run.batch_size=128"]);
    let data = enas_data::digits().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut run =
        SeriesRun::create(Some(&dir.path().join("run")), &config, &arc(), &data, Series::Seeds(4)).unwrap();
    assert_eq!((run.jobs(9), run.jobs(2), run.jobs(0)), (4, 2, 1));
    let mut plan = MemoryPlan::for_training(&config, arc(), false).unwrap();
    plan.limit = Some(3 * plan.parts.total() + 1);
    run.set_memory(plan.clone());
    assert_eq!(run.jobs(4), 3);
    plan.limit = Some(plan.parts.total());
    run.set_memory(plan);
    assert_eq!(run.jobs(4), 1);
}
