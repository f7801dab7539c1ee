//! Readers that go away: `enas … | head -1` is no error, and what a run has to write is written.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use enas_testing::kills::KillCounts;
use enas_testing::program::text;

use crate::job::{Job, RUN, Whole, enas, temp};
use crate::results::Results;

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let folder = temp();
    let commands: [&[&str]; 4] =
        [&["arc", "random", "--n", "20000"], &["config", "show"], &["--help"], &["completions", "bash"]];
    for arguments in commands {
        head(enas(folder.path()).args(arguments));
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_help_text_that_cannot_be_written_is_an_error() {
    let folder = temp();
    for arguments in [&["--help"][..], &["--version"], &["train", "--help"]] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = enas(folder.path()).args(arguments).stdout(full).output().unwrap();
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {stderr}");
        assert!(stderr.contains("cannot write to stdout"), "{arguments:?}: {stderr}");
    }
}

#[test]
fn a_search_whose_result_nobody_reads_to_its_end_is_complete() {
    let job = Job::search();
    let whole = Whole::of(&job);
    let mut tally = KillCounts::new("a search read by head -1");
    let folder = temp();
    head(&mut job.start(folder.path()));
    let reached = Results::of(&folder.path().join(RUN));
    tally.bytes += whole.results.assert_same(&reached, "read by head -1");
}

#[test]
fn a_search_whose_messages_nobody_reads_is_complete() {
    let job = Job::search();
    let whole = Whole::of(&job);
    let mut tally = KillCounts::new("a search whose messages nobody reads");
    let folder = temp();
    let mut command = job.start(folder.path());
    let mut child = command.arg("-vv").stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stderr.take());
    let status = child.wait().unwrap();
    assert!(status.success(), "{status}");
    let reached = Results::of(&folder.path().join(RUN));
    tally.bytes += whole.results.assert_same(&reached, "stderr closed");
}

/// Reads one line of what a command prints, and closes the pipe. It must end with success and say nothing about it.
fn head(command: &mut Command) {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let output = child.wait_with_output().unwrap();
    let stderr = text(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}: {stderr}", output.status);
    assert!(!line.is_empty(), "{command:?} printed nothing");
    assert!(!stderr.contains("panicked") && !stderr.contains("error"), "{command:?}: {stderr}");
}
