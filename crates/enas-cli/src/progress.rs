//! The progress of a search or a training on stderr: bars on a terminal, lines otherwise.

mod clock;
mod plans;

use std::path::Path;
use std::time::{Duration, Instant};

use enas_arc::{Arc, Arch};
use enas_search::{AutoPhase, EpochSummary, Event, Observer, Position, ReadyCell, RunReader, ready_cells};
use indicatif::ProgressBar;

use self::clock::Clock;
use self::plans::{planned, search_planned};
use crate::interrupt::Interrupt;
use crate::messages::{Activity, Console};
use crate::output::{counted, duration, grouped, percent, visible};
use crate::terminal::{field, fitted, stderr_width};

/// Shows the progress of a search or a training, and asks it to stop after Ctrl-C.
pub(crate) struct Watcher<'a> {
    console: &'a Console,
    interrupt: &'a Interrupt,
    bar: Option<(&'static str, ProgressBar)>,
    /// The work before the first step, which has no bar.
    waiting: Option<Activity>,
    clock: Clock,
    /// Whether the current run is a phase of an automatic run.
    is_auto: bool,
    /// Whether the automatic run has a search.
    searches: bool,
    /// Whether a change of the number of epochs was already reported.
    replanned: bool,
    /// The prefix of every line and the label of the bar, if several runs are in progress.
    name: Option<String>,
    /// How to train another ready cell than the one that an automatic run trains.
    other_cell: Option<String>,
    /// Whether the automatic run was given the cell to train.
    is_cell_given: bool,
}

impl<'a> Watcher<'a> {
    /// A watcher of a run that starts now.
    pub(crate) fn new(console: &'a Console, interrupt: &'a Interrupt) -> Self {
        Self {
            console,
            interrupt,
            bar: None,
            waiting: None,
            clock: Clock::default(),
            is_auto: false,
            searches: false,
            replanned: false,
            name: None,
            other_cell: None,
            is_cell_given: false,
        }
    }

    /// The same for one of several concurrent runs.
    pub(crate) fn named(mut self, name: String) -> Self {
        self.name = Some(name);
        self
    }

    /// Shows `what` as the current work until the first step.
    pub(crate) fn waiting(mut self, what: &str) -> Self {
        self.wait(what);
        self
    }

    /// The same for an automatic run on the images at `data`, with the cell that was given to it.
    pub(crate) fn of_auto(mut self, data: &str, cell: Option<&Arc>) -> Self {
        self.is_cell_given = cell.is_some();
        self.other_cell = Some(format!("enas train {data} --cell NAME trains another"));
        self
    }

    fn wait(&mut self, what: &str) {
        // The previous activity ends first: there is one at a time.
        self.waiting = None;
        self.waiting = Some(match &self.name {
            Some(name) => self.console.activity(&format!("{name}: {what}")),
            None => self.console.activity(what),
        });
    }

    /// Names the ready cell that an automatic run trains.
    fn name_cell(&self, run: &Path) {
        let Some(other) = self.other_cell.as_ref().filter(|_| self.is_auto && !self.searches) else { return };
        let Ok(record) = RunReader::open(run) else { return };
        let arc = record.manifest().arc.as_ref().and_then(Arch::micro);
        if let Some(ReadyCell { name, about, .. }) =
            ready_cells().into_iter().find(|cell| Some(&cell.arc) == arc)
        {
            let why = match self.is_cell_given {
                true => "as --cell says",
                false => "chosen by the number of training images",
            };
            self.note(&format!("network: the ready cell {name}, {why}: {about}; {other}"));
        }
    }

    fn status_name(&self) -> &str {
        self.name.as_deref().unwrap_or_default()
    }

    /// Sets the status line, which is written if there are no bars.
    fn set_status(&self, text: &str) {
        let line = match &self.name {
            Some(name) => format!("{name}: {text}"),
            None => text.to_owned(),
        };
        self.console.set_status(self.status_name(), line);
    }

    /// Writes one line.
    fn note(&self, line: &str) {
        match &self.name {
            Some(name) => self.console.note(&format!("{name}: {line}")),
            None => self.console.note(line),
        }
    }

