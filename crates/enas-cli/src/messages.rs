//! What stderr shows while a command works: notes, bars and what goes on. Not results.
//!
//! On a terminal bars and a spinner move; elsewhere plain lines come whenever nothing was written for a few seconds, so
//! that nobody wonders whether the program still works. `--quiet` switches all of it off.

use std::io::{self, IsTerminal, Write};
use std::sync::{Arc as SyncArc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output::duration;
use crate::terminal::stderr_width;

/// Columns from which on there is room for a long bar.
const WIDE: usize = 100;
/// The longest silence where there are no bars.
const SILENCE: Duration = Duration::from_secs(4);
/// How often the silence is measured.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// The user's terminal, or whatever stands in for it.
#[derive(Clone, Debug)]
pub(crate) struct Console {
    bars: MultiProgress,
    terminal: bool,
    quiet: bool,
    work: SyncArc<Mutex<Work>>,
}

/// What goes on, for lines that break a silence.
#[derive(Debug)]
struct Work {
    line: Option<Line>,
    last_written: Instant,
}

#[derive(Debug)]
struct Line {
    text: String,
    /// Set where the line says how long the work has taken.
    began: Option<Instant>,
}

impl Console {
    /// Looks at stderr once.
    pub(crate) fn new(quiet: bool) -> Self {
        let terminal = io::stderr().is_terminal();
        let target =
            if terminal && !quiet { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bars = MultiProgress::with_draw_target(target);
        let work = SyncArc::new(Mutex::new(Work { line: None, last_written: Instant::now() }));
        if !terminal && !quiet {
            let work = SyncArc::downgrade(&work);
            // Without the thread lines would be missing, nothing else.
            let _ = thread::Builder::new().name("console".into()).spawn(move || break_silence(&work));
        }
        Self { bars, terminal, quiet, work }
    }

    /// Whether stderr is a terminal.
    pub(crate) fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Whether nothing is to be shown.
    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Writes one line for the user, unless `--quiet`.
    pub(crate) fn note(&self, line: &str) {
        if !self.quiet {
            lock(&self.work).last_written = Instant::now();
            // A closed stderr is no reason to stop the work.
            let _ = self.above_bars(|| writeln!(io::stderr(), "{line}"));
        }
    }

    /// Lets `write` write to stderr while no bar is drawn.
    pub(crate) fn above_bars<R>(&self, write: impl FnOnce() -> R) -> R {
        self.bars.suspend(write)
    }

    /// A bar over `total` steps; invisible where bars are off.
    pub(crate) fn bar(&self, label: &str, total: u64) -> ProgressBar {
        // The message is cut off where the terminal ends; a line that wrapped would be drawn below itself.
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

    /// Shows that something goes on until the returned value is dropped.
    pub(crate) fn activity(&self, what: &str) -> Activity {
        self.set_line(Some(Line { text: what.to_owned(), began: Some(Instant::now()) }));
        let style = ProgressStyle::with_template("{spinner} {msg} {elapsed}").expect("well formed");
        let spinner =
            self.bars.add(ProgressBar::new_spinner().with_style(style).with_message(what.to_owned()));
        spinner.enable_steady_tick(LOOK_EVERY);
        Activity { console: self.clone(), spinner }
    }

    /// What to write where nothing else is written for a few seconds; only used where bars are off.
    pub(crate) fn set_status(&self, text: String) {
        self.set_line(Some(Line { text, began: None }));
    }

    /// Ends what [`Self::set_status`] began.
    pub(crate) fn clear_status(&self) {
        self.set_line(None);
    }

    fn set_line(&self, line: Option<Line>) {
        lock(&self.work).line = line;
    }
}

/// Something that goes on for as long as this value lives.
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

/// A panic elsewhere leaves nothing behind that a line could not be written over.
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
