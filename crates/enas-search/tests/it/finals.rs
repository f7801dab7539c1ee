//! Whole searches with warm-up and finals, tiny ones.

use std::fs;

use enas_search::{CandidateOrigin, Error, Pick, Run, SearchConfig};
use enas_testing::runs::{digits, metrics, search, search_config};

fn config(assignments: &[&str]) -> SearchConfig {
    let finals = [
        "finals.steps=3",
        "finals.policy=2",
        "finals.wide=4",
        "finals.random=4",
        "finals.mutants=3",
        "finals.controls=2",
        "reward.metric=loss",
        "reward.same_images=true",
    ];
    let all: Vec<&str> = finals.iter().chain(assignments).copied().collect();
    search_config(&all)
}

#[test]
fn interruptions_change_nothing_and_the_result_is_consistent() {
    let config = config(&["warmup.fair=0.3"]);
    let calm = tempfile::tempdir().unwrap();
    let hasty = tempfile::tempdir().unwrap();
    let (expected, _) = search(&config, calm.path(), u64::MAX);
    let (got, interruptions) = search(&config, hasty.path(), 40);
    assert!(interruptions > 2, "{interruptions}");
    let finalists = |dir: &std::path::Path| -> Vec<serde_json::Value> {
        metrics(dir).into_iter().filter(|line| line["kind"] == "finalist").collect()
    };
    assert_eq!(finalists(hasty.path()), finalists(calm.path()));
    assert_eq!((got.arc, got.valid_accuracy), (expected.arc.clone(), expected.valid_accuracy));

    let finals = expected.finals.unwrap();
    assert!(finals.finalists[0].latency_ms.is_some_and(|ms| ms > 0.0));
    assert_eq!(finals.finalists.len(), 13);
    let of = |origin: CandidateOrigin| finals.finalists.iter().filter(|f| f.origin == origin).count();
    assert_eq!(
        [CandidateOrigin::Policy, CandidateOrigin::Wide, CandidateOrigin::Random, CandidateOrigin::Mutant]
            .map(of),
        [2, 4, 4, 3]
    );
    assert_eq!(finals.images.iter().sum::<usize>(), digits(&config.data, config.run.seed()).valid.len());
    assert_eq!(finals.picks.of(Pick::Balanced), &expected.arc);
    let found = finals.balanced();
    assert_eq!((found.steps, found.valid_report), (30, expected.valid_accuracy));
    let gain = finals.gain.unwrap();
    let control = finals.control.as_ref().unwrap();
    assert!((gain.points - 100.0 * (found.valid_report - control.mean)).abs() < 1e-9);
    assert!(gain.low <= gain.points && gain.points <= gain.high, "{gain:?}");
    assert!(control.arcs >= 1 && control.best >= control.mean);
    let run = Run::resume(calm.path()).unwrap().reader();
    assert_eq!(run.pick(Pick::Small).unwrap(), finals.picks.small);
}

#[test]
fn no_reward_is_given_before_the_warm_up_is_over() {
    // 22 steps in all; a row is hit by one step in 15.
    let config = config(&["warmup.updates=1"]);
    let dir = tempfile::tempdir().unwrap();
    let (found, _) = search(&config, dir.path(), u64::MAX);
    let epochs: Vec<u64> = metrics(dir.path())
        .iter()
        .filter(|line| line["kind"] == "controller")
        .map(|line| line["epoch"].as_u64().unwrap())
        .collect();
    assert!(
        found.finals.unwrap().finalists.iter().all(|f| f.origin != CandidateOrigin::Policy || f.steps > 0)
    );
    assert!(epochs.is_empty(), "22 steps are fewer than two warm-ups: {epochs:?}");

    let config = config_of_four_epochs();
    let dir = tempfile::tempdir().unwrap();
    search(&config, dir.path(), u64::MAX);
    let epochs: Vec<u64> = metrics(dir.path())
        .iter()
        .filter(|line| line["kind"] == "controller")
        .map(|line| line["epoch"].as_u64().unwrap())
        .collect();
    assert_eq!(epochs, [2, 2, 3, 3, 4, 4], "the first 15 of 44 steps are the warm-up");
}

fn config_of_four_epochs() -> SearchConfig {
    config(&["warmup.updates=1", "run.epochs=4"])
}

#[test]
fn without_steps_for_shared_weights_the_finals_choose_among_the_others() {
    let config = config(&["warmup.updates=100"]);
    let dir = tempfile::tempdir().unwrap();
    let (found, _) = search(&config, dir.path(), u64::MAX);
    assert_eq!((found.epochs, found.selection.candidates.len()), (0, 0));
    let finals = found.finals.unwrap();
    assert!(finals.finalists.iter().all(|finalist| finalist.origin != CandidateOrigin::Policy));
    assert_eq!(finals.finalists.len(), 11);
}

#[test]
fn every_proposal_keeps_to_the_limits() {
    let free = config(&[]);
    let dir = tempfile::tempdir().unwrap();
    let (found, _) = search(&free, dir.path(), u64::MAX);
    let usual = found.finals.unwrap().usual_macs;
    let limited = config(&[&format!("limits.macs={usual}"), "limits.params=4000"]);
    let dir = tempfile::tempdir().unwrap();
    let (found, _) = search(&limited, dir.path(), u64::MAX);
    let finals = found.finals.unwrap();
    assert!(finals.finalists.iter().all(|f| f.macs <= usual && f.params <= 4000), "{finals:?}");
    assert!(finals.finalists.len() >= 4);
}

#[test]
fn limits_that_nothing_keeps_to_are_refused_with_what_there_is() {
    let config = config(&["limits.params=1", "warmup.updates=100"]);
    let dir = tempfile::tempdir().unwrap();
    let data = digits(&config.data, config.run.seed());
    let mut run = Run::for_search(Some(&dir.path().join("run")), &config, &data).unwrap();
    let error = enas_search::search(&config, &data, &mut run, &mut ()).unwrap_err();
    assert!(
        matches!(error, Error::Mismatch(_)) && error.to_string().contains("the smallest seen has"),
        "{error}"
    );
}

#[test]
fn without_finals_only_the_balanced_pick_is_there() {
    let config = search_config(&[]);
    let dir = tempfile::tempdir().unwrap();
    let (found, _) = search(&config, dir.path(), u64::MAX);
    let run = Run::resume(dir.path()).unwrap().reader();
    assert_eq!(run.pick(Pick::Balanced).unwrap(), found.arc);
    let error = run.pick(Pick::Small).unwrap_err().to_string();
    assert!(error.contains("leave --pick out"), "{error}");
    assert!(fs::read_to_string(dir.path().join("best.arc.json")).unwrap().contains("random_valid_accuracy"));
}

#[test]
fn a_short_time_makes_the_rounds_shorter_and_is_kept() {
    let config = config(&["run.time=4s", "finals.steps=100000", "warmup.updates=100"]);
    let dir = tempfile::tempdir().unwrap();
    let (found, _) = search(&config, dir.path(), u64::MAX);
    let finals = found.finals.unwrap();
    assert!(finals.first_round.steps < 100_000, "{}", finals.first_round.steps);
    // A loose bound: the machine may be busy. What matters is that the rounds did not run in full.
    assert!(found.seconds < 60.0, "{}", found.seconds);
}
