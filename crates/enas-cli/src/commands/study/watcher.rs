//! The progress of a study on stderr: the current work, and the result of each training.

use std::time::Instant;

use enas_search::Observer;
use enas_study::{StudyEvent, StudyObserver};
use indicatif::ProgressBar;

use crate::interrupt::Interrupt;
use crate::messages::{Activity, Console};
use crate::output::{duration, percent};
use crate::progress::Watcher;

/// Number of steps of a training's bar.
const STEPS: u64 = 1000;

/// Shows the progress of a study, and asks it to stop after Ctrl-C.
pub(super) struct StudyWatcher<'a> {
    console: &'a Console,
    interrupt: &'a Interrupt,
    search: Watcher<'a>,
    bar: Option<ProgressBar>,
    /// The work between trainings, which has no bar.
    waiting: Option<Activity>,
    began: Instant,
    /// Number of results from before this session.
    earlier: Option<usize>,
}

impl<'a> StudyWatcher<'a> {
    /// A watcher of a session that begins now.
    pub(super) fn new(console: &'a Console, interrupt: &'a Interrupt) -> Self {
        let search = Watcher::new(console, interrupt);
        let waiting = Some(console.activity("preparing a network"));
        Self { console, interrupt, search, bar: None, waiting, began: Instant::now(), earlier: None }
    }

    /// Moves the bar of a training. If stderr is not a terminal, sets the status line instead.
    fn training(&mut self, name: &str, share: f64) {
        self.waiting = None;
        if self.console.is_quiet() {
            return;
        }
        if !self.console.is_terminal() {
            self.console.set_status("", format!("{name}: {:.0} %", 100.0 * share));
            return;
        }
        let console = self.console;
        let bar = self.bar.get_or_insert_with(|| console.bar("training", STEPS));
        bar.set_position((share * STEPS as f64) as u64);
        bar.set_message(name.to_owned());
    }

    fn clear(&mut self) {
        self.waiting = None;
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        self.console.clear_status("");
    }

    /// The progress of the study, and the estimated remaining time.
    fn at(&mut self, done: usize, total: usize) -> (String, String) {
        let earlier = *self.earlier.get_or_insert(done.saturating_sub(1));
        let each = self.began.elapsed().as_secs_f64() / (done - earlier).max(1) as f64;
        let left = total.saturating_sub(done);
        let eta = if left > 0 { format!("  eta {}", duration(each * left as f64)) } else { String::new() };
        (format!("[{done}/{total}]"), eta)
    }
}

impl StudyObserver for StudyWatcher<'_> {
    fn event(&mut self, event: &StudyEvent<'_>) {
        match event {
            StudyEvent::Training { name, share } => self.training(name, *share),
            StudyEvent::Trained { trial, done, total } => {
                self.clear();
                let (at, eta) = self.at(*done, *total);
                let (group, number, seed) =
                    (trial.key.group.description(), trial.key.index + 1, trial.key.repeat + 1);
                let accuracy = percent(trial.measured.test_accuracy);
                let seconds = duration(trial.seconds);
                self.console.note(&format!("{at} {group} {number}, seed {seed}: {accuracy}  {seconds}{eta}"));
                self.waiting = Some(self.console.activity("preparing a network"));
            }
            StudyEvent::Searching { number, searches } => {
                self.clear();
                self.waiting = None;
                self.console.note(&format!("search {number} of {searches}"));
            }
            StudyEvent::Search(event) => self.search.event(event),
            StudyEvent::Found { pick, done, total } => {
                let (at, eta) = self.at(*done, *total);
                let seconds = duration(pick.seconds);
                self.console.note(&format!("{at} search {}: {}  {seconds}{eta}", pick.index + 1, pick.arc));
                self.waiting = Some(self.console.activity("preparing a network"));
            }
            _ => {}
        }
    }

    fn should_stop(&self) -> bool {
        self.interrupt.asked()
    }
}

impl Drop for StudyWatcher<'_> {
    fn drop(&mut self) {
        self.clear();
    }
}
