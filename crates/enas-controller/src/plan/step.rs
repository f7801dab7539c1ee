//! The kinds of LSTM steps of a plan.

/// What the LSTM's output is used for at one of its steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlanStep {
    /// It becomes the attention key of the next state: the first such step of a plan makes state 0.
    Key {
        /// Whether a choice of this state feeds this output to the LSTM's next step. If not, zeros are fed, as for
        /// the two inputs of an ENAS cell (`micro_controller.py:138`).
        feeds: bool,
    },
    /// It chooses one of several consecutive states, by attention; choice `c` means state `first + c`.
    Index {
        /// The decision, from 0.
        decision: usize,
        /// The first state to choose from.
        first: usize,
        /// Number of states to choose from.
        n_choices: usize,
    },
    /// It chooses one of several consecutive operations; choice `c` means operation `first + c` of the vocabulary.
    Op {
        /// The decision, from 0.
        decision: usize,
        /// The first operation to choose from.
        first: usize,
        /// Number of operations to choose from.
        n_choices: usize,
    },
}
