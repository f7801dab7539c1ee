//! Whole searches, tiny ones, on real images.

use enas_data::Dataset;
use enas_search::{Origin, Run, SearchConfig, read_arc};
use enas_testing::runs::{digits, metrics, newest_weights, search, search_config};

const NEVER: u64 = u64::MAX;

#[test]
fn a_search_ends_with_a_ranked_arc_and_a_complete_run_directory() {
    let dir = tempfile::tempdir().unwrap();
    let config = search_config(&["run.epochs=8", "run.batch_size=64"]);
    let (found, _) = search(&config, dir.path(), NEVER);

    assert_eq!((found.epochs, found.selection.candidates.len(), found.selection.random.len()), (8, 6, 5));
    assert!(found.selection.candidates.is_sorted_by(|a, b| a.valid_accuracy >= b.valid_accuracy));
    assert!(found.selection.candidates.iter().any(|c| c.origin == Origin::Greedy));
    assert_eq!(found.arc, found.selection.candidates[0].arc);
    assert!(found.random_valid_accuracy.is_some() && found.params > 0 && found.macs > 0);

    assert_eq!(read_arc(&dir.path().join("best.arc.json")).unwrap(), found.arc);
    let run = Run::resume(dir.path()).unwrap();
    assert_eq!(run.config::<SearchConfig>().unwrap(), config);
    assert_eq!(run.best_arc().unwrap(), found.arc);
    let lines = metrics(dir.path());
    let count = |kind: &str| lines.iter().filter(|l| l["kind"] == kind).count();
    assert_eq!(["step", "controller", "epoch", "candidate", "result"].map(count), [176, 16, 8, 11, 1]);
    let losses: Vec<f64> =
        lines.iter().filter(|l| l["kind"] == "epoch").map(|l| l["loss"].as_f64().unwrap()).collect();
    assert!(losses[7] < losses[0] - 0.1, "the shared weights learn nothing: {losses:?}");
    let policy = &lines.iter().find(|l| l["kind"] == "epoch").unwrap()["policy"];
    let shares = policy["op_frequencies"][0].as_array().unwrap().iter().map(|x| x.as_f64().unwrap());
    assert!((shares.sum::<f64>() - 1.0).abs() < 1e-9);
    // The last is always written; how many before it depends on what they cost.
    assert!((1..=2).contains(&std::fs::read_dir(dir.path().join("checkpoints")).unwrap().count()));
}

#[test]
fn the_number_of_threads_changes_no_byte() {
    let run = |threads: usize| {
        let dir = tempfile::tempdir().unwrap();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let (found, _) = pool.install(|| search(&search_config(&[]), dir.path(), NEVER));
        let best = std::fs::read(dir.path().join("best.arc.json")).unwrap();
        (found.selection, best, newest_weights(dir.path()), metrics(dir.path()))
    };
    let one = run(1);
    let two = run(2);
    assert_eq!(one.0, two.0);
    assert!(one.1 == two.1, "best.arc.json differs");
    assert!(one.2 == two.2, "weights differ");
    assert_eq!(one.3, two.3);
}

#[test]
fn the_policy_is_trained_after_every_nth_epoch() {
    let dir = tempfile::tempdir().unwrap();
    search(&search_config(&["run.epochs=5", "controller.train_every=2"]), dir.path(), NEVER);
    let lines = metrics(dir.path());
    let of_policy = lines.iter().filter(|line| line["kind"] == "controller");
    let epochs: Vec<u64> = of_policy.map(|line| line["epoch"].as_u64().unwrap()).collect();
    assert_eq!(epochs, [2, 2, 4, 4]);
}

#[test]
fn a_search_never_looks_at_the_test_images() {
    let config = search_config(&[]);
    let data = digits(&config.data, config.run.seed());
    let mut others = data.clone();
    others.test = data.valid.clone();
    let found = |data: &Dataset| {
        let dir = tempfile::tempdir().unwrap();
        let mut run = Run::for_search(Some(dir.path()), &config, data).unwrap();
        let outcome = enas_search::search(&config, data, &mut run, &mut ()).unwrap();
        drop(run);
        (outcome.arc, newest_weights(dir.path()), metrics(dir.path()))
    };
    assert!(found(&data) == found(&others), "the result depends on the test images");
}

