//! How a run is watched and stopped from outside. Nothing here prints.

use std::path::Path;

use enas_arc::Arch;
use serde::{Deserialize, Serialize};

use crate::auto::{AutoPhase, AutoPlan};
use crate::divergence::Divergence;
use crate::memory::MemoryPlan;

/// Someone who watches a run: a progress bar, a test, nobody (`()`).
///
/// An observer can never change a number, only end the run early.
pub trait Observer {
    /// Called for everything that happens, from the thread that runs the loop.
    fn event(&mut self, event: &Event<'_>);

    /// Asked after every step. `true` saves the state and ends the run with [`crate::Error::Interrupted`].
    fn should_stop(&self) -> bool {
        false
    }
}

/// Nobody watches.
impl Observer for () {
    fn event(&mut self, _: &Event<'_>) {}
}

/// The part of a run that is at work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Trains the child's weights ω.
    Child,
    /// Trains the controller's policy θ (search only).
    Controller,
    /// Scores arcs with the shared weights (search only).
    Select,
}

/// A place in a run. Counts of what has been done so far, so the first step of a run is `epoch: 1, step: 1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The current epoch, counted from 1.
    pub epoch: u64,
    /// Epochs planned. A time limit can lower it while the run goes on.
    pub epochs: u64,
    /// The step within the epoch and phase, counted from 1.
    pub step: u64,
    /// Steps of this phase in one epoch.
    pub steps: u64,
}

impl Place {
    /// Steps of this phase since the start of the run.
    pub(crate) fn overall(&self) -> u64 {
        (self.epoch - 1) * self.steps + self.step
    }
}

