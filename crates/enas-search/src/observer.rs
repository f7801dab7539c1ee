//! Observation of a run from outside, and stopping it. Nothing here prints.

use std::path::Path;

use enas_arc::Arch;
use enas_run::auto::{AutoPhase, AutoPlan};
use enas_run::divergence::Divergence;
use enas_run::memory::MemoryPlan;
use serde::{Deserialize, Serialize};

/// An observer of a run, such as a progress bar or a test; `()` observes nothing.
///
/// An observer cannot change results. It can only end the run early.
pub trait Observer {
    /// Called for every event, on the thread that runs the loop.
    fn event(&mut self, event: &Event<'_>);

    /// Called after every step. `true` writes a checkpoint and ends the run with [`enas_run::Error::Interrupted`].
    fn should_stop(&self) -> bool {
        false
    }
}

/// Observes nothing.
impl Observer for () {
    fn event(&mut self, _: &Event<'_>) {}
}

/// The phase that a run is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Phase 1: trains the weights ω of the child.
    Child,
    /// Phase 2: trains the policy's parameters θ (search only).
    Controller,
    /// Scores arcs with the shared weights at the end (search only).
    Select,
}

/// A position in a run, counted from 1 for display: after the first step it is `epoch: 1, step: 1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The current epoch, counted from 1.
    pub epoch: u64,
    /// Epochs planned. A time limit can change it during the run.
    pub epochs: u64,
    /// The step within the epoch and phase, counted from 1.
    pub step: u64,
    /// Steps of this phase in one epoch.
    pub steps: u64,
}

impl Position {
    /// Steps of this phase since the start of the run.
    pub(crate) fn overall(&self) -> u64 {
        (self.epoch - 1) * self.steps + self.step
    }
}

