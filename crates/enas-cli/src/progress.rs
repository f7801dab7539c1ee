//! Progress on stderr: bars on a terminal, plain lines elsewhere, nothing with `--quiet`. Not results.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use enas_search::{AutoPhase, AutoPlan, EpochSummary, Event, Observer, Place, SearchWhen};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::interrupt::Interrupt;
use crate::output::{counted, duration, grouped, percent};
use crate::terminal::{field, fitted, stderr_width};

/// Columns from which on there is room for a long bar.
const WIDE: usize = 100;
/// Seconds between two plain lines about steps.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// The user's terminal, or whatever stands in for it.
#[derive(Clone, Debug)]
pub(crate) struct Console {
    bars: MultiProgress,
    terminal: bool,
    quiet: bool,
}

impl Console {
    /// Looks at stderr once.
    pub(crate) fn new(quiet: bool) -> Self {
        let terminal = io::stderr().is_terminal();
        let target =
            if terminal && !quiet { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        Self { bars: MultiProgress::with_draw_target(target), terminal, quiet }
    }

    /// Writes one line for the user, unless `--quiet`.
    pub(crate) fn note(&self, line: &str) {
        if !self.quiet {
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
}

/// Shows a search or a training while it runs, and passes on the wish to stop.
pub(crate) struct Watcher<'a> {
    console: &'a Console,
    interrupt: &'a Interrupt,
    bar: Option<(&'static str, ProgressBar)>,
    last_line: Instant,
    clock: Clock,
    /// Whether what runs is a phase of an automatic run.
    is_auto: bool,
    /// What every line begins with, where several runs are at work; then there are no bars.
    name: Option<String>,
}

impl<'a> Watcher<'a> {
    /// A watcher of a run that starts now.
    pub(crate) fn new(console: &'a Console, interrupt: &'a Interrupt) -> Self {
        let (last_line, clock) = (Instant::now(), Clock::default());
        Self { console, interrupt, bar: None, last_line, clock, is_auto: false, name: None }
    }

    /// The same for one of several runs that are at work at the same time.
    pub(crate) fn named(mut self, name: String) -> Self {
        self.name = Some(name);
        self
    }

    /// Writes one line.
    fn note(&self, line: &str) {
        match &self.name {
            Some(name) => self.console.note(&format!("{name}: {line}")),
            None => self.console.note(line),
        }
    }

    /// Moves the bar of this phase, or from time to time writes a plain line.
    fn step(&mut self, label: &'static str, done: u64, total: u64, epoch: &str, message: &str) {
        if self.console.quiet || self.name.is_some() {
            return;
        }
        if self.console.terminal {
            let bar = self.phase_bar(label, total);
            bar.set_position(done);
            bar.set_message(format!("{epoch}{message}"));
        } else if self.last_line.elapsed() >= LINE_EVERY {
            self.last_line = Instant::now();
            self.console.note(&format!("{label} {epoch}step {done}/{total}  {message}"));
        }
    }

    fn phase_bar(&mut self, label: &'static str, total: u64) -> &ProgressBar {
        if self.bar.as_ref().is_none_or(|(old, _)| *old != label) {
            self.clear();
        }
        let (_, bar) = self.bar.get_or_insert_with(|| (label, self.console.bar(label, total)));
        bar.set_length(total);
        bar
    }

    fn clear(&mut self) {
        if let Some((_, bar)) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    fn epoch(&mut self, summary: &EpochSummary) {
        self.clock.epoch_done(summary);
        self.last_line = Instant::now();
        let eta = self.clock.eta_after_epoch(summary.epoch, summary.epochs);
        self.note(&epoch_line(summary, eta.trim_start(), stderr_width()));
    }
}

impl Observer for Watcher<'_> {
    fn event(&mut self, event: &Event<'_>) {
        match event {
            Event::Planned(plan) => self.console.note(&planned(plan)),
            Event::Phase(phase) => {
                self.clock = Clock::default();
                self.is_auto = true;
                self.console.note(match phase {
                    AutoPhase::First => "first model: a random architecture, trained for a short time",
                    AutoPhase::Search => "search",
                    AutoPhase::Train => "training of the architecture found",
                });
            }
            Event::Memory(_) if self.is_auto => {}
            Event::Memory(plan) => tracing::info!("{plan}"),
            Event::Started { run, plan, params, macs, epochs, steps, resumed, .. } => {
                let from = resumed.map_or(String::new(), |at| format!(", going on in epoch {}", at.epoch));
                let size = grouped(*params as u64);
                let run = run.display();
                let (epochs, steps) = (counted(*epochs, "epoch"), counted(*steps, "step"));
                let whose = if macs.is_some() { "" } else { " shared by all architectures" };
                let size = format!("{size} parameters{whose}");
                self.note(&format!("{run}: {epochs} of {steps}, {size}{from}; Ctrl-C saves"));
                tracing::info!("the network:\n{plan}");
            }
            Event::Step { place, loss, accuracy, images_per_second, .. } => {
                self.clock.step();
                let eta = self.clock.eta(place);
                let message = format!(
                    "accuracy {}  loss {loss:.4}{eta}  {images_per_second:.0} images/s",
                    percent(f64::from(*accuracy))
                );
                self.step("weights", place.step, place.steps, &of_epochs(place), &message);
            }
            Event::ControllerStep { place, accuracy, baseline, entropy, .. } => {
                let accuracy = percent(f64::from(*accuracy));
                let message = format!("accuracy {accuracy}  baseline {baseline:.3}  entropy {entropy:.1}");
                self.step("controller", place.step, place.steps, &of_epochs(place), &message);
            }
            Event::Epoch(summary) => self.epoch(summary),
            Event::Selecting { done, total, best } => {
                let message = format!("best {}", percent(best.valid_accuracy));
                self.step("selection", *done as u64, *total as u64, "", &message);
            }
            Event::Replanned { epochs } => {
                let epochs = counted(*epochs, "epoch");
                self.note(&format!("the time limit leaves {epochs} in all"));
            }
            Event::WarmStart { taken, of } => {
                self.note(&format!("begins with {taken} of {of} weight tensors of the given model"));
            }
            Event::RanOutOfPatience { epochs } => {
                let epochs = counted(*epochs, "epoch");
                self.note(&format!("no better epoch for {epochs}: the training ends here"));
            }
            Event::Saved { path } => tracing::debug!("saved {}", path.display()),
            Event::Finished { .. } => self.clear(),
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

/// What an epoch came to, as far as the terminal has room for it.
fn epoch_line(summary: &EpochSummary, eta: &str, width: Option<usize>) -> String {
    let policy = summary.policy.as_ref();
    let waited = summary.waited_seconds > 0.02 * summary.seconds;
    let fields = vec![
        field(0, format!("epoch {}/{}", summary.epoch, summary.epochs)),
        field(3, format!("loss {:.4}", summary.loss)),
        field(4, format!("train {}", percent(summary.train_accuracy))),
        field(0, format!("valid {}", percent(summary.valid_accuracy))),
        field(2, format!("best {}", percent(summary.best_valid_accuracy))),
        field(6, policy.map_or(String::new(), |policy| format!("sampled {}", percent(policy.accuracy)))),
        field(7, policy.map_or(String::new(), |policy| format!("entropy {:.1}", policy.entropy))),
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

fn planned(plan: &AutoPlan) -> String {
    let total = duration(plan.total());
    let network = plan.network.map_or(String::new(), |network| {
        format!(
            " with child.filters={} and child.layers={}, what there is time for",
            network.filters, network.layers
        )
    });
    let [first, search, train, finish] = [plan.first, plan.search, plan.train, plan.finish].map(duration);
    if !plan.searches {
        return format!(
            "plan: training of a ready cell {train}{network}, afterwards {finish}; in all about {total}. A search \
             would need {} training images and time for {} steps; --search always does it anyway",
            grouped(SearchWhen::IMAGES as u64),
            grouped(SearchWhen::STEPS as u64),
        );
    }
    format!(
        "plan: first model {first}, search {search}, training {train}{network}, afterwards {finish}; in all about {total}"
    )
}

fn of_epochs(place: &Place) -> String {
    format!("epoch {}/{}  ", place.epoch, place.epochs)
}

/// Guesses when the run will end. Feeds nothing but the eye.
#[derive(Debug, Default)]
struct Clock {
    first_step: Option<Instant>,
    steps: u32,
    epoch_seconds: Option<f64>,
}

impl Clock {
    fn step(&mut self) {
        self.first_step.get_or_insert_with(Instant::now);
        self.steps += 1;
    }

    fn epoch_done(&mut self, summary: &EpochSummary) {
        self.epoch_seconds = Some(summary.seconds);
    }

    /// From whole epochs once there is one, before that from the steps alone.
    fn eta(&self, place: &Place) -> String {
        let left = place.epochs.saturating_sub(place.epoch) as f64;
        let in_epoch = 1.0 - place.step as f64 / place.steps.max(1) as f64;
        let epoch_seconds = self.epoch_seconds.or_else(|| {
            let measured = self.steps.checked_sub(1).filter(|n| *n > 0)?;
            Some(self.first_step?.elapsed().as_secs_f64() / f64::from(measured) * place.steps as f64)
        });
        epoch_seconds.map_or(String::new(), |s| format!("  eta {}", duration((left + in_epoch) * s)))
    }

    fn eta_after_epoch(&self, epoch: u64, epochs: u64) -> String {
        match self.epoch_seconds {
            Some(seconds) if epoch < epochs => {
                format!("  eta {}", duration((epochs - epoch) as f64 * seconds))
            }
            _ => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_guessed_from_the_last_whole_epoch() {
        let clock = Clock { epoch_seconds: Some(10.0), ..Clock::default() };
        let place = Place { epoch: 2, epochs: 4, step: 5, steps: 10 };
        assert_eq!(clock.eta(&place), "  eta 25 s");
        assert_eq!(clock.eta_after_epoch(4, 4), "");
    }

    #[test]
    fn without_a_measurement_there_is_no_guess() {
        let place = Place { epoch: 1, epochs: 4, step: 1, steps: 10 };
        assert_eq!(Clock::default().eta(&place), "");
    }
}
