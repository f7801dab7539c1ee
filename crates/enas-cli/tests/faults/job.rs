//! Small runs: how to start and resume them, and their results without interruption.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use enas_testing::kills::KillCounts;
use enas_testing::program::{TINY, TINY_ARC, TINY_SEARCH, text};
use tempfile::TempDir;

use crate::results::Results;
/// The folder of every run, in a temporary folder of its own.
pub(crate) const RUN: &str = "run";

/// A kind of run, small enough to be repeated many times.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    /// `search`, `train` or `auto`.
    pub(crate) verb: &'static str,
    args: Vec<String>,
}

impl Job {
    /// A search of the digits that saves after every step.
    pub(crate) fn search() -> Self {
        Self::new("search", &[&["--set", "run.epochs=2"], &TINY_SEARCH[..]].concat())
    }

    /// A training on the digits that saves after every step.
    pub(crate) fn train() -> Self {
        Self::new("train", &["--arc", TINY_ARC, "--set", "run.epochs=3"])
    }

    /// An automatic run on the digits whose parts save after every step.
    pub(crate) fn auto() -> Self {
        Self::new("auto", &[&["--set", "run.epochs=2"], &TINY_SEARCH[..]].concat())
    }

    fn new(verb: &'static str, own: &[&str]) -> Self {
        let saving = ["--set", "run.checkpoint_seconds=0", "--set", "run.log_every=1"];
        let args = [own, &TINY[..], &saving[..]].concat().into_iter().map(str::to_owned).collect();
        Self { verb, args }
    }

    /// The same with further arguments; later settings win.
    pub(crate) fn with(mut self, args: &[&str]) -> Self {
        self.args.extend(args.iter().map(|&arg| arg.to_owned()));
        self
    }

    /// The command that begins the run in `folder`.
    pub(crate) fn start(&self, folder: &Path) -> Command {
        let mut command = enas(folder);
        command.arg(self.verb).args(["--out", RUN]).args(&self.args);
        command
    }

    /// The command that resumes the run in `folder`, or starts it if there is none yet.
    pub(crate) fn go_on(&self, folder: &Path) -> Command {
        let run = folder.join(RUN);
        if !run.join(if self.verb == "auto" { "auto.json" } else { "manifest.json" }).exists() {
            return self.start(folder);
        }
        let mut command = enas(folder);
        command.args([self.verb, "--resume", RUN]);
        command
    }

    /// Goes on to the end; `case` is said if that fails.
    pub(crate) fn finish(&self, folder: &Path, case: &str) -> Results {
        succeed(&mut self.go_on(folder), case);
        Results::of(&folder.join(RUN))
    }
}

/// The program in a folder. One thread: several stories run at once.
pub(crate) fn enas(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_enas"));
    command.current_dir(folder).env_remove("RUST_LOG").env("RAYON_NUM_THREADS", "1");
    command
}

/// Runs a command, which must succeed, and gives its stdout.
pub(crate) fn succeed(command: &mut Command, case: &str) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{case}: {command:?}: {}: {}", output.status, text(&output.stderr));
    text(&output.stdout)
}

/// Runs a command, which must fail with `code`, as [`refused`].
pub(crate) fn fail(command: &mut Command, code: i32, fragments: &[&str]) {
    assert_eq!(refused(command, fragments), code, "{command:?}");
}

/// Runs a command, which must fail with one error that contains all `fragments`, and no panic. Returns its exit code.
pub(crate) fn refused(command: &mut Command, fragments: &[&str]) -> i32 {
    let output = command.output().unwrap();
    let stderr = text(&output.stderr);
    assert!(!output.status.success(), "{command:?} succeeded: {stderr}");
    assert_eq!(stderr.matches("error: ").count(), 1, "{command:?}: {stderr}");
    assert!(!stderr.contains("panicked") && !stderr.contains("backtrace"), "{command:?}: {stderr}");
    for fragment in fragments {
        assert!(stderr.contains(fragment), "{command:?}: no {fragment:?} in: {stderr}");
    }
    output.status.code().unwrap_or_else(|| panic!("{command:?}: {}: {stderr}", output.status))
}

/// Whether the run in `folder` has saved anything.
pub(crate) fn has_a_checkpoint(folder: &Path) -> bool {
    let names = std::fs::read_dir(folder.join(RUN).join("checkpoints")).into_iter().flatten();
    names.filter_map(Result::ok).any(|entry| entry.path().extension().is_some_and(|e| e == "safetensors"))
}

/// A temporary folder on a real disk, where writing takes its time.
pub(crate) fn temp() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// A run without interruption.
pub(crate) struct Whole {
    folder: TempDir,
    /// How long it took.
    pub(crate) time: Duration,
    /// What it came to.
    pub(crate) results: Results,
}

impl Whole {
    /// Runs `job` from beginning to end.
    pub(crate) fn of(job: &Job) -> Self {
        let folder = temp();
        let began = Instant::now();
        let results = job.finish(folder.path(), "undisturbed");
        Self { folder, time: began.elapsed(), results }
    }

    /// The folder of the run.
    pub(crate) fn run(&self) -> PathBuf {
        self.folder.path().join(RUN)
    }

    /// How many checkpoints it wrote: they are numbered.
    pub(crate) fn checkpoints(&self) -> usize {
        let names = std::fs::read_dir(self.run().join("checkpoints")).unwrap();
        // Some names go on behind the number.
        let number = |name: String| name.split(['.', '-']).next()?.parse().ok();
        names.filter_map(|entry| number(entry.unwrap().file_name().into_string().unwrap())).max().unwrap()
    }

    /// Goes on with a disturbed run to its end, which must come to the same; counts the bytes.
    pub(crate) fn assert_reached(&self, job: &Job, folder: &Path, case: &str, tally: &mut KillCounts) {
        tally.bytes += self.results.assert_same(&job.finish(folder, case), case);
    }
}