/// Something that happened in a run.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// An automatic run knows what its phases will take.
    Planned(&'a AutoPlan),
    /// An automatic run enters a phase, or passes one that an earlier session has done.
    Phase(AutoPhase),
    /// How much memory a run may take and will take, and what follows from it.
    Memory(&'a MemoryPlan),
    /// The run is set up; nothing is computed yet.
    Started {
        /// The run directory.
        run: &'a Path,
        /// The network, one line per cell.
        plan: String,
        /// Trained weights of the child, without the auxiliary head.
        params: usize,
        /// Weights of the auxiliary head.
        aux_params: usize,
        /// Multiply-adds per picture; of the fixed arc only, as a shared child has as many as arcs.
        macs: Option<u64>,
        /// Epochs planned.
        epochs: u64,
        /// Child steps per epoch.
        steps: u64,
        /// The place a resumed run goes on from.
        resumed: Option<Place>,
        /// Seconds until the time limit, if there is one.
        seconds_left: Option<f64>,
    },
    /// A training begins with the weights of another network.
    WarmStart {
        /// Weight tensors that were taken over, as their names and shapes agree.
        taken: usize,
        /// Weight tensors of the network.
        of: usize,
    },
    /// One step of the child's optimiser.
    Step {
        /// Where.
        place: Place,
        /// Mean cross entropy of the main classifier over the minibatch, in nats.
        loss: f32,
        /// Accuracy on the minibatch, 0 to 1.
        accuracy: f32,
        /// Learning rate.
        lr: f32,
        /// Training pictures per second over this step, loading included.
        images_per_second: f64,
    },
    /// One step of the strategy: with a policy, of its optimiser.
    ControllerStep {
        /// Where.
        place: Place,
        /// Mean accuracy, or whatever `reward.metric` names, of the step's arcs, each on its own validation minibatch.
        accuracy: f32,
        /// Mean reward: accuracy and entropy bonus.
        reward: f32,
        /// The moving-average baseline after the step; none without a policy.
        baseline: Option<f32>,
        /// Mean entropy of the policy over the step's arcs, in nats; none without a policy.
        entropy: Option<f32>,
    },
    /// An epoch is complete.
    Epoch(&'a EpochSummary),
    /// One more arc has been scored on the whole validation split.
    Selecting {
        /// Arcs scored.
        done: usize,
        /// Arcs to score.
        total: usize,
        /// Accuracy of the best so far among those from the strategy, 0 to 1.
        best: f64,
    },
    /// A search knows which phases it will have.
    SearchPlanned(SearchPlan),
    /// The policy or population settled on too little; it starts anew, and an epoch of fair draws follows.
    PolicyCollapsed {
        /// What collapsed: `policy` or `population`.
        noun: &'static str,
        /// What was seen.
        what: &'a str,
    },
    /// One step of a network that is trained alone in the finals.
    Trial {
        /// Counted from 1, of three.
        round: u64,
        /// The network of the round, counted from 1.
        number: u64,
        /// Networks of the round, or of this part of it.
        of: u64,
        /// Steps done, those of earlier rounds included.
        step: u64,
        /// Steps that the round leads to.
        steps: u64,
        /// Mean cross entropy over the minibatch, in nats.
        loss: f32,
    },
    /// A checkpoint is on the disk.
    Saved {
        /// The checkpoint file.
        path: &'a Path,
    },
    /// The run diverged and goes on from where it stood after so many complete epochs, with lower learning rates.
    WentBack {
        /// What happened.
        divergence: &'a Divergence,
        /// Epochs that are complete.
        epoch: u64,
    },
    /// The network was measured; from here on it learns from the images that were held out as well.
    Refit {
        /// Training images from here on.
        images: usize,
        /// Epochs that follow.
        epochs: u64,
    },
    /// The time limit changed the number of epochs.
    Replanned {
        /// Epochs the run will have in all.
        epochs: u64,
    },
    /// A training ends before its last epoch, as so many epochs in a row were no better than one before.
    RanOutOfPatience {
        /// Epochs without a better one.
        epochs: u64,
    },
    /// The run is complete and all its files are written.
    Finished {
        /// Its accuracy on the validation split, 0 to 1.
        valid_accuracy: f64,
    },
}

/// Which phases a search will have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SearchPlan {
    /// Whether there are steps enough for shared weights and a policy; otherwise the finals begin at once.
    pub shares_weights: bool,
    /// Training steps that there are for the shared weights.
    pub steps: u64,
    /// Steps of the warm-up.
    pub warmup_steps: u64,
    /// Networks that the finals begin with.
    pub candidates: usize,
    /// Validation images that no choice looks at, and that the result is reported with.
    pub reporting: usize,
}

/// What an epoch came to.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct EpochSummary {
    /// Counted from 1.
    pub epoch: u64,
    /// Epochs planned.
    pub epochs: u64,
    /// Learning rate of the child.
    pub lr: f32,
    /// Mean training loss, in nats.
    pub loss: f64,
    /// Accuracy on the training minibatches as they were seen.
    pub train_accuracy: f64,
    /// Accuracy on the whole validation split: of the policy's likeliest arc (search) or of the network (train). None once
    /// the network learns from these images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid_accuracy: Option<f64>,
    /// The best `valid_accuracy` so far.
    pub best_valid_accuracy: f64,
    /// Macro-F1 where `valid_accuracy` was measured, if that is what counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid_macro_f1: Option<f64>,
    /// What the strategy did (search only).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<PolicySummary>,
    /// Wall time of the epoch.
    pub seconds: f64,
    /// How much of it training waited for pictures, since the run was last started.
    pub waited_seconds: f64,
}

/// What the strategy did in an epoch.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct PolicySummary {
    /// Mean accuracy, or whatever `reward.metric` names, of the sampled arcs on their validation minibatches.
    pub accuracy: f64,
    /// Mean reward.
    pub reward: f64,
    /// Baseline at the end of the epoch; none without a policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub baseline: Option<f64>,
    /// Mean entropy, in nats; none without a policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entropy: Option<f64>,
    /// How often each operation was sampled, in normal and in reduction cells where there are cells; each sums to 1. Indexed
    /// by [`enas_arc::Op::id`] or [`enas_arc::MacroOp::id`].
    pub op_frequencies: Vec<Vec<f64>>,
    /// The arc that the strategy thinks best at the end of the epoch, the policy's likeliest; strategies that learn
    /// nothing have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub greedy: Option<Arch>,
}