/// An event of a run.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// An automatic run has planned its phases.
    Planned(&'a AutoPlan),
    /// An automatic run enters a phase, or skips one that an earlier session finished.
    Phase(AutoPhase),
    /// The memory plan of the run.
    Memory(&'a MemoryPlan),
    /// The run is set up; no step has been computed.
    Started {
        /// The run directory.
        run: &'a Path,
        /// The network, one line per cell.
        plan: String,
        /// Trained weights of the child, without the auxiliary head.
        params: usize,
        /// Weights of the auxiliary head.
        aux_params: usize,
        /// Multiply-adds per image of the fixed arc; `None` for shared weights, where every arc has its own number.
        macs: Option<u64>,
        /// Epochs planned.
        epochs: u64,
        /// Child steps per epoch.
        steps: u64,
        /// The position that a resumed run continues from.
        resumed: Option<Position>,
        /// Seconds until the time limit, if there is one.
        seconds_left: Option<f64>,
    },
    /// A warm start: the training begins with weights of another network.
    WarmStart {
        /// Number of weight tensors taken over, because their names and shapes agree.
        taken: usize,
        /// Number of weight tensors of the network.
        of: usize,
    },
    /// One step of the child's optimiser.
    Step {
        /// The position.
        place: Position,
        /// Mean cross entropy of the main classifier over the minibatch, in nats.
        loss: f32,
        /// Accuracy on the minibatch, 0 to 1.
        accuracy: f32,
        /// Learning rate.
        lr: f32,
        /// Training images per second over this step, including loading.
        images_per_second: f64,
    },
    /// One step of the strategy; for a policy, one optimiser step on θ.
    ControllerStep {
        /// The position.
        place: Position,
        /// Mean accuracy of the step's arcs on validation minibatches, or mean macro-F1 if that is the reward.
        accuracy: f32,
        /// Mean reward, including the entropy bonus.
        reward: f32,
        /// The moving-average baseline after the step; `None` without a policy.
        baseline: Option<f32>,
        /// Mean entropy of the policy over the step's arcs, in nats; `None` without a policy.
        entropy: Option<f32>,
    },
    /// An epoch is complete.
    Epoch(&'a EpochSummary),
    /// Another arc was scored on the whole validation split.
    Selecting {
        /// Arcs scored.
        done: usize,
        /// Arcs to score.
        total: usize,
        /// Accuracy of the strategy's best arc so far, 0 to 1.
        best: f64,
    },
    /// A search has decided on its phases.
    SearchPlanned(SearchPlan),
    /// The policy or population collapsed. It starts anew, and one epoch of fair draws follows.
    PolicyCollapsed {
        /// What collapsed: `policy` or `population`.
        noun: &'static str,
        /// The observation, in words.
        what: &'a str,
    },
    /// One step of a candidate's network in the finals.
    Trial {
        /// The round, counted from 1, of three.
        round: u64,
        /// The network within the round, counted from 1.
        number: u64,
        /// Number of networks in the round, or in this part of it.
        of: u64,
        /// Steps completed, including earlier rounds.
        step: u64,
        /// Steps at the end of the round.
        steps: u64,
        /// Mean cross entropy over the minibatch, in nats.
        loss: f32,
    },
    /// A checkpoint was written.
    Saved {
        /// The checkpoint file.
        path: &'a Path,
    },
    /// The run diverged. It continues from the end of epoch `epoch` with lower learning rates.
    WentBack {
        /// The cause.
        divergence: &'a Divergence,
        /// Epochs that are complete.
        epoch: u64,
    },
    /// The network was measured and a refit begins.
    Refit {
        /// Number of training images in the refit.
        images: usize,
        /// Epochs of the refit.
        epochs: u64,
    },
    /// The time limit changed the number of epochs.
    Replanned {
        /// The new total number of epochs.
        epochs: u64,
    },
    /// Early stopping: `run.patience` epochs in a row were not better than the best one.
    RanOutOfPatience {
        /// Epochs since the best one.
        epochs: u64,
    },
    /// The run is complete and all its files are written.
    Finished {
        /// Accuracy of the result on the validation split, 0 to 1.
        valid_accuracy: f64,
    },
}

/// The phases of a search with finals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SearchPlan {
    /// Whether there are enough steps for shared weights and a policy. If not, the search consists of the finals
    /// alone.
    pub shares_weights: bool,
    /// Training steps available for the shared weights.
    pub steps: u64,
    /// Steps of the warm-up.
    pub warmup_steps: u64,
    /// Number of candidates in the finals.
    pub candidates: usize,
    /// Number of validation images that no choice uses and that the result is reported on.
    pub reporting: usize,
}

/// Summary of an epoch.
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
    /// Accuracy on the training minibatches at the time of their steps, 0 to 1.
    pub train_accuracy: f64,
    /// Accuracy on the whole validation split, 0 to 1: of the policy's most likely arc (search) or of the network
    /// (train). `None` in a refit, which trains on these images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid_accuracy: Option<f64>,
    /// The best `valid_accuracy` so far.
    pub best_valid_accuracy: f64,
    /// Macro-F1 on the same images, if that is the metric.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid_macro_f1: Option<f64>,
    /// Summary of the strategy's steps (search only).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<PolicySummary>,
    /// Wall time of the epoch in seconds.
    pub seconds: f64,
    /// Seconds of it that training waited for batches, in the present session.
    pub waited_seconds: f64,
}

/// Summary of the strategy's steps in an epoch.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct PolicySummary {
    /// Mean accuracy of the sampled arcs on validation minibatches, or mean macro-F1 if that is the reward.
    pub accuracy: f64,
    /// Mean reward.
    pub reward: f64,
    /// Baseline at the end of the epoch; `None` without a policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub baseline: Option<f64>,
    /// Mean entropy, in nats; `None` without a policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entropy: Option<f64>,
    /// Shares of the operations among the sampled choices, `[kinds][operations]`: normal and reduction cells, or a
    /// single list in the macro space. Each list sums to 1 and is indexed by [`enas_arc::Op::id`] or
    /// [`enas_arc::MacroOp::id`].
    pub op_frequencies: Vec<Vec<f64>>,
    /// The strategy's favourite at the end of the epoch, such as the policy's most likely arc; `None` for strategies
    /// without learning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub greedy: Option<Arch>,
}
