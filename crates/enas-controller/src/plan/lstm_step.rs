//! The layout of a tape: the steps of a plan with the positions of what they read and write.

use std::ops::Range;

use super::step::PlanStep;

/// A [`PlanStep`] with the positions of what it reads and writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LstmStep {
    /// `slot` numbers the states that some decision reads; other states have none.
    Key {
        slot: Option<usize>,
        feeds: bool,
    },
    Index(IndexDecision),
    Op(OpDecision),
}

/// An index decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IndexDecision {
    pub(crate) decision: usize,
    pub(crate) n_choices: usize,
    /// Its number among the index decisions.
    pub(crate) query: usize,
    /// The slot of its first state.
    pub(crate) slot: usize,
    /// The position of its pair with that state; its other pairs follow.
    pub(crate) pair: usize,
}

/// An operation decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OpDecision {
    pub(crate) decision: usize,
    pub(crate) n_choices: usize,
    /// The first operation of the vocabulary that it offers.
    pub(crate) first: usize,
}

impl OpDecision {
    /// The operations that it offers.
    pub(crate) fn range(self) -> Range<usize> {
        self.first..self.first + self.n_choices
    }
}

/// How many of each thing a plan has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PlanSizes {
    pub(crate) steps: usize,
    pub(crate) decisions: usize,
    /// States that some decision reads.
    pub(crate) states: usize,
    /// Index decisions.
    pub(crate) queries: usize,
    /// Pairs of an index decision and a state that it can choose.
    pub(crate) pairs: usize,
    /// Largest number of choices of a decision.
    pub(crate) width: usize,
    pub(crate) vocabulary: usize,
}

/// Every step with its positions, and the number of steps of each kind.
pub(super) fn lay_out(steps: &[PlanStep]) -> (Vec<LstmStep>, PlanSizes) {
    let slots = slots(steps);
    let mut sizes =
        PlanSizes { steps: steps.len(), states: slots.iter().flatten().count(), ..PlanSizes::default() };
    let mut state = 0;
    let lay_out_step = |step: &PlanStep| match *step {
        PlanStep::Key { feeds } => {
            state += 1;
            LstmStep::Key { slot: slots[state - 1], feeds }
        }
        PlanStep::Index { decision, first, n_choices } => {
            let slot = slots[first].expect("a state that is read has a slot");
            let index = IndexDecision { decision, n_choices, query: sizes.queries, slot, pair: sizes.pairs };
            sizes.queries += 1;
            sizes.pairs += n_choices;
            sizes.decisions += 1;
            LstmStep::Index(index)
        }
        PlanStep::Op { decision, first, n_choices } => {
            sizes.decisions += 1;
            LstmStep::Op(OpDecision { decision, n_choices, first })
        }
    };
    let lstm_steps = steps.iter().map(lay_out_step).collect();
    (lstm_steps, sizes)
}

/// The slot of each state: its number among those that some decision reads.
fn slots(steps: &[PlanStep]) -> Vec<Option<usize>> {
    let states = steps.iter().filter(|step| matches!(step, PlanStep::Key { .. })).count();
    let mut read = vec![false; states];
    for step in steps {
        if let PlanStep::Index { first, n_choices, .. } = *step {
            read[first..first + n_choices].fill(true);
        }
    }
    let mut slots = 0..;
    read.into_iter().map(|read| read.then(|| slots.next()).flatten()).collect()
}

/// The longest ranges of slots whose states feed the LSTM.
pub(super) fn fed_ranges(lstm_steps: &[LstmStep]) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = vec![];
    for step in lstm_steps {
        let LstmStep::Key { slot: Some(slot), feeds: true } = *step else { continue };
        match runs.last_mut() {
            Some(run) if run.end == slot => run.end += 1,
            _ => runs.push(slot..slot + 1),
        }
    }
    runs
}

/// The sizes of a tape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TapeShape {
    /// Width of the LSTM state.
    pub(crate) hidden: usize,
    /// Number of LSTM layers.
    pub(crate) layers: usize,
    /// Number of architectures per rollout, computed in lockstep.
    pub(crate) batch: usize,
    /// The sizes of the plan.
    pub(crate) sizes: PlanSizes,
}

impl TapeShape {
    /// Largest number of choices of a decision.
    pub(crate) fn width(self) -> usize {
        self.sizes.width
    }

    /// Position of the values of a decision's choices, `[batch, width]`.
    pub(crate) fn row(self, decision: usize) -> Range<usize> {
        let size = self.batch * self.width();
        decision * size..(decision + 1) * size
    }
}
