//! Whole automatic runs, tiny ones, with and without interruptions and time limits.

use std::fs;
use std::path::Path;
use std::time::Instant;

use enas_data::Dataset;
use enas_search::{
    AutoConfig, AutoOutcome, AutoPhase, AutoPlan, AutoRun, AutoRunReader, Error, Event, Model, Observer, Run,
    RunReader, SearchWhen, TimeLimit, TrainConfig, auto,
};
use enas_testing::runs::{StopsAfter, digits, metrics, search_config, train_config};

fn config(assignments: &[&str], time: &str) -> (AutoConfig, Dataset) {
    let search = search_config(assignments);
    let train = train_config(assignments);
    let data = digits(&search.data, search.run.seed());
    let time: TimeLimit = time.parse().unwrap();
    let search_when = SearchWhen::Always;
    (AutoConfig { search, train, time, finish: 0.5, search_when, cell: None, fits_network: false }, data)
}

/// A run that is interrupted after every `patience` steps and resumed until it is done; also how often it was.
fn run_all(config: &AutoConfig, data: &Dataset, dir: &Path, patience: u64) -> (AutoOutcome, u64) {
    let mut run = AutoRun::create(Some(dir), config, data, Instant::now()).unwrap();
    let mut interruptions = 0;
    loop {
        match auto(config, data, &mut run, &mut StopsAfter::new(patience)) {
            Ok(outcome) => return (outcome, interruptions),
            Err(Error::Interrupted { run: at }) => assert_eq!(at, dir),
            Err(e) => panic!("{e}"),
        }
        interruptions += 1;
        drop(run);
        run = AutoRun::resume(dir, Instant::now()).unwrap();
        assert_eq!(&run.config().unwrap(), config);
        assert_eq!(run.load_data(config, None).unwrap().fingerprint, data.fingerprint);
    }
}

#[test]
fn the_model_on_top_is_that_of_the_training_unless_the_first_is_better_and_interruptions_change_nothing() {
    let (config, data) = config(&[], "off");
    let calm = tempfile::tempdir().unwrap();
    let hasty = tempfile::tempdir().unwrap();
    let (expected, _) = run_all(&config, &data, calm.path(), u64::MAX);
    let (got, interruptions) = run_all(&config, &data, hasty.path(), 9);
    assert!(interruptions > 4, "{interruptions}");
    let file = |outcome: &AutoOutcome| fs::read(&outcome.model).unwrap();
    assert!(file(&got) == file(&expected), "models differ");
    for phase in ["first", "search", "train"] {
        assert_eq!(metrics(&hasty.path().join(phase)), metrics(&calm.path().join(phase)), "{phase}");
    }
    let of = |phase: AutoPhase| {
        let model = Model::load(&calm.path().join(phase.folder()).join("model.safetensors")).unwrap();
        model.accuracy().valid
    };
    let first = of(AutoPhase::First);
    let trained = of(AutoPhase::Train);
    // 179 validation images: a measurable difference has 4 points at least, and one of 25 points is measurable.
    match expected.from {
        AutoPhase::First => assert!(first > trained + 0.04, "{first} {trained}"),
        _ => assert!(first < trained + 0.25, "{first} {trained}"),
    }
    assert_eq!(expected.valid_accuracy, of(expected.from));
    assert_eq!((expected.first_accuracy, expected.trained_accuracy), (Some(first), Some(trained)));
    let top = Model::load(&expected.model).unwrap();
    let (split, _) = top.load_split(&config.search.data.path, enas_data::Part::Test).unwrap();
    assert_eq!(top.evaluate(&split).unwrap().accuracy(), expected.test_accuracy);
}

#[test]
fn there_is_a_model_from_the_first_steps_on() {
    let (config, data) = config(&[], "off");
    let dir = tempfile::tempdir().unwrap();
    let mut run = AutoRun::create(Some(dir.path()), &config, &data, Instant::now()).unwrap();
    let stopped = auto(&config, &data, &mut run, &mut StopsAfter::new(3));
    assert!(matches!(stopped, Err(Error::Interrupted { .. })), "{stopped:?}");
    assert_eq!(Model::load(&run.model_path()).unwrap().classes().len(), 10);
}

/// Keeps the plan.
#[derive(Default)]
struct Planner(Option<AutoPlan>);

impl Observer for Planner {
    fn event(&mut self, event: &Event<'_>) {
        if let Event::Planned(plan) = event {
            self.0 = Some(**plan);
        }
    }
}

#[test]
fn a_time_limit_is_planned_for_and_reaches_every_phase() {
    let (config, data) = config(&["run.epochs=1000000"], "20s");
    let dir = tempfile::tempdir().unwrap();
    let mut run = AutoRun::create(Some(dir.path()), &config, &data, Instant::now()).unwrap();
    let mut planner = Planner::default();
    let outcome = auto(&config, &data, &mut run, &mut planner).unwrap();
    let plan = planner.0.unwrap();
    assert!(plan.total() <= 20.0 && plan.search > plan.first && plan.train > plan.first, "{plan:?}");
    // A loose bound: the machine may be busy. What matters is that a million epochs did not run.
    assert!(outcome.seconds < 120.0, "{}", outcome.seconds);
    for phase in ["first", "search", "train"] {
        assert!(metrics(&dir.path().join(phase)).iter().any(|l| l["kind"] == "result"), "{phase}");
    }
}

