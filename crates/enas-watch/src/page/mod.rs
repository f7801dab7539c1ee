//! Conversion of followed runs to pages: the parts that change, and the documents around them.

mod auto;
mod compare;
mod missing;
mod overview;
mod row;
mod run;

pub(crate) use auto::{AutoStanding, Phases};
pub(crate) use compare::compared;
pub(crate) use missing::missing;
pub(crate) use overview::{List, Overview, overview_parts};
pub(crate) use row::{Named, Row};
pub(crate) use run::{Outer, RunPage, Shown, run_parts, title};

use enas_report::chart;
use enas_report::text::{duration, percent};
use enas_run::Kind;

use crate::follow::{Followed, Phase, State};

/// The style sheet of all pages.
pub(crate) fn style() -> String {
    let own = include_str!("../../assets/watch.css");
    format!("{}\n{}\n{}\n{own}", chart::STYLE, enas_report::STYLE, enas_report::runs::STYLE)
}

/// The script of all pages.
pub(crate) const SCRIPT: &str = include_str!("../../assets/live.js");

/// The progress of a run in words.
#[derive(Clone)]
pub(crate) struct Standing {
    state: State,
    /// The word for the state.
    badge: &'static str,
    /// The current activity and the position in it.
    doing: String,
    /// The finished fraction of the current phase, 0 to 1 in CSS notation; `progress` is the same in words.
    share: String,
    progress: String,
    /// The estimated remaining time, if known.
    remaining: Option<String>,
}

impl Standing {
    fn of(run: &Followed) -> Self {
        let state = run.state();
        let (share, progress) = progress(run);
        Self {
            state,
            badge: badge(state),
            doing: doing(run, state),
            share: format!("{:.4}", share.clamp(0.0, 1.0)),
            progress,
            remaining: remaining(run, state),
        }
    }

    fn is_open(&self) -> bool {
        self.state != State::Finished
    }

    /// Whether no further changes are expected.
    fn is_over(&self) -> bool {
        matches!(self.state, State::Finished | State::Gone)
    }
}

fn badge(state: State) -> &'static str {
    match state {
        State::Running => "running",
        State::Quiet => "quiet",
        State::Finished => "finished",
        State::Gone => "gone",
    }
}

fn doing(run: &Followed, state: State) -> String {
    let digest = &run.digest;
    match state {
        State::Gone => "Its folder is gone; this is its last known state.".into(),
        State::Finished => format!("Finished after {}.", duration(digest.seconds)),
        State::Quiet => {
            let silence = run.silence().unwrap_or_default().as_secs();
            // Coarse steps, so that the page does not change all the time.
            let since = match silence {
                s if s < 60 => "half a minute".into(),
                s if s < 120 => "a minute".into(),
                s if s < 7200 => format!("{} minutes", s / 60),
                s if s < 172_800 => format!("{} hours", s / 3600),
                s => format!("{} days", s / 86_400),
            };
            format!(
                "No log entry for more than {since}: the run is interrupted, or in a long step. Interrupted runs go on \
                 with --resume."
            )
        }
        State::Running => {
            let text = digest.doing(run.kind());
            let mut text = format!("{}{}", text[..1].to_uppercase(), &text[1..]);
            if let Some(step) = digest.step.as_ref().filter(|_| digest.phase == Phase::Weights) {
                text.push_str(&format!(", step {} of {}", step["step"], run.steps()));
            }
            if let Some(step) = digest.controller.as_ref().filter(|_| digest.phase == Phase::Policy) {
                text.push_str(&format!(", update {}", step["step"]));
            }
            text + "."
        }
    }
}

/// `1 network`, `2 networks`.
fn number_of(n: u64, name: &str) -> String {
    format!("{n} {name}{}", if n == 1 { "" } else { "s" })
}

/// The finished fraction of the current phase, 0 to 1, and the same in words.
fn progress(run: &Followed) -> (f64, String) {
    let digest = &run.digest;
    let epochs = run.epochs();
    let done = digest.epochs_done();
    match digest.phase {
        Phase::Finished => (1.0, format!("{done} of {}", number_of(done, "epoch"))),
        Phase::Choice => {
            let done = digest.candidates;
            let all = run.candidates();
            (done as f64 / all as f64, format!("candidate {done} of {all}"))
        }
        Phase::Finals => {
            let round = digest.finalists.iter().rposition(|n| *n > 0).unwrap_or(0);
            let words = format!(
                "round {} of 3, {} trained",
                round + 1,
                number_of(digest.finalists[round], "network")
            );
            ((round + 1) as f64 / 4.0, words)
        }
        Phase::Between => {
            (done as f64 / epochs.max(1) as f64, format!("{done} of {} complete", number_of(epochs, "epoch")))
        }
        _ => {
            let share = digest.epochs_so_far(run.steps()) / epochs.max(1) as f64;
            (share, format!("epoch {} of {epochs}", digest.current_epoch()))
        }
    }
}

fn remaining(run: &Followed, state: State) -> Option<String> {
    if state != State::Running || matches!(run.digest.phase, Phase::Choice | Phase::Finished) {
        return None;
    }
    let seconds = run.digest.remaining(run.epochs(), run.steps())?;
    // Above a minute rounded to ten seconds, as it is an estimate.
    let seconds = if seconds > 60.0 { (seconds / 10.0).round() * 10.0 } else { seconds.ceil() };
    Some(duration(seconds))
}

/// The latest accuracy of a run in words, and its name.
fn accuracy(run: &Followed) -> Option<(String, &'static str)> {
    share(run).map(|(share, what)| (percent(share), what))
}

/// The latest accuracy of a run, 0 to 1, and its name.
fn share(run: &Followed) -> Option<(f64, &'static str)> {
    let digest = &run.digest;
    let of = |event: &Option<serde_json::Value>, key: &str| event.as_ref()?[key].as_f64();
    if let Some(test) = of(&digest.result, "test_accuracy") {
        return Some((test, "test accuracy"));
    }
    let valid = of(&digest.result, "valid_accuracy")
        .or_else(|| of(&digest.best, "valid_accuracy"))
        .or_else(|| of(&digest.epoch, "valid_accuracy"))?;
    Some((valid, "validation accuracy"))
}

fn verb(run: &Followed) -> &'static str {
    match run.kind() {
        Kind::Search => "Search",
        Kind::Train => "Training",
    }
}