    /// Moves the bar of this phase. If stderr is not a terminal, sets the status line instead.
    fn step(&mut self, label: &'static str, done: u64, total: u64, epoch: &str, message: &str) {
        self.waiting = None;
        if self.console.is_quiet() {
            return;
        }
        if self.console.is_terminal() {
            let bar = self.phase_bar(label, total);
            bar.set_position(done);
            bar.set_message(format!("{epoch}{message}"));
        } else {
            self.set_status(&format!("{label} {epoch}step {done}/{total}  {message}"));
        }
    }

    fn phase_bar(&mut self, label: &'static str, total: u64) -> &ProgressBar {
        if self.bar.as_ref().is_none_or(|(old, _)| *old != label) {
            self.clear();
        }
        let shown = self.name.as_deref().unwrap_or(label);
        let (_, bar) = self.bar.get_or_insert_with(|| (label, self.console.bar(shown, total)));
        bar.set_length(total);
        bar
    }

    fn clear(&mut self) {
        if let Some((_, bar)) = self.bar.take() {
            bar.finish_and_clear();
        }
        self.waiting = None;
        self.console.clear_status(self.status_name());
    }

    fn epoch(&mut self, summary: &EpochSummary) {
        self.clock.epoch_done(summary);
        let eta = self.clock.eta_after_epoch(summary.epoch, summary.epochs);
        let name = self.name.as_ref().map_or(0, |name| name.chars().count() + 2);
        let room = stderr_width().map(|width| width.saturating_sub(name));
        self.note(&epoch_line(summary, eta.trim_start(), room));
    }
}

/// What single events show.
impl Watcher<'_> {
    fn phase(&mut self, phase: AutoPhase) {
        (self.clock, self.replanned) = (Clock::default(), false);
        self.is_auto = true;
        self.console.note(match phase {
            AutoPhase::First => "first model: a random architecture, trained for a short time",
            AutoPhase::Search => "search",
            AutoPhase::Train if self.searches => "training of the architecture found",
            AutoPhase::Train if self.is_cell_given => "training of the given cell",
            AutoPhase::Train => "training of the ready cell",
        });
        self.wait("preparing");
    }

    fn started(&mut self, event: &Event<'_>) {
        let Event::Started { run, plan, params, macs, epochs, steps, resumed, seconds_left, .. } = event
        else {
            return;
        };
        self.clock.end = seconds_left.map(|seconds| Instant::now() + Duration::from_secs_f64(seconds));
        let from = resumed.map_or(String::new(), |at| format!(", going on in epoch {}", at.epoch));
        let steps = counted(*steps, "step");
        // Under a time limit the number of epochs is reported with the change of the plan.
        let extent = match (epochs, seconds_left) {
            (0, _) => String::new(),
            (_, Some(_)) => format!("as many epochs of {steps} as the time allows, "),
            (_, None) => format!("{} of {steps}, ", counted(*epochs, "epoch")),
        };
        let whose = if macs.is_some() { "" } else { " shared by all architectures" };
        let size = format!("{} parameters{whose}", grouped(*params as u64));
        self.note(&format!("{}: {extent}{size}{from}; Ctrl-C saves", visible(run)));
        self.name_cell(run);
        tracing::info!("the network:\n{plan}");
        self.wait("preparing the first step");
    }

    fn weights_step(&mut self, place: &Position, message: &str) {
        self.step("weights", place.step, place.steps, &of_epochs(place), message);
        if place.step == place.steps {
            let status = format!("{}validation", of_epochs(place));
            match &self.bar {
                Some((_, bar)) => bar.set_message(status),
                None => self.set_status(&status),
            }
        }
    }

    fn controller_step(&mut self, event: &Event<'_>) {
        let Event::ControllerStep { place, accuracy, reward, baseline, entropy } = event else { return };
        let accuracy = percent(f64::from(*accuracy));
        let (name, rest) = match (baseline, entropy) {
            (Some(baseline), Some(entropy)) => {
                ("controller", format!("baseline {baseline:.3}  entropy {entropy:.1}"))
            }
            _ => ("strategy", format!("score {reward:.3}")),
        };
        let message = format!("accuracy {accuracy}  {rest}");
        self.step(name, place.step, place.steps, &of_epochs(place), &message);
    }
}