#[test]
fn interruptions_change_nothing() {
    let config = search_config(&["run.epochs=1", "reward.dropout=true"]);
    let calm = tempfile::tempdir().unwrap();
    let hasty = tempfile::tempdir().unwrap();
    let (expected, none) = search(&config, calm.path(), NEVER);
    // 11 child steps, 2 controller steps and 11 candidates, in pieces of 3.
    let (got, interruptions) = search(&config, hasty.path(), 3);
    assert_eq!((none, interruptions), (0, 8));
    assert_eq!(got.selection, expected.selection);
    assert_eq!(metrics(hasty.path()), metrics(calm.path()));
    assert!(newest_weights(hasty.path()) == newest_weights(calm.path()), "weights differ");
}

#[test]
fn another_seed_is_another_search() {
    let run = |seed: &str| {
        let dir = tempfile::tempdir().unwrap();
        search(&search_config(&["run.epochs=1", seed]), dir.path(), NEVER).0.selection
    };
    assert_ne!(run("run.seed=1"), run("run.seed=2"));
}

#[test]
fn a_time_limit_ends_a_search_with_an_arc() {
    let dir = tempfile::tempdir().unwrap();
    let config = search_config(&["run.epochs=1000000", "run.time=2s"]);
    let began = std::time::Instant::now();
    let (found, _) = search(&config, dir.path(), NEVER);
    assert!(began.elapsed().as_secs() < 20, "{:?}", began.elapsed());
    assert!((1..1_000_000).contains(&found.epochs), "{}", found.epochs);
}

#[test]
fn a_run_directory_is_never_written_over() {
    let dir = tempfile::tempdir().unwrap();
    let config = search_config(&[]);
    let data = enas_testing::runs::digits(&config.data, config.run.seed());
    Run::for_search(Some(dir.path()), &config, &data).unwrap();
    let error = Run::for_search(Some(dir.path()), &config, &data).unwrap_err();
    assert!(error.is_usage() && error.to_string().contains("--resume"), "{error}");

    let other = tempfile::tempdir().unwrap();
    std::fs::write(other.path().join("thesis.txt"), "precious").unwrap();
    let error = Run::for_search(Some(other.path()), &config, &data).unwrap_err();
    assert!(error.to_string().contains("not empty"), "{error}");
    let error = Run::resume(other.path()).unwrap_err();
    assert!(error.is_usage() && error.to_string().contains("not a run directory"), "{error}");
}

#[test]
fn other_images_than_at_the_start_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let config = search_config(&[]);
    let mut data = enas_testing::runs::digits(&config.data, config.run.seed());
    let mut run = Run::for_search(Some(dir.path()), &config, &data).unwrap();
    data.fingerprint.files += 1;
    let error = enas_search::search(&config, &data, &mut run, &mut ()).unwrap_err();
    assert!(error.to_string().contains("are not those the run was started with"), "{error}");
}

#[test]
fn macro_f1_rewards_and_chooses_where_it_is_asked_for() {
    let calm = tempfile::tempdir().unwrap();
    let hasty = tempfile::tempdir().unwrap();
    let asked =
        ["run.epochs=1", "reward.metric=macro-f1", "select.metric=macro-f1", "run.class_weights=balanced"];
    let config = search_config(&asked);
    let (found, _) = search(&config, calm.path(), u64::MAX);
    let scores: Vec<f64> =
        found.selection.candidates.iter().map(|c| c.valid_macro_f1.expect("it was measured")).collect();
    assert!(scores.windows(2).all(|pair| pair[0] >= pair[1]), "{scores:?}");
    assert_eq!(found.valid_macro_f1, Some(scores[0]));

    let (again, _) = search(&config, hasty.path(), 9);
    assert_eq!(again.selection, found.selection, "interruptions change nothing");
    assert_eq!(metrics(hasty.path()), metrics(calm.path()));
}
