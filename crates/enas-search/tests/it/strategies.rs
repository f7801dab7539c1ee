//! Searches with each of the strategies that are not the published one, tiny ones.

use std::path::Path;

use enas_search::{CandidateOrigin, Error, Event, Observer, Run, RunReader, SearchConfig, SearchOutcome};
use enas_testing::runs::{digits, lines_of, metrics, newest_weights, search, search_config};
use serde_json::Value;

const NEVER: u64 = u64::MAX;
const OTHERS: [&str; 3] = ["strategy.kind=evolution", "strategy.kind=uniform", "strategy.kind=wide"];

/// A search of two epochs that rewards six times three architectures in each.
fn config(assignments: &[&str]) -> SearchConfig {
    search_config(&[&["controller.steps=6"], assignments].concat())
}

/// Evolution among so few that the second epoch has mutants.
fn evolution(assignments: &[&str]) -> SearchConfig {
    let few = ["strategy.kind=evolution", "strategy.population=8", "strategy.sample=3"];
    config(&[&few[..], assignments].concat())
}

/// The progress in the newest checkpoint.
fn newest_progress(dir: &Path) -> Value {
    let entries = std::fs::read_dir(dir.join("checkpoints")).unwrap();
    let bytes = std::fs::read(entries.map(|e| e.unwrap().path()).max().unwrap()).unwrap();
    let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    let text = header.metadata().clone().unwrap();
    let parsed = text.values().filter_map(|value| serde_json::from_str::<Value>(value).ok());
    parsed.map(|value| value["progress"].clone()).find(|progress| progress["epochs"].is_u64()).unwrap()
}

fn same(config: &SearchConfig, patience: u64) -> (SearchOutcome, tempfile::TempDir) {
    let calm = tempfile::tempdir().unwrap();
    let hasty = tempfile::tempdir().unwrap();
    let (expected, _) = search(config, calm.path(), NEVER);
    let (got, interruptions) = search(config, hasty.path(), patience);
    assert!(interruptions > 3, "{interruptions}");
    assert_eq!((&got.arc, got.valid_accuracy), (&expected.arc, expected.valid_accuracy));
    assert_eq!(got.selection, expected.selection);
    assert!(newest_weights(hasty.path()) == newest_weights(calm.path()), "weights differ");
    (expected, calm)
}

#[test]
fn every_strategy_goes_on_to_the_same_bytes() {
    for strategy in OTHERS {
        let calm = tempfile::tempdir().unwrap();
        let hasty = tempfile::tempdir().unwrap();
        let config = config(&[strategy]);
        let (expected, _) = search(&config, calm.path(), NEVER);
        let (got, interruptions) = search(&config, hasty.path(), 5);
        assert!(interruptions > 3, "{strategy}: {interruptions}");
        assert_eq!(got.selection, expected.selection, "{strategy}");
        assert_eq!(metrics(hasty.path()), metrics(calm.path()), "{strategy}");
        assert!(newest_weights(hasty.path()) == newest_weights(calm.path()), "{strategy}: weights differ");

        let updates = lines_of(calm.path(), "controller");
        assert_eq!(updates.len(), 12, "{strategy}");
        let kind = strategy.split_once('=').unwrap().1;
        assert!(updates.iter().all(|line| line["strategy"] == kind && line.get("baseline").is_none()));
        let settings = RunReader::open(calm.path()).unwrap().manifest().settings.clone().unwrap();
        assert_eq!(settings["strategy"]["kind"], kind);
    }
}

#[test]
fn evolution_keeps_its_population_in_the_checkpoint_and_mutates_it() {
    let (found, dir) = same(&evolution(&[]), 4);
    let population = newest_progress(dir.path())["population"].as_array().unwrap().clone();
    assert_eq!(population.len(), 8);
    assert!(population.iter().all(|member| member["choices"].as_array().unwrap().len() == 16));
    let distance = |a: &[u64], b: &[u64]| a.iter().zip(b).filter(|(a, b)| a != b).count();
    let choices: Vec<Vec<u64>> = population
        .iter()
        .map(|member| member["choices"].as_array().unwrap().iter().map(|c| c.as_u64().unwrap()).collect())
        .collect();
    let related = choices.iter().enumerate().any(|(i, a)| choices[..i].iter().any(|b| distance(a, b) <= 2));
    assert!(related, "nobody in the population is a mutant of another: {choices:?}");
    // Its best member is scored first at the end.
    assert!(found.selection.candidates.iter().any(|c| c.origin == enas_search::Origin::Greedy));
    assert!(lines_of(dir.path(), "epoch").iter().all(|line| line["policy"]["greedy"].is_string()));
}