impl Observer for Watcher<'_> {
    fn event(&mut self, event: &Event<'_>) {
        match event {
            Event::Planned(plan) => {
                self.searches = plan.searches;
                self.console.note(&planned(plan, self.is_cell_given));
            }
            Event::Phase(phase) => {
                self.phase(*phase);
            }
            Event::Memory(_) if self.is_auto => {}
            Event::Memory(plan) => tracing::info!("{plan}"),
            Event::Started { .. } => self.started(event),
            Event::Step { place, loss, accuracy, images_per_second, .. } => {
                self.clock.step();
                let eta = self.clock.eta(place);
                let message = format!(
                    "accuracy {}  loss {loss:.4}{eta}  {images_per_second:.0} images/s",
                    percent(f64::from(*accuracy))
                );
                self.weights_step(place, &message);
            }
            Event::ControllerStep { .. } => self.controller_step(event),
            Event::Epoch(summary) => self.epoch(summary),
            Event::Selecting { done, total, best } => {
                let message = format!("best {}", percent(*best));
                self.step("selection", *done as u64, *total as u64, "", &message);
            }
            // Reported once only, as every line of an epoch states the number of epochs.
            Event::Replanned { .. } if self.replanned => {}
            Event::Replanned { epochs } => {
                self.replanned = true;
                let epochs = counted(*epochs, "epoch");
                self.note(&format!("the time limit leaves {epochs} in all"));
            }
            Event::WarmStart { taken, of } => {
                self.note(&format!("begins with {taken} of {of} weight tensors of the given model"));
            }
            Event::RanOutOfPatience { epochs } => {
                let epochs = counted(*epochs, "epoch");
                self.note(&format!("no improvement for {epochs}: the training ends here"));
            }
            Event::Refit { images, epochs } => {
                let images = grouped(*images as u64);
                let epochs = counted(*epochs, "epoch");
                // Under a time limit the number follows from the speed so far.
                let most = if self.clock.end.is_some() { "at most " } else { "" };
                self.note(&format!(
                    "the network is measured, and now trains for {most}{epochs} with all {images} images"
                ));
                // Otherwise its bar and the new activity would share a line.
                self.clear();
                self.wait("preparing the training with all images");
            }
            Event::SearchPlanned(plan) => self.note(&search_planned(plan)),
            Event::PolicyCollapsed { noun, what } => {
                self.note(&format!(
                    "the {noun} collapsed: {what}; it restarts after an epoch of uniform sampling"
                ));
            }
            Event::Trial { round, number, of, step, steps, loss } => {
                let where_ = format!("round {round}/3  network {number}/{of}  ");
                self.step("finals", *step, *steps, &where_, &format!("loss {loss:.4}"));
            }
            Event::Saved { path } => tracing::debug!("saved {}", visible(&path)),
            Event::Finished { .. } => {
                self.clear();
                if self.is_auto {
                    self.wait("measuring the result");
                }
            }
            _ => {}
        }
    }

    fn should_stop(&self) -> bool {
        self.interrupt.asked()
    }
}

impl Drop for Watcher<'_> {
    fn drop(&mut self) {
        self.clear();
    }
}

/// The result of an epoch in one line, with as many fields as fit the terminal.
fn epoch_line(summary: &EpochSummary, eta: &str, width: Option<usize>) -> String {
    let policy = summary.policy.as_ref();
    // Less would be printed as 0.0 s.
    let waited = summary.waited_seconds > (0.02 * summary.seconds).max(0.05);
    let best = summary.best_valid_accuracy;
    let fields = vec![
        field(0, format!("epoch {}/{}", summary.epoch, summary.epochs)),
        field(3, format!("loss {:.4}", summary.loss)),
        field(4, format!("train {}", percent(summary.train_accuracy))),
        field(0, summary.valid_accuracy.map_or(String::new(), |valid| format!("valid {}", percent(valid)))),
        field(2, summary.valid_accuracy.map_or(String::new(), |_| format!("best {}", percent(best)))),
        field(6, policy.map_or(String::new(), |policy| format!("sampled {}", percent(policy.accuracy)))),
        field(
            7,
            policy.and_then(|policy| policy.entropy).map_or(String::new(), |e| format!("entropy {e:.1}")),
        ),
        field(5, duration(summary.seconds)),
        field(
            8,
            if waited {
                format!("waited {} for images", duration(summary.waited_seconds))
            } else {
                String::new()
            },
        ),
        field(1, eta),
    ];
    fitted(fields, width)
}

