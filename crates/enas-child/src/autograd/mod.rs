//! Reverse-mode differentiation of the network: a tape records the forward pass and is replayed backwards.
//!
//! Candle's own backward pass adds every gradient to a new map of zeros, which costs three passes over memory. This
//! tape knows the five operations of the network, and each kernel adds to its gradient in place. The tape knows
//! neither arcs nor where operations are computed. It knows cells only because they may be skipped and recomputed on
//! the way back (activation checkpointing).
//!
//! Method outline, backward:
//!
//! 1. Visit the recorded nodes last to first. A node takes the gradient of its output out of `grads`, which frees it.
//! 2. The kernel adds to the gradients of the node's inputs, or creates those that do not exist.
//! 3. A conv block whose input comes from the directly preceding conv block computes that block's batch-norm sums as it
//!    writes the gradient.
//! 4. A skipped cell is recomputed by the caller's closure, which replays a tape of its own.

mod backward;
mod recorded;
mod tape;

use enas_kernels::Pool;

pub(crate) use self::recorded::Recorded;
pub(crate) use self::tape::Tape;
use crate::backend::Forward;
use crate::error::Error;
use crate::layer::ConvLayer;

/// A value of the network and its place on the tape.
pub(crate) struct TapeValue<B: Forward> {
    pub(crate) id: usize,
    pub(crate) value: B::Activation,
}

/// One side of the pair that a cell reads: one value, or several to be concatenated along channels.
pub(crate) type CellInput<B> = Vec<TapeValue<B>>;

/// The two inputs of a cell: the output of the cell before the last, and of the last cell.
pub(crate) type CellInputs<B> = (CellInput<B>, CellInput<B>);

/// The gradients that exist so far, indexed by the place of their value on the tape.
pub(crate) type Grads<B> = Vec<Option<<B as Forward>::FeatureMap>>;

/// A cell that was evaluated without recording: what it takes to evaluate it again.
pub(crate) struct CheckpointedCell<B: Forward> {
    /// Index of the cell.
    pub(crate) cell: usize,
    /// The place of the first value it made. A second evaluation starts there and gives its values the same places.
    pub(crate) first: usize,
    /// The values it read.
    pub(crate) inputs: CellInputs<B>,
}

/// Recomputes a skipped cell and propagates gradients through it.
pub(crate) type RecomputeCell<'f, B> =
    dyn Fn(CheckpointedCell<B>, &mut Grads<B>, &mut <B as Forward>::Gradients) -> Result<(), Error> + 'f;

impl<B: Forward> Clone for TapeValue<B> {
    fn clone(&self) -> Self {
        Self { id: self.id, value: self.value.clone() }
    }
}

/// One side of a sum: a value, and one factor per image (`[n]`) if drop-path is on.
pub(crate) type Summand<B> = (TapeValue<B>, Option<<B as Forward>::Vector>);

/// Propagates the gradient of a value to the values it was made of, and adds those of parameters.
type Propagate<B> =
    Box<dyn FnOnce(&B, &<B as Forward>::FeatureMap, &mut Grads<B>, &mut <B as Forward>::Gradients) + Send>;

/// A recorded conv block.
struct ConvBlockNode<B: Forward> {
    inputs: Vec<TapeValue<B>>,
    block: ConvLayer,
    batch_stats: B::BatchStats,
    out: TapeValue<B>,
}

/// A recorded operation, with what its gradient needs.
enum Node<B: Forward> {
    ConvBlock(ConvBlockNode<B>),
    Pool { pool: Pool, input: TapeValue<B>, out: usize },
    Add { a: Summand<B>, b: Summand<B>, out: usize },
    Concat { inputs: Vec<TapeValue<B>>, out: usize },
    Mean { inputs: Vec<TapeValue<B>>, slot: usize },
    CheckpointedCell(CheckpointedCell<B>),
    Other { out: usize, propagate: Propagate<B> },
}

fn values<B: Forward>(vars: &[TapeValue<B>]) -> Vec<B::Activation> {
    vars.iter().map(|v| v.value.clone()).collect()
}
