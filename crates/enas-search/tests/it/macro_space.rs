//! Searches and trainings of whole networks layer by layer, tiny ones.

use std::path::Path;

use enas_search::{
    Arch, ConfigBuilder, Error, Model, Origin, Run, RunReader, SearchConfig, SearchOutcome, SpaceKind,
    TrainConfig, TrainOutcome, search_any, train_any,
};
use enas_testing::runs::{StopsAfter, digits, metrics, newest_weights, search_config, train_config};

const NEVER: u64 = u64::MAX;
const SPACE: [&str; 5] = [
    "space=macro",
    "macro.layers=3",
    "macro.filters=4",
    "controller.skip.weight=0.8",
    "controller.skip.target=0.4",
];

fn of_search(assignments: &[&str]) -> SearchConfig {
    search_config(&[&SPACE[..], assignments].concat())
}

/// A search that is interrupted after every `patience` steps and resumed until it is done.
fn search(config: &SearchConfig, dir: &Path, patience: u64) -> (SearchOutcome<Arch>, u64) {
    let data = digits(&config.data, config.run.seed());
    let mut run = Run::for_search(Some(dir), config, &data).unwrap();
    let mut interruptions = 0;
    loop {
        match search_any(config, &data, &mut run, &mut StopsAfter::new(patience)) {
            Ok(outcome) => return (outcome, interruptions),
            Err(Error::Interrupted { .. }) => interruptions += 1,
            Err(e) => panic!("{e}"),
        }
        drop(run);
        run = Run::resume(dir).unwrap();
        assert_eq!(&run.config::<SearchConfig>().unwrap(), config);
    }
}

fn train(config: &TrainConfig, arch: &Arch, dir: &Path, patience: u64) -> (TrainOutcome<Arch>, u64) {
    let data = digits(&config.data, config.run.seed());
    let mut run = Run::for_training(Some(dir), config, arch, &data).unwrap();
    let mut interruptions = 0;
    loop {
        match train_any(config, arch, &data, &mut run, &mut StopsAfter::new(patience)) {
            Ok(outcome) => return (outcome, interruptions),
            Err(Error::Interrupted { .. }) => interruptions += 1,
            Err(e) => panic!("{e}"),
        }
        drop(run);
        run = Run::resume(dir).unwrap();
        assert_eq!((run.arch(), run.arc()), (Some(arch), None));
    }
}

fn arch() -> Arch {
    "1 = conv-3x3(0); 2 = max-pool-3x3(1) + 0; 3 = sep-conv-5x5(2) + 1".parse().unwrap()
}

#[test]
fn every_strategy_searches_whole_networks_and_goes_on_to_the_same_bytes() {
    for strategy in ["reinforce", "evolution", "uniform"] {
        let strategy = format!("strategy.kind={strategy}");
        let config = of_search(&[&strategy, "warmup.updates=2", "warmup.fair=0.3", "warmup.collapse=0.9"]);
        let calm = tempfile::tempdir().unwrap();
        let hasty = tempfile::tempdir().unwrap();
        let (expected, _) = search(&config, calm.path(), NEVER);
        let (got, interruptions) = search(&config, hasty.path(), 5);
        assert!(interruptions > 3, "{strategy}: {interruptions}");
        assert_eq!((&got.arc, &got.selection), (&expected.arc, &expected.selection), "{strategy}");
        assert_eq!(metrics(hasty.path()), metrics(calm.path()), "{strategy}");
        assert!(newest_weights(hasty.path()) == newest_weights(calm.path()), "{strategy}: weights differ");

        assert_eq!(expected.arc.space(), SpaceKind::Macro);
        let random = expected.selection.random.iter().all(|c| c.origin == Origin::Random);
        assert!(random && expected.selection.random.len() == 5 && expected.macs > 0);
        let record = RunReader::open(calm.path()).unwrap();
        assert_eq!(record.best_arch().unwrap(), expected.arc);
        let error = record.best_arc().unwrap_err();
        assert!(error.is_usage() && error.to_string().contains("macro space"), "{error}");
        let text = std::fs::read_to_string(record.best_arc_path()).unwrap();
        let file: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&file["space"], file.get("normal")), (&"macro".into(), None));
        assert_eq!(file["integers"].as_str().unwrap(), expected.arc.to_string());
        let epochs: Vec<_> =
            metrics(calm.path()).into_iter().filter(|line| line["kind"] == "epoch").collect();
        let shares = epochs[1]["policy"]["op_frequencies"].as_array().unwrap();
        assert_eq!((shares.len(), shares[0].as_array().unwrap().len()), (1, 6));
    }
}

