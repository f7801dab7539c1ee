//! Claims of tiny searches, repeated.

use std::path::Path;

use enas_search::{Run, RunReader, SearchConfig, search};
use enas_study::{Comparison, ReplicationCounts, SearchClaim};
use enas_testing::runs::{digits, quick, set_gain};

const COUNTS: ReplicationCounts = ReplicationCounts { seeds: 2, random: 4 };

fn config(finals: &[&str]) -> SearchConfig {
    let tiny = [
        "run.epochs=1",
        "run.batch_size=128",
        "child.filters=4",
        "child.layers=1",
        "child.nodes=1",
        "controller.steps=1",
        "select.samples=2",
        "select.random=2",
        "finals.policy=1",
        "finals.wide=1",
        "finals.random=4",
        "finals.mutants=0",
        "finals.controls=2",
        "finals.steps=2",
    ];
    quick(&[&tiny[..], finals].concat()).load().unwrap()
}

fn searched(dir: &Path, config: &SearchConfig) -> RunReader {
    let data = digits(&config.data, config.run.seed());
    let mut run = Run::for_search(Some(dir), config, &data).unwrap();
    search(config, &data, &mut run, &mut ()).unwrap();
    run.reader()
}

#[test]
fn a_claim_is_repeated_with_other_seeds_and_measured_anew() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("run");
    let config = config(&[]);
    let record = searched(&run, &config);
    set_gain(&run, -1.0);
    assert_eq!(SearchClaim::of(&record).unwrap(), None, "an interval that holds zero claims nothing");
    set_gain(&run, 40.0);
    let claim = SearchClaim::of(&record).unwrap().unwrap();
    assert_eq!((claim.steps, claim.gain.low), (20, 40.0));
    assert!(!claim.random.is_empty() && !claim.random.contains(&claim.arc), "{claim:?}");

    let data = record.load_data(&config.data, config.run.seed(), None).unwrap();
    let mut calls = Vec::new();
    let mut replicate = || {
        claim.replicate(&config, &data, None, None, COUNTS, &mut |done, total, share| {
            calls.push((done, total, share));
            true
        })
    };
    let proof = replicate().unwrap().unwrap();
    assert_eq!(proof, replicate().unwrap().unwrap());
    assert_eq!((proof.found.len(), proof.random.len(), proof.images), (2, 4, data.test.len()));
    assert_ne!(proof.found[0], proof.found[1], "seeds differ");
    assert_eq!(proof.holds, proof.comparison == Comparison::Better);
    // Forty points over random architectures is more than there can be after so little.
    assert!(proof.gain_points.mean < 40.0 && proof.gain_points.is_bounded(), "{proof:?}");
    assert_eq!(calls.last(), Some(&(5, 6, 1.0)));
    let stopped = claim.replicate(&config, &data, None, None, COUNTS, &mut |done, _, _| done < 1);
    assert_eq!(stopped.unwrap(), None);
}

#[test]
fn a_search_without_finals_claims_nothing_and_one_with_limits_keeps_to_its_own_rivals() {
    let dir = tempfile::tempdir().unwrap();
    let bare = searched(&dir.path().join("bare"), &config(&["finals.steps=0"]));
    assert_eq!(SearchClaim::of(&bare).unwrap(), None);

    let mut limited = config(&["finals.controls=1", "finals.random=1"]);
    let run = dir.path().join("limited");
    let record = searched(&run, &limited);
    set_gain(&run, 1.0);
    let claim = SearchClaim::of(&record).unwrap().unwrap();
    limited.limits.params = std::num::NonZeroU64::new(1_000_000);
    let data = record.load_data(&limited.data, limited.run.seed(), None).unwrap();
    let error = claim.replicate(&limited, &data, None, None, COUNTS, &mut |_, _, _| true).unwrap_err();
    assert!(error.to_string().contains("finals.controls"), "{error}");
}

#[test]
fn what_is_not_finished_cannot_be_proved() {
    let dir = tempfile::tempdir().unwrap();
    let config = config(&[]);
    let data = digits(&config.data, config.run.seed());
    let run = Run::for_search(Some(&dir.path().join("run")), &config, &data).unwrap();
    let error = SearchClaim::of(&run.reader()).unwrap_err();
    assert!(error.is_usage() && error.to_string().contains("--resume"), "{error}");
}
