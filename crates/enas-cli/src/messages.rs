//! Output on stderr while a command works: notes, progress bars and status lines.
//!
//! A terminal shows bars and a spinner. Otherwise a status line is written after a few seconds without output, so
//! that users see that the program works. `--quiet` disables all of it.

use std::collections::HashSet;
use std::io::{self, IsTerminal, Write};
use std::sync::{Arc as SyncArc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output::duration;
use crate::terminal::{is_utf8, stderr_width, wrapped};

/// Minimum number of columns for a long bar.
const WIDE: usize = 100;
/// Maximum time without output if there are no bars.
const SILENCE: Duration = Duration::from_secs(4);
/// Time between two checks of that time.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// The user's terminal, or its replacement if stderr is redirected.
#[derive(Clone, Debug)]
pub(crate) struct Console {
    bars: MultiProgress,
    terminal: bool,
    quiet: bool,
    work: SyncArc<Mutex<Work>>,
}

/// The current work, for status lines, and the messages that wait for the first line of a command.
#[derive(Debug)]
struct Work {
    /// What is in progress; the line that was set last is written.
    lines: Vec<Line>,
    /// The number of activities so far.
    activities: u64,
    last_written: Instant,
    /// Messages since [`Console::hold`]; `None` if messages are written at once.
    held: Option<Vec<String>>,
    /// Warnings that were written: a command repeats none.
    warned: HashSet<String>,
}

/// Who set a line.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Key {
    Activity(u64),
    /// The run of this name; the name is empty if there is only one run.
    Status(String),
}

#[derive(Debug)]
struct Line {
    key: Key,
    text: String,
    /// The start of the work, if the line states its duration.
    began: Option<Instant>,
}