fn of_epochs(place: &Position) -> String {
    format!("epoch {}/{}  ", place.epoch, place.epochs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started(epochs: u64, seconds_left: Option<f64>) -> Event<'static> {
        Event::Started {
            run: Path::new("runs/photos-train-1"),
            plan: String::new(),
            params: 1,
            aux_params: 0,
            macs: Some(1),
            epochs,
            steps: 10,
            resumed: None,
            seconds_left,
        }
    }

    #[test]
    fn one_of_several_runs_always_says_what_it_does() {
        let console = Console::new(false);
        let interrupt = Interrupt::listen().unwrap();
        let shown = || console.shown().unwrap_or_default();
        let mut watcher =
            Watcher::new(&console, &interrupt).named("seed 3".into()).waiting("preparing the network");
        assert!(shown().starts_with("seed 3: preparing the network … "), "{}", shown());
        watcher.event(&started(2, None));
        assert!(shown().starts_with("seed 3: preparing the first step … "), "{}", shown());
        let step = |step| Event::Step {
            place: Position { epoch: 1, epochs: 2, step, steps: 10 },
            loss: 1.0,
            accuracy: 0.5,
            lr: 0.1,
            images_per_second: 9.0,
        };
        watcher.event(&step(4));
        assert!(shown().starts_with("seed 3: weights epoch 1/2  step 4/10  accuracy 50.00 %"), "{}", shown());
        watcher.event(&step(10));
        assert_eq!(shown(), "seed 3: epoch 1/2  validation");
        drop(watcher);
        assert_eq!(console.shown(), None);
    }

    #[test]
    fn the_epochs_of_a_time_limit_are_said_once() {
        let console = Console::new(false);
        let interrupt = Interrupt::listen().unwrap();
        let mut watcher = Watcher::new(&console, &interrupt);
        let held = console.hold();
        watcher.event(&started(30, Some(60.0)));
        for epochs in [12, 12, 11] {
            watcher.event(&Event::Replanned { epochs });
        }
        let said = console.held();
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said[0].contains(": as many epochs of 10 steps as the time allows, "), "{said:?}");
        assert_eq!(said[1], "the time limit leaves 12 epochs in all");
        drop(held);
    }

    #[test]
    fn the_epochs_of_a_refit_are_a_bound_under_a_time_limit() {
        let console = Console::new(false);
        let interrupt = Interrupt::listen().unwrap();
        let said = |seconds_left| {
            let mut watcher = Watcher::new(&console, &interrupt);
            let held = console.hold();
            watcher.event(&started(30, seconds_left));
            watcher.event(&Event::Refit { images: 180, epochs: 1 });
            let said = console.held().join("\n");
            drop(held);
            said
        };
        assert!(said(Some(60.0)).contains("now trains for at most 1 epoch with all 180 images"));
        assert!(said(None).contains("now trains for 1 epoch with all 180 images"));
    }

    #[test]
    fn the_end_is_guessed_from_the_last_whole_epoch() {
        let clock = Clock { epoch_seconds: Some(10.0), ..Clock::default() };
        let place = Position { epoch: 2, epochs: 4, step: 5, steps: 10 };
        assert_eq!(clock.eta(&place), "  eta 25 s");
        assert_eq!(clock.eta_after_epoch(4, 4), "");
    }

    #[test]
    fn the_end_is_never_after_the_time_limit() {
        let end = Some(Instant::now() + Duration::from_millis(60_900));
        let clock = Clock { epoch_seconds: Some(100.0), end, ..Clock::default() };
        assert_eq!(clock.eta_after_epoch(1, 4), "  eta 1 min 01 s");
    }

    #[test]
    fn without_a_measurement_there_is_no_guess() {
        let place = Position { epoch: 1, epochs: 4, step: 1, steps: 10 };
        assert_eq!(Clock::default().eta(&place), "");
    }
}