#[test]
fn a_training_goes_on_to_the_same_bytes_and_its_model_predicts() {
    for fixed_ops in ["as-searched", "full-convolutions"] {
        let fixed_ops = format!("macro.fixed_ops={fixed_ops}");
        let config = train_config(&["macro.filters=4", "run.label_smoothing=0.1", &fixed_ops]);
        let arch: Arch = if fixed_ops.ends_with("searched") {
            arch()
        } else {
            "1 = conv-3x3(0); 2 = conv-5x5(1); 3 = sep-conv-5x5(2) + 1".parse().unwrap()
        };
        let calm = tempfile::tempdir().unwrap();
        let hasty = tempfile::tempdir().unwrap();
        let (expected, _) = train(&config, &arch, calm.path(), NEVER);
        let (got, interruptions) = train(&config, &arch, hasty.path(), 4);
        assert!(interruptions > 3, "{interruptions}");
        let model = |outcome: &TrainOutcome<Arch>| std::fs::read(&outcome.model).unwrap();
        assert!(model(&got) == model(&expected), "models differ");
        assert_eq!(metrics(hasty.path()), metrics(calm.path()));

        let data = digits(&config.data, config.run.seed());
        let model = Model::load(&expected.model).unwrap();
        assert_eq!((model.arch(), model.n_params()), (&arch, expected.params));
        assert_eq!(model.evaluate(&data.test).unwrap().accuracy(), expected.test_accuracy);
        let images = model.images(&[data.test.image(0).unwrap()]).unwrap();
        let sum: f32 = model.probabilities(&images).unwrap().to_vec2::<f32>().unwrap()[0].iter().sum();
        assert!((sum - 1.0).abs() < 1e-5, "{sum}");
        assert!(matches!(model.child(), Err(Error::CellsOnly(_))));
        assert!(model.arc().unwrap_err().is_usage());
    }
}

#[test]
fn a_training_learns() {
    let config = train_config(&["macro.filters=8", "run.epochs=6", "run.batch_size=64"]);
    let dir = tempfile::tempdir().unwrap();
    let (outcome, _) = train(&config, &arch(), dir.path(), NEVER);
    assert!(outcome.test_accuracy > 0.5, "{}", outcome.test_accuracy);
}

#[test]
fn what_only_cells_have_is_refused_by_its_key() {
    let error = |assignments: &[&str]| {
        let all = [&["space=macro", "finals.steps=0"], assignments].concat();
        let layers = all.into_iter().fold(ConfigBuilder::preset("quick"), ConfigBuilder::set);
        layers.load::<SearchConfig>().unwrap_err().to_string()
    };
    for (assignment, said) in [
        ("finals.steps=30", "finals train cells only"),
        ("limits.params=100000", "only finals apply limits"),
        ("strategy.kind=wide", "a kind of cells"),
        ("macro.filters=3", "macro.filters = 3"),
        ("space=huge", "unknown variant"),
    ] {
        let (error, key) = (error(&[assignment]), assignment.split(['.', '=']).next().unwrap());
        assert!(error.contains(said) && error.contains(key), "{assignment}: {error}");
    }
    for (setting, said) in [
        (["run.ema_decay=0.9", "run.bn_reestimate=1"], "run.ema_decay works with cells only"),
        (["run.ema_decay=0", "run.bn_reestimate=1"], "run.bn_reestimate works with cells only"),
    ] {
        let config = train_config(&setting);
        let data = digits(&config.data, config.run.seed());
        let dir = tempfile::tempdir().unwrap();
        let mut run = Run::for_training(Some(dir.path()), &config, arch(), &data).unwrap();
        let error = train_any(&config, &arch(), &data, &mut run, &mut ()).unwrap_err();
        assert!(error.is_usage() && error.to_string().contains(said), "{error}");
    }
    let config = of_search(&[]);
    let data = digits(&config.data, config.run.seed());
    let dir = tempfile::tempdir().unwrap();
    let mut run = Run::for_search(Some(dir.path()), &config, &data).unwrap();
    let error = enas_search::search(&config, &data, &mut run, &mut ()).unwrap_err();
    assert!(matches!(error, Error::CellsOnly(_)));
}