#[test]
fn other_folders_are_refused_with_a_remedy() {
    let (config, data) = config(&[], "off");
    let dir = tempfile::tempdir().unwrap();
    let refused = AutoRun::resume(dir.path(), Instant::now()).unwrap_err();
    assert!(refused.is_usage() && refused.to_string().contains("auto.json"), "{refused}");
    AutoRun::create(Some(dir.path()), &config, &data, Instant::now()).unwrap();
    let again = AutoRun::create(Some(dir.path()), &config, &data, Instant::now()).unwrap_err();
    assert!(again.is_usage() && again.to_string().contains("choose another --out"), "{again}");
}

#[test]
fn without_a_search_a_ready_cell_is_trained_as_large_as_there_is_time_for() {
    let (mut config, data) = config(&["run.epochs=2"], "off");
    (config.search_when, config.fits_network) = (SearchWhen::Never, true);
    let calm = tempfile::tempdir().unwrap();
    let hasty = tempfile::tempdir().unwrap();
    let mut run = AutoRun::create(Some(calm.path()), &config, &data, Instant::now()).unwrap();
    let mut planner = Planner::default();
    let outcome = auto(&config, &data, &mut run, &mut planner).unwrap();
    let plan = planner.0.unwrap();
    let network = plan.network.unwrap();
    assert!(!plan.searches && plan.search == 0.0 && plan.train > 0.0, "{plan:?}");
    assert_eq!(
        (outcome.from, outcome.first_accuracy, outcome.search_accuracy),
        (AutoPhase::Train, None, None)
    );
    assert!(!calm.path().join("search").exists() && !calm.path().join("first").exists());
    let training = RunReader::open(&calm.path().join("train")).unwrap();
    assert_eq!(training.manifest().search, None, "there is no search to point to");
    let model = Model::load(&outcome.model).unwrap();
    assert_eq!(
        (model.child().unwrap().config().filters, model.child().unwrap().config().layers),
        (network.filters, network.layers)
    );
    // Tiny images of two epochs: there is time for the largest network of all.
    assert_eq!((network.filters, network.layers), (20, 4));
    // The plan of the first session stands, whatever a later one would measure.
    let (again, interruptions) = run_all(&config, &data, hasty.path(), 9);
    assert!(interruptions > 0 && fs::read(&again.model).unwrap() == fs::read(&outcome.model).unwrap());
}

#[test]
fn without_a_search_the_plan_measures_the_cell_that_is_trained_and_not_the_network_of_a_search() {
    let (mut config, data) = config(&["run.epochs=2"], "20s");
    config.search_when = SearchWhen::Never;
    // Measuring the shared network, or a random architecture in it, would fail.
    config.search.child.filters = 3;
    let dir = tempfile::tempdir().unwrap();
    let mut run = AutoRun::create(Some(dir.path()), &config, &data, Instant::now()).unwrap();
    let mut planner = Planner::default();
    let outcome = auto(&config, &data, &mut run, &mut planner).unwrap();
    let plan = planner.0.unwrap();
    assert!(!plan.searches && plan.network.is_none() && plan.possible_steps.is_some(), "{plan:?}");
    assert!(plan.train > 0.0 && plan.total() <= 20.0, "{plan:?}");
    let trained = RunReader::open(&dir.path().join("train")).unwrap().config::<TrainConfig>().unwrap();
    assert_eq!(trained.child.nodes, outcome.arc.n_nodes());
}

#[test]
fn a_given_cell_is_trained_without_a_search_and_kept_when_the_run_goes_on() {
    for fits_network in [false, true] {
        let (mut config, data) = config(&["run.epochs=2"], "off");
        let cell: enas_arc::Arc = "0 0 1 2 0 3 1 4".parse().unwrap();
        // A search is wanted by the settings; the cell wins.
        (config.search_when, config.cell) = (SearchWhen::Always, Some(cell.clone()));
        config.fits_network = fits_network;
        let dir = tempfile::tempdir().unwrap();
        let (outcome, interruptions) = run_all(&config, &data, dir.path(), 9);
        assert!(interruptions > 0, "fits_network = {fits_network}");
        assert_eq!((outcome.from, &outcome.arc), (AutoPhase::Train, &cell));
        assert!(!dir.path().join("search").exists() && !dir.path().join("first").exists());
        assert_eq!(AutoRunReader::open(dir.path()).unwrap().cell(), Some(cell));
    }
}

#[test]
fn the_training_of_an_automatic_run_is_the_training_that_the_same_settings_give() {
    let (mut config, data) = config(&["run.epochs=2"], "off");
    config.search_when = SearchWhen::Never;
    // Only the search mirrors; only the training erases.
    (config.search.data.augment.flip, config.train.data.augment.flip) = (true, false);
    config.train.data.augment.mode = enas_data::augment::AugmentMode::RandAugment;
    config.train.data.augment.erasing = 0.3;
    let automatic = tempfile::tempdir().unwrap();
    let direct = tempfile::tempdir().unwrap();
    let (outcome, _) = run_all(&config, &data, automatic.path(), u64::MAX);
    let train = TrainConfig {
        child: enas_child::Config { nodes: outcome.arc.n_nodes(), ..config.train.child.clone() },
        ..config.train.clone()
    };
    let data = digits(&train.data, train.run.seed());
    let mut run = Run::for_training(Some(direct.path()), &train, &outcome.arc, &data).unwrap();
    enas_search::train(&train, &outcome.arc, &data, &mut run, &mut StopsAfter::new(u64::MAX)).unwrap();
    assert_eq!(metrics(&automatic.path().join("train")), metrics(direct.path()));
}
