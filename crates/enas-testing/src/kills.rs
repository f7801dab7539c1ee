//! SIGKILL at chosen moments, and a count of it.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use enas_rng::{Seed, Stream};

/// Longer than any process here should take.
const PATIENCE: Duration = Duration::from_secs(120);

/// How a process ended that was to be killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By SIGKILL, in the middle of its work.
    Killed,
    /// By itself, with success: the kill came too late.
    Finished,
}

/// Starts `command` and kills it after `delay`.
pub fn after(command: &mut Command, delay: Duration) -> End {
    let child = start(command);
    thread::sleep(delay);
    kill(child)
}

/// Starts `command` and kills it in the moment in which `now` holds. It is asked without pause.
pub fn when(command: &mut Command, mut now: impl FnMut() -> bool) -> End {
    let mut child = start(command);
    let began = Instant::now();
    while !now() {
        if child.try_wait().unwrap().is_some() {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "{command:?} neither ended nor came to the moment of its kill");
    }
    kill(child)
}

fn start(command: &mut Command) -> Child {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"))
}

/// Kills a process; one that had failed before is a failed test.
fn kill(mut child: Child) -> End {
    // On a process that has ended already and was not waited for this does nothing.
    let _ = child.kill();
    let output = child.wait_with_output().unwrap();
    match output.status.signal() {
        Some(9) => End::Killed,
        None if output.status.success() => End::Finished,
        _ => panic!("before its kill: {}: {}", output.status, String::from_utf8_lossy(&output.stderr)),
    }
}

/// The seed of all random moments: `ENAS_FAULTS_SEED`, or 1.
pub fn seed() -> Seed {
    let text = std::env::var("ENAS_FAULTS_SEED").unwrap_or_else(|_| "1".into());
    Seed::new(text.parse().unwrap_or_else(|e| panic!("ENAS_FAULTS_SEED={text:?}: {e}")))
}

/// Random numbers of one story.
pub fn chance(story: &str) -> Stream {
    seed().stream(story, &[])
}

/// `n` random moments as shares of a whole: one in each nth part of it, so that all of it is covered.
pub fn moments(story: &str, n: usize) -> Vec<f64> {
    let mut chance = chance(story);
    (0..n).map(|i| (i as f64 + f64::from(chance.uniform())) / n as f64).collect()
}

/// Whether anything in `folder` is called `*.part`, as files are while they are written.
pub fn is_being_written(folder: &Path) -> bool {
    parts(folder).next().is_some()
}

/// Names in `folder` that end with `.part`.
pub fn parts(folder: &Path) -> impl Iterator<Item = String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    names.filter(|name| name.ends_with(".part"))
}

/// What all stories of this process have done.
static KILLS: AtomicUsize = AtomicUsize::new(0);
static BYTES: AtomicU64 = AtomicU64::new(0);

/// What a story did, in numbers. Printed at its end even where the output of tests is not shown.
#[derive(Debug)]
pub struct KillCounts {
    story: &'static str,
    /// Kills that hit a working process.
    pub kills: usize,
    /// Signals that asked a working process to stop.
    pub stops: usize,
    /// Kills and signals that came after the end, or before the beginning.
    pub late: usize,
    /// Bytes that were compared with those of an undisturbed run.
    pub bytes: u64,
    began: Instant,
}

impl KillCounts {
    /// Nothing yet.
    pub fn new(story: &'static str) -> Self {
        Self { story, kills: 0, stops: 0, late: 0, bytes: 0, began: Instant::now() }
    }

    /// Notes how a process ended; whether the kill hit it.
    pub fn hit(&mut self, end: End) -> bool {
        match end {
            End::Killed => self.kills += 1,
            End::Finished => self.late += 1,
        }
        end == End::Killed
    }

    /// What must be said when something after a kill is wrong.
    pub fn case(&self, moment: &str) -> String {
        let Self { story, kills, stops, .. } = self;
        format!("{story}: number {}, {moment} (ENAS_FAULTS_SEED={})", kills + stops, seed().value())
    }
}

impl Drop for KillCounts {
    fn drop(&mut self) {
        let Self { story, kills, stops, late, bytes, began } = self;
        let mut line = format!("faults: {story}:");
        for (n, what) in [(*kills, "kills"), (*stops, "signals"), (*late, "that missed")] {
            if n > 0 {
                let _ = write!(line, " {n} {what},");
            }
        }
        let _ = write!(line, " {bytes} bytes equal, {:.1} s", began.elapsed().as_secs_f64());
        let all = KILLS.fetch_add(*kills, Relaxed) + *kills;
        let _ = write!(line, "; so far {all} kills, {} bytes", BYTES.fetch_add(*bytes, Relaxed) + *bytes);
        // Not by a macro, whose output the harness would keep to itself.
        let _ = writeln!(io::stderr(), "{line}");
    }
}