impl Console {
    /// Creates a console. Whether stderr is a terminal is determined once.
    pub(crate) fn new(quiet: bool) -> Self {
        let terminal = io::stderr().is_terminal();
        let target =
            if terminal && !quiet { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bars = MultiProgress::with_draw_target(target);
        let work = SyncArc::new(Mutex::new(Work {
            lines: Vec::new(),
            activities: 0,
            last_written: Instant::now(),
            held: None,
            warned: HashSet::new(),
        }));
        if !terminal && !quiet {
            let work = SyncArc::downgrade(&work);
            // If the thread cannot be started, only the status lines are missing.
            let _ = thread::Builder::new().name("console".into()).spawn(move || break_silence(&work));
        }
        Self { bars, terminal, quiet, work }
    }

    /// Whether stderr is a terminal.
    pub(crate) fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Whether output is disabled.
    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Writes one line unless `--quiet`. It is wrapped at the terminal's width.
    pub(crate) fn note(&self, line: &str) {
        if self.quiet {
            return;
        }
        if let Some(held) = &mut lock(&self.work).held {
            held.push(line.to_owned());
            return;
        }
        self.write(line);
    }

    /// [`Self::note`], also while lines are held back.
    pub(crate) fn note_at_once(&self, line: &str) {
        if !self.quiet {
            self.write(line);
        }
    }

    /// Writes a line of the log. Each warning is written once per command.
    pub(crate) fn log(&self, line: &str) {
        let line = line.trim_end_matches('\n');
        {
            let mut work = lock(&self.work);
            if line.contains("WARN") && !work.warned.insert(line.to_owned()) {
                return;
            }
            if let Some(held) = &mut work.held {
                held.push(line.to_owned());
                return;
            }
        }
        self.write(line);
    }

    fn write(&self, line: &str) {
        lock(&self.work).last_written = Instant::now();
        let text = wrapped(line, stderr_width());
        // A closed stderr must not stop the work.
        let _ = self.above_bars(|| writeln!(io::stderr(), "{text}"));
    }

    /// Holds notes and warnings back until the returned value is dropped, so that the command's first line, which needs
    /// the images, precedes them. Status lines and spinners are shown.
    pub(crate) fn hold(&self) -> Held {
        lock(&self.work).held.get_or_insert_default();
        Held { console: self.clone() }
    }

    /// Calls `write`, which may write to stderr, while no bar is drawn.
    pub(crate) fn above_bars<R>(&self, write: impl FnOnce() -> R) -> R {
        self.bars.suspend(write)
    }

    /// Adds a bar of `total` steps. It is invisible if bars are disabled.
    pub(crate) fn bar(&self, label: &str, total: u64) -> ProgressBar {
        // `wide_msg` truncates the message. A line longer than the terminal would wrap and be drawn again below
        // itself.
        let wide = stderr_width().is_none_or(|width| width >= WIDE);
        let template = if wide {
            "{prefix:10} [{bar:24.cyan}] {pos}/{len} {wide_msg}"
        } else {
            "{prefix:10} [{bar:10.cyan}] {pos}/{len} {wide_msg}"
        };
        let style = ProgressStyle::with_template(template)
            .expect("the template is well formed")
            .progress_chars(if is_utf8() { "█▉▊▋▌▍▎▏ " } else { "=> " });
        self.bars.add(ProgressBar::new(total).with_style(style).with_prefix(label.to_owned()))
    }

    /// Shows `what` as the current work until the returned value is dropped.
    pub(crate) fn activity(&self, what: &str) -> Activity {
        let key = {
            let mut work = lock(&self.work);
            work.activities += 1;
            Key::Activity(work.activities)
        };
        self.set_line(Line { key: key.clone(), text: what.to_owned(), began: Some(Instant::now()) });
        let style = ProgressStyle::with_template("{spinner} {msg} {elapsed}").expect("well formed");
        let style = if is_utf8() { style } else { style.tick_chars("|/-\\ ") };
        let spinner =
            self.bars.add(ProgressBar::new_spinner().with_style(style).with_message(what.to_owned()));
        if self.terminal && !self.quiet {
            spinner.enable_steady_tick(LOOK_EVERY);
        }
        Activity { console: self.clone(), spinner, key }
    }

    /// Sets the status line of the run `name`, which is written after a few seconds without output. Used only if bars
    /// are disabled. The name of a single run is empty.
    pub(crate) fn set_status(&self, name: &str, text: String) {
        self.set_line(Line { key: Key::Status(name.to_owned()), text, began: None });
    }

    /// Removes the status line of [`Self::set_status`].
    pub(crate) fn clear_status(&self, name: &str) {
        self.remove_line(&Key::Status(name.to_owned()));
    }

    /// The line that would be written after a few seconds without output.
    #[cfg(test)]
    pub(crate) fn shown(&self) -> Option<String> {
        lock(&self.work).lines.last().map(ToString::to_string)
    }

    /// What is held back.
    #[cfg(test)]
    pub(crate) fn held(&self) -> Vec<String> {
        lock(&self.work).held.clone().unwrap_or_default()
    }

    fn set_line(&self, line: Line) {
        let mut work = lock(&self.work);
        work.lines.retain(|other| other.key != line.key);
        work.lines.push(line);
    }

    fn remove_line(&self, key: &Key) {
        lock(&self.work).lines.retain(|line| line.key != *key);
    }
}

/// Work that is shown as long as this value lives.
pub(crate) struct Activity {
    console: Console,
    spinner: ProgressBar,
    key: Key,
}

impl Activity {
    /// Changes what is shown; the time goes on.
    pub(crate) fn say(&self, what: &str) {
        self.spinner.set_message(what.to_owned());
        let mut work = lock(&self.console.work);
        work.lines
            .iter_mut()
            .filter(|line| line.key == self.key)
            .for_each(|line| what.clone_into(&mut line.text));
    }
}

impl Drop for Activity {
    fn drop(&mut self) {
        self.spinner.finish_and_clear();
        self.console.remove_line(&self.key);
    }
}

/// Notes and warnings that wait for the first line of a command.
pub(crate) struct Held {
    console: Console,
}

impl Held {
    /// Writes the first line, and then what was held back.
    pub(crate) fn first(self, line: &str) {
        if !self.console.quiet {
            self.console.write(line);
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let held = lock(&self.console.work).held.take();
        held.into_iter().flatten().for_each(|line| self.console.write(&line));
    }
}

fn break_silence(work: &Weak<Mutex<Work>>) {
    while let Some(work) = work.upgrade() {
        let mut held = lock(&work);
        if held.last_written.elapsed() >= SILENCE
            && let Some(line) = held.lines.last()
        {
            let _ = writeln!(io::stderr(), "{line}");
            held.last_written = Instant::now();
        }
        drop(held);
        drop(work);
        thread::sleep(LOOK_EVERY);
    }
}

impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.began {
            Some(began) => write!(f, "{} … {}", self.text, duration(began.elapsed().as_secs().max(1) as f64)),
            None => f.write_str(&self.text),
        }
    }
}

/// Ignores poisoning: after a panic elsewhere the state is still valid.
fn lock(work: &Mutex<Work>) -> MutexGuard<'_, Work> {
    work.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_named_with_its_time_until_it_ends() {
        let console = Console::new(true);
        let activity = console.activity("reading the images");
        assert_eq!(console.shown().unwrap(), "reading the images … 1.0 s");
        let inner = console.activity("checking");
        inner.say("measuring");
        assert_eq!(console.shown().unwrap(), "measuring … 1.0 s");
        drop(inner);
        assert_eq!(console.shown().unwrap(), "reading the images … 1.0 s", "the outer work goes on");
        drop(activity);
        assert_eq!(console.shown(), None);
    }

    #[test]
    fn each_of_several_runs_has_its_own_status() {
        let console = Console::new(true);
        console.set_status("seed 1", "epoch 1/2".into());
        console.set_status("seed 2", "epoch 2/2".into());
        assert_eq!(console.shown().unwrap(), "epoch 2/2");
        console.clear_status("seed 2");
        assert_eq!(console.shown().unwrap(), "epoch 1/2");
        console.clear_status("seed 1");
        assert_eq!(console.shown(), None);
    }

    #[test]
    fn messages_wait_for_the_first_line() {
        let console = Console::new(false);
        let held = console.hold();
        console.note("settings");
        console.log(" WARN photos: left out 1 file\n");
        console.log(" WARN photos: left out 1 file\n");
        assert_eq!(
            console.held(),
            ["settings", " WARN photos: left out 1 file"],
            "a warning is written once"
        );
        held.first("photos: 3 images");
        assert!(lock(&console.work).held.is_none());
    }
}