/// Stops in the second epoch.
#[derive(Default)]
struct StopsInTheSecondEpoch(bool);

impl Observer for StopsInTheSecondEpoch {
    fn event(&mut self, event: &Event<'_>) {
        self.0 |= matches!(event, Event::Step { place, .. } if place.epoch == 2);
    }

    fn should_stop(&self) -> bool {
        self.0
    }
}

#[test]
fn a_population_survives_the_end_of_an_epoch() {
    let calm = tempfile::tempdir().unwrap();
    let torn = tempfile::tempdir().unwrap();
    let config = evolution(&[]);
    let (expected, _) = search(&config, calm.path(), NEVER);
    let data = digits(&config.data, config.run.seed());
    let mut run = Run::for_search(Some(torn.path()), &config, &data).unwrap();
    let stopped = enas_search::search(&config, &data, &mut run, &mut StopsInTheSecondEpoch::default());
    assert!(matches!(stopped, Err(Error::Interrupted { .. })));
    drop(run);
    // Without the newest checkpoint there is that of the end of the first epoch.
    let checkpoints = std::fs::read_dir(torn.path().join("checkpoints")).unwrap();
    let newest = checkpoints.map(|entry| entry.unwrap().path()).max().unwrap();
    std::fs::remove_file(newest).unwrap();
    let progress = newest_progress(torn.path());
    assert_eq!((&progress["epoch"], &progress["step"]), (&1.into(), &0.into()));
    assert_eq!(progress["population"].as_array().unwrap().len(), 8);
    let mut run = Run::resume(torn.path()).unwrap();
    let found = enas_search::search(&config, &data, &mut run, &mut ()).unwrap();
    assert_eq!(found.selection, expected.selection);
    assert!(newest_weights(torn.path()) == newest_weights(calm.path()), "weights differ");
}

#[test]
fn draws_that_learn_nothing_think_none_the_best() {
    let dir = tempfile::tempdir().unwrap();
    let (found, _) = search(&config(&["strategy.kind=wide"]), dir.path(), NEVER);
    assert!(found.selection.candidates.iter().all(|c| c.arc.is_wide()));
    assert_eq!(found.selection.candidates.len(), 5);
    assert!(lines_of(dir.path(), "epoch").iter().all(|line| line["policy"].get("greedy").is_none()));
}

#[test]
fn finalists_say_which_strategy_proposed_them() {
    let finals =
        ["finals.steps=2", "finals.policy=2", "finals.wide=1", "finals.random=2", "finals.mutants=1"];
    for (strategy, origin) in [
        ("evolution", CandidateOrigin::Evolution),
        ("uniform", CandidateOrigin::Policy),
        ("reinforce", CandidateOrigin::Policy),
    ] {
        let strategy = format!("strategy.kind={strategy}");
        let config = config(
            &[&finals[..], &["warmup.updates=1", "run.epochs=4", "warmup.fair=0.3", &strategy]].concat(),
        );
        let dir = tempfile::tempdir().unwrap();
        let (found, _) = search(&config, dir.path(), NEVER);
        let finalists = found.finals.unwrap().finalists;
        assert_eq!(finalists.iter().filter(|f| f.origin == origin).count(), 2, "{strategy}");
    }
}

#[test]
fn a_population_of_one_operation_starts_anew() {
    // One of five operations has always a fifth of the choices.
    let config = evolution(&["warmup.collapse=0.2", "run.epochs=3"]);
    let (_, dir) = same(&config, 6);
    let collapses = lines_of(dir.path(), "collapse");
    assert!(!collapses.is_empty());
    assert!(collapses[0]["what"].as_str().unwrap().contains("the population's choices"), "{collapses:?}");
}

#[test]
fn a_run_goes_on_with_no_other_strategy() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(&[]);
    let data = digits(&config.data, config.run.seed());
    drop(Run::for_search(Some(dir.path()), &config, &data).unwrap());
    let run = Run::resume(dir.path()).unwrap();
    let error = run.accepts(&evolution(&[])).unwrap_err();
    assert!(matches!(error, Error::SettingsChanged { .. }) && error.is_usage());
    assert!(
        error.to_string().contains("strategy.kind: \"reinforce\" in the run, \"evolution\" asked for"),
        "{error}"
    );
}
