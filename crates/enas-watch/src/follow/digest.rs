//! Summary of a log: the present state of its run in a few events. Its size does not depend on the log's length.

use enas_run::Kind;
use serde_json::Value;

/// A run counts as quiet only after at least this many seconds without an event.
const PATIENCE: f64 = 30.0;

/// The latest event of each kind, and values that need several events.
#[derive(Debug, Default)]
pub(crate) struct Digest {
    pub(crate) step: Option<Value>,
    pub(crate) controller: Option<Value>,
    pub(crate) epoch: Option<Value>,
    pub(crate) result: Option<Value>,
    /// The policy's candidate with the highest accuracy so far; of equals the one with fewer multiply-adds.
    pub(crate) best: Option<Value>,
    /// Number of candidates measured.
    pub(crate) candidates: u64,
    /// Number of networks that the finals have trained alone, by round.
    pub(crate) finalists: [u64; 3],
    pub(crate) phase: Phase,
    /// Wall time at the last event, in seconds.
    pub(crate) seconds: f64,
    /// Longest time between two events, in seconds.
    gap: f64,
    /// Wall time in seconds and step number of the first step of this log.
    first_step: Option<(f64, f64)>,
}

/// The phase of a run, according to its last event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nothing has been logged yet.
    #[default]
    Starting,
    /// The weights are being trained.
    Weights,
    /// The policy (controller) is being trained.
    Policy,
    /// An epoch is complete and the next one has not begun.
    Between,
    /// Candidates are being measured.
    Choice,
    /// The finals train networks alone.
    Finals,
    /// The run is finished.
    Finished,
}

impl Digest {
    /// Updates the summary with the next event.
    pub(crate) fn add(&mut self, event: &Value) {
        if let Some(t) = event["t"].as_f64().filter(|t| t.is_finite()) {
            self.gap = self.gap.max(t - self.seconds);
            self.seconds = t;
        }
        match event["kind"].as_str() {
            Some("step") => {
                let place = event["step"].as_f64().unwrap_or(0.0);
                self.first_step.get_or_insert((self.seconds, place));
                self.step = Some(event.clone());
                self.phase = Phase::Weights;
            }
            Some("controller") => (self.controller, self.phase) = (Some(event.clone()), Phase::Policy),
            Some("epoch") => (self.epoch, self.phase) = (Some(event.clone()), Phase::Between),
            Some("candidate") => self.candidate(event),
            Some("finalist") => {
                self.phase = Phase::Finals;
                let round = event["round"].as_u64().unwrap_or(1).clamp(1, 3);
                self.finalists[round as usize - 1] += 1;
            }
            Some("result") => (self.result, self.phase) = (Some(event.clone()), Phase::Finished),
            // Unknown kinds may come from a later version.
            _ => {}
        }
    }

    fn candidate(&mut self, event: &Value) {
        self.phase = Phase::Choice;
        self.candidates += 1;
        let accuracy = |event: &Value| event["valid_accuracy"].as_f64().unwrap_or(-1.0);
        let macs = |event: &Value| event["macs"].as_u64().unwrap_or(u64::MAX);
        let key = |event: &Value| (accuracy(event), std::cmp::Reverse(macs(event)));
        if event["origin"] != "random" && self.best.as_ref().is_none_or(|best| key(event) > key(best)) {
            self.best = Some(event.clone());
        }
    }

    /// The current epoch, from 1.
    pub(crate) fn current_epoch(&self) -> u64 {
        let of =
            |event: &Option<Value>| event.as_ref().and_then(|event| event["epoch"].as_u64()).unwrap_or(0);
        of(&self.step).max(of(&self.controller)).max(of(&self.epoch)).max(1)
    }

    /// Number of complete epochs.
    pub(crate) fn epochs_done(&self) -> u64 {
        self.epoch.as_ref().and_then(|event| event["epoch"].as_u64()).unwrap_or(0)
    }

    /// Number of epochs so far, including the finished fraction of the current one. `steps` is the number of training
    /// steps per epoch.
    pub(crate) fn epochs_so_far(&self, steps: u64) -> f64 {
        let done = self.epochs_done();
        if self.current_epoch() <= done {
            return done as f64;
        }
        let step = self.step.as_ref().filter(|event| event["epoch"].as_u64() > Some(done));
        let step = step.and_then(|event| event["step"].as_f64()).unwrap_or(0.0);
        done as f64 + (step / steps.max(1) as f64).min(1.0)
    }

