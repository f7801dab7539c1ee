//! Studies of the built-in digits, as small as can be.

use enas_search::{Event, SearchConfig};
use enas_study::{
    Clock, ImageTrainer, SessionEnd, Study, StudyConfig, StudyCounts, StudyEvent, StudyObserver, Trainer,
};
use enas_testing::runs::{arc, quick};

use crate::StudyDir;

fn config() -> StudyConfig {
    let tiny = [
        "run.epochs=1",
        "run.batch_size=128",
        "child.filters=4",
        "child.layers=1",
        "child.nodes=2",
        "controller.steps=1",
        "select.samples=2",
        "select.random=2",
        "reward.batch_size=40",
        "finals.policy=1",
        "finals.wide=1",
        "finals.random=1",
        "finals.mutants=0",
        "finals.controls=1",
        "finals.steps=2",
    ];
    let search: SearchConfig = quick(&tiny).load().unwrap();
    let mut config = StudyConfig::new(search, &["run.epochs=3".to_owned()]).unwrap();
    config.counts = StudyCounts { pool: 3, wide: 1, searches: 1, seeds: 2, pick_seeds: 1, controls: 1 };
    (config.train_images, config.valid_images) = (Some(500), Some(100));
    config
}

#[test]
fn equal_seeds_are_equal_trainings_and_others_are_not() {
    let mut trainer = ImageTrainer::load(&config(), None).unwrap();
    let mut train = |seed| trainer.train(&arc(), seed, &mut |_| true).unwrap().unwrap();
    let one = train(4);
    let again = train(4);
    let other = train(5);
    assert_eq!(one, again);
    assert_ne!(one.losses, other.losses);
    assert_eq!((one.losses.len(), one.params), (3, other.params));
    assert!(one.losses[2] < one.losses[0], "it learns: {:?}", one.losses);
    assert!(one.test_accuracy > 0.15 && one.test_loss < 3.0, "{one:?}");
    // Of three epochs the first counts as a short training.
    assert!((one.early_loss - one.losses[0]).abs() < 1e-9, "{one:?}");
    let size = trainer.size(&arc()).unwrap();
    assert_eq!((size.params, size.macs), (one.params, one.macs));
}

#[test]
fn a_training_that_must_stop_has_no_result() {
    let mut trainer = ImageTrainer::load(&config(), None).unwrap();
    let mut asked = 0;
    let mut twice = |share: f64| {
        asked += 1;
        assert!(share > 0.0 && share <= 1.0);
        asked < 2
    };
    assert_eq!(trainer.train(&arc(), 1, &mut twice).unwrap(), None);
    assert_eq!(asked, 2);
}

#[test]
fn the_images_are_those_that_were_asked_for() {
    let trainer = ImageTrainer::load(&config(), None).unwrap();
    let data = trainer.data();
    assert_eq!((data.train.len(), data.valid.len()), (500, 100));
}

/// Stops in the middle of the search.
#[derive(Default)]
struct StopsInSearch(bool);

impl StudyObserver for StopsInSearch {
    fn event(&mut self, event: &StudyEvent<'_>) {
        self.0 |= matches!(event, StudyEvent::Search(Event::Step { .. } | Event::Trial { .. }));
    }

    fn should_stop(&self) -> bool {
        self.0
    }
}

#[test]
fn a_study_of_images_that_was_stopped_in_its_search_ends_like_one_that_was_not() {
    let places = [StudyDir::new(), StudyDir::new()];
    for (i, study_dir) in places.iter().enumerate() {
        let mut trainer = ImageTrainer::load(&config(), None).unwrap();
        let mut study = Study::create(Some(&study_dir.dir()), &config(), trainer.data()).unwrap();
        if i == 1 {
            study.run(&mut trainer, Clock::unlimited(), &mut StopsInSearch::default()).unwrap_err();
            drop(study);
            study = Study::resume(&study_dir.dir()).unwrap();
            study.check_data(trainer.data()).unwrap();
        }
        assert_eq!(study.run(&mut trainer, Clock::unlimited(), &mut ()).unwrap(), SessionEnd::Complete);
        study.write(&study.summary()).unwrap();
    }
    let [whole, stopped] = &places;
    assert_eq!(whole.lines(), stopped.lines());
    assert_eq!(whole.file("study.json"), stopped.file("study.json"));
    assert!(whole.dir().join("search-1/best.arc.json").is_file());
    assert!(whole.file("study.json").contains("\"tau\": "));
}
