//! The number of threads is not in the bytes: every file of a run is the same for 1, 2, 3 and 8, on each instruction
//! set by itself.

use std::io::{self, Write};

use enas_testing::kills::KillCounts;

use crate::job::{Job, RUN, succeed, temp};
use crate::results::Results;

/// Instruction sets by the names that `ENAS_SIMD` knows.
const LEVELS: [&str; 3] = ["portable", "avx2", "avx512"];

/// One epoch of a network that has every part that one can have.
const SETTINGS: [&str; 8] = [
    "--set",
    "run.epochs=1",
    "--set",
    "run.checkpoint_seconds=300",
    "--set",
    "child.aux_head=trained",
    "--set",
    "child.drop_path_keep=0.9",
];

#[test]
fn searches_are_the_same_for_any_number_of_threads() {
    same("searches on 1, 2, 3 and 8 threads", &Job::search().with(&SETTINGS));
}

#[test]
fn trainings_are_the_same_for_any_number_of_threads() {
    same("trainings on 1, 2, 3 and 8 threads", &Job::train().with(&SETTINGS));
}

fn same(story: &'static str, job: &Job) {
    let mut tally = KillCounts::new(story);
    let mut of_levels: Vec<Results> = Vec::new();
    for level in LEVELS {
        if !is_there(level) {
            let _ = writeln!(io::stderr(), "skipped: {story}: this processor has no {level}");
            continue;
        }
        let with = |threads: &str| run(job, level, threads);
        let one = with("1");
        for threads in ["2", "3", "8"] {
            tally.bytes += one.assert_same(&with(threads), &format!("{story}: {level}, {threads} threads"));
        }
        of_levels.push(one);
    }
    // Instruction sets round differently. Were they all alike, then `ENAS_SIMD` would have chosen none.
    let weights = |of: &Results| of.get("checkpoints").to_owned();
    for (i, one) in of_levels.iter().enumerate() {
        for other in &of_levels[..i] {
            assert!(weights(one) != weights(other), "{story}: two instruction sets gave the same bytes");
        }
    }
}

fn run(job: &Job, level: &str, threads: &str) -> Results {
    let folder = temp();
    let mut command = job.start(folder.path());
    command.args(["--threads", threads]).env("ENAS_SIMD", level);
    succeed(&mut command, &format!("{level}, {threads} threads"));
    Results::of(&folder.path().join(RUN))
}

#[cfg(target_arch = "x86_64")]
fn is_there(level: &str) -> bool {
    match level {
        "avx512" => is_x86_feature_detected!("avx512f"),
        "avx2" => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
        _ => true,
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn is_there(level: &str) -> bool {
    level == "portable"
}