    /// Estimated seconds until `epochs` epochs of `steps` steps are complete.
    ///
    /// The estimate uses the duration of the last epoch, or of the steps so far if no epoch is complete.
    pub(crate) fn remaining(&self, epochs: u64, steps: u64) -> Option<f64> {
        let left = epochs as f64 - self.epochs_so_far(steps);
        let whole = self.epoch.as_ref().and_then(|event| event["seconds"].as_f64());
        let each = whole.or_else(|| {
            let (began, first) = self.first_step?;
            let done = self.step.as_ref()?["step"].as_f64()? - first;
            (done > 0.0).then(|| (self.seconds - began) / done * steps as f64)
        })?;
        (left > 0.0 && each.is_finite()).then_some(left * each)
    }

    /// Whether a run without events for `seconds` has probably stopped: more than five times its longest gap so far.
    pub(crate) fn is_quiet_after(&self, seconds: f64) -> bool {
        seconds > PATIENCE.max(5.0 * self.gap)
    }

    /// The current activity in words.
    pub(crate) fn doing(&self, kind: Kind) -> &'static str {
        match (self.phase, kind) {
            (Phase::Starting, _) => "starting",
            (Phase::Weights, Kind::Search) => "training the shared weights",
            (Phase::Weights, Kind::Train) => "training",
            (Phase::Policy, _) => "training the policy",
            (Phase::Between, _) => "between two epochs",
            (Phase::Choice, _) => "choosing among candidates",
            (Phase::Finals, _) => "training the best candidates alone",
            (Phase::Finished, _) => "finished",
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn digest(events: &[Value]) -> Digest {
        let mut digest = Digest::default();
        events.iter().for_each(|event| digest.add(event));
        digest
    }

    #[test]
    fn networks_of_the_finals_are_counted_by_round() {
        let finalist = |round: u64| json!({"kind": "finalist", "round": round});
        let digest = digest(&[finalist(1), finalist(1), finalist(2)]);
        assert_eq!((digest.finalists, digest.phase), ([2, 1, 0], Phase::Finals));
    }

    #[test]
    fn the_end_is_guessed_from_steps_and_then_from_whole_epochs() {
        let step =
            |t: f64, epoch: u64, step: u64| json!({"kind": "step", "t": t, "epoch": epoch, "step": step});
        let mut digest = digest(&[step(1.0, 1, 10)]);
        assert_eq!(digest.remaining(4, 40), None, "one step says nothing about speed");
        digest.add(&step(3.0, 1, 20));
        assert_eq!((digest.epochs_so_far(40), digest.remaining(4, 40)), (0.5, Some(3.5 * 8.0)));
        digest.add(&json!({"kind": "epoch", "t": 9.0, "epoch": 1, "seconds": 10.0}));
        assert_eq!((digest.epochs_so_far(40), digest.remaining(4, 40)), (1.0, Some(30.0)));
        digest.add(&step(10.0, 2, 20));
        digest.add(&json!({"kind": "controller", "t": 11.0, "epoch": 2, "step": 1}));
        assert_eq!((digest.current_epoch(), digest.phase), (2, Phase::Policy));
        assert_eq!(digest.remaining(4, 40), Some(25.0));
        assert_eq!(digest.remaining(1, 40), None);
    }

    #[test]
    fn the_best_candidate_is_of_the_policy_and_the_cheaper_of_equals() {
        let candidate = |origin: &str, accuracy: f64, macs: u64| json!({"kind": "candidate", "origin": origin, "valid_accuracy": accuracy, "macs": macs});
        let digest = digest(&[
            candidate("greedy", 0.8, 5),
            candidate("random", 0.9, 1),
            candidate("sampled", 0.8, 4),
            candidate("sampled", 0.8, 6),
        ]);
        assert_eq!((digest.candidates, digest.best.unwrap()["macs"].as_u64()), (4, Some(4)));
    }

    #[test]
    fn a_run_is_quiet_only_after_much_longer_than_it_ever_was() {
        let at = |t: f64| json!({"kind": "epoch", "t": t, "epoch": 1});
        assert!(digest(&[at(1.0), at(2.0)]).is_quiet_after(31.0));
        let slow = digest(&[at(1.0), at(101.0)]);
        assert!(!slow.is_quiet_after(499.0) && slow.is_quiet_after(501.0));
    }

    #[test]
    fn events_of_other_kinds_change_nothing() {
        let digest = digest(&[json!({"kind": "novelty", "t": null}), json!({"kind": "step"})]);
        assert_eq!((digest.phase, digest.seconds, digest.epochs_so_far(10)), (Phase::Weights, 0.0, 0.0));
    }
}
