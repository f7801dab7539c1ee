//! Output on stderr while a command works: notes, progress bars and status lines.
//!
//! A terminal shows bars and a spinner. Otherwise a status line is written after a few seconds without output, so
//! that users see that the program works. `--quiet` disables all of it.

use std::io::{self, IsTerminal, Write};
use std::sync::{Arc as SyncArc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output::duration;
use crate::terminal::stderr_width;

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

/// The current work, for status lines.
#[derive(Debug)]
struct Work {
    line: Option<Line>,
    last_written: Instant,
}

#[derive(Debug)]
struct Line {
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
        let work = SyncArc::new(Mutex::new(Work { line: None, last_written: Instant::now() }));
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

    /// Writes one line unless `--quiet`.
    pub(crate) fn note(&self, line: &str) {
        if !self.quiet {
            lock(&self.work).last_written = Instant::now();
            // A closed stderr must not stop the work.
            let _ = self.above_bars(|| writeln!(io::stderr(), "{line}"));
        }
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
            .progress_chars("=> ");
        self.bars.add(ProgressBar::new(total).with_style(style).with_prefix(label.to_owned()))
    }

    /// Shows `what` as the current work until the returned value is dropped.
    pub(crate) fn activity(&self, what: &str) -> Activity {
        self.set_line(Some(Line { text: what.to_owned(), began: Some(Instant::now()) }));
        let style = ProgressStyle::with_template("{spinner} {msg} {elapsed}").expect("well formed");
        let spinner =
            self.bars.add(ProgressBar::new_spinner().with_style(style).with_message(what.to_owned()));
        spinner.enable_steady_tick(LOOK_EVERY);
        Activity { console: self.clone(), spinner }
    }

    /// Sets the status line, which is written after a few seconds without output. Used only if bars are disabled.
    pub(crate) fn set_status(&self, text: String) {
        self.set_line(Some(Line { text, began: None }));
    }

    /// Removes the status line of [`Self::set_status`].
    pub(crate) fn clear_status(&self) {
        self.set_line(None);
    }

    fn set_line(&self, line: Option<Line>) {
        lock(&self.work).line = line;
    }
}

/// Work that is shown as long as this value lives.
pub(crate) struct Activity {
    console: Console,
    spinner: ProgressBar,
}

impl Drop for Activity {
    fn drop(&mut self) {
        self.spinner.finish_and_clear();
        self.console.clear_status();
    }
}

fn break_silence(work: &Weak<Mutex<Work>>) {
    while let Some(work) = work.upgrade() {
        let mut held = lock(&work);
        if held.last_written.elapsed() >= SILENCE
            && let Some(line) = &held.line
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
        assert_eq!(lock(&console.work).line.as_ref().unwrap().to_string(), "reading the images … 1.0 s");
        drop(activity);
        assert!(lock(&console.work).line.is_none());
        console.set_status("epoch 1/2".into());
        assert_eq!(lock(&console.work).line.as_ref().unwrap().to_string(), "epoch 1/2");
    }
}
