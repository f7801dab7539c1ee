//! How the cells of a training pass are evaluated: activation checkpointing per cell, with micro-batches if wanted.
//!
//! 1. [`StoreAll`]: record every activation on the way forward.
//! 2. [`PerCell`]: store only each cell's inputs and outputs, and recompute its inside during the backward pass.
//! 3. [`MicroBatched`]: like 2, but evaluate each cell micro-batch by micro-batch, forward and backward.
//!
//! Results are identical bit for bit. The strategies differ in memory and in the number of forward computations.

mod micro_batch;

use std::cell::RefCell;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use self::micro_batch::BatchSplit;
use crate::autograd::{CellInputs, CheckpointedCell, Grads, Tape};
use crate::backend::{Forward, LayerStats, MicroBatchBackend, Train};
use crate::error::Error;
use crate::network::cell::CellStep;

/// What a training step recomputes during its backward pass instead of storing it (activation checkpointing). Results
/// do not depend on it, bit for bit; only memory and time do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Recompute {
    /// Nothing: store every activation. Least computation, most memory.
    #[default]
    Nothing,
    /// The inside of each cell: store only the inputs and outputs of cells.
    Cells,
    /// The inside of each cell, in micro-batches of at most this many groups of 16 images. Batch norm still uses the
    /// statistics of the whole batch. That costs one extra pass over the cell for each batch norm that depends on
    /// another one.
    Groups(usize),
}

impl Recompute {
    /// The strategy to evaluate cells for a batch of `n` images.
    pub(crate) fn strategy<'g, G: MicroBatchBackend + 'g>(self, n: usize) -> Box<dyn Checkpointing<G> + 'g> {
        match self {
            Self::Nothing => Box::new(StoreAll),
            Self::Cells => Box::new(PerCell),
            Self::Groups(groups) => Box::new(MicroBatched::new(n, groups)),
        }
    }

    /// The strategy if gradients are asked for later. [`MicroBatched`] keeps statistics from the forward pass for the
    /// backward pass, and a recording does not hold those. So micro-batches become cells.
    pub(crate) fn recording_strategy<'b, B: Train + 'b>(self) -> Box<dyn Checkpointing<B> + 'b> {
        match self {
            Self::Nothing => Box::new(StoreAll),
            Self::Cells | Self::Groups(_) => Box::new(PerCell),
        }
    }
}

/// A strategy to evaluate the cells of a network.
pub(crate) trait Checkpointing<B: Forward> {
    /// Evaluates a cell and returns the pair that the next cell reads.
    fn forward(
        &self,
        tape: &mut Tape<'_, B>,
        step: &CellStep<'_>,
        pair: CellInputs<B>,
    ) -> Result<CellInputs<B>, Error>;

    /// Propagates the gradients of a skipped cell's outputs to its inputs and its parameters.
    fn backward(
        &self,
        backend: &B,
        step: &CellStep<'_>,
        skipped: CheckpointedCell<B>,
        grads: &mut Grads<B>,
        into: &mut B::Gradients,
    ) -> Result<(), Error>;
}

/// Stores every activation.
pub(crate) struct StoreAll;

impl<B: Forward> Checkpointing<B> for StoreAll {
    fn forward(
        &self,
        tape: &mut Tape<'_, B>,
        step: &CellStep<'_>,
        pair: CellInputs<B>,
    ) -> Result<CellInputs<B>, Error> {
        step.block.forward(tape, step.cell, pair, step.drop_path)
    }

    fn backward(
        &self,
        _: &B,
        _: &CellStep<'_>,
        _: CheckpointedCell<B>,
        _: &mut Grads<B>,
        _: &mut B::Gradients,
    ) -> Result<(), Error> {
        unreachable!("no cell was skipped")
    }
}

/// Recomputes the inside of each cell.
pub(crate) struct PerCell;

impl<B: Train> Checkpointing<B> for PerCell {
    fn forward(
        &self,
        tape: &mut Tape<'_, B>,
        step: &CellStep<'_>,
        pair: CellInputs<B>,
    ) -> Result<CellInputs<B>, Error> {
        tape.skip(step.index, &pair.clone(), |tape| step.block.forward(tape, step.cell, pair, step.drop_path))
    }

    fn backward(
        &self,
        backend: &B,
        step: &CellStep<'_>,
        skipped: CheckpointedCell<B>,
        grads: &mut Grads<B>,
        into: &mut B::Gradients,
    ) -> Result<(), Error> {
        let mut tape = Tape::from(backend, skipped.first, true);
        step.block.forward(&mut tape, step.cell, skipped.inputs, step.drop_path)?;
        tape.backward(&[], grads, into, &|_, _, _| unreachable!("nothing was skipped inside a cell"))
    }
}

/// Recomputes the inside of each cell, one micro-batch at a time.
pub(crate) struct MicroBatched<G: MicroBatchBackend> {
    split: BatchSplit,
    /// The batch statistics that the forward pass found, by cell index.
    layer_stats: RefCell<BTreeMap<usize, Vec<LayerStats<G>>>>,
}

impl<G: MicroBatchBackend> MicroBatched<G> {
    /// For a batch of `n` images in micro-batches of at most `groups` groups of sixteen.
    pub(crate) fn new(n: usize, groups: usize) -> Self {
        Self { split: BatchSplit::new(n, groups), layer_stats: RefCell::default() }
    }
}

impl<G: MicroBatchBackend> Checkpointing<G> for MicroBatched<G> {
    fn forward(
        &self,
        tape: &mut Tape<'_, G>,
        step: &CellStep<'_>,
        pair: CellInputs<G>,
    ) -> Result<CellInputs<G>, Error> {
        let (pair, layer_stats) = tape
            .skip(step.index, &pair.clone(), |tape| micro_batch::forward(tape, step, &pair, &self.split))?;
        self.layer_stats.borrow_mut().insert(step.index, layer_stats);
        Ok(pair)
    }

    fn backward(
        &self,
        backend: &G,
        step: &CellStep<'_>,
        skipped: CheckpointedCell<G>,
        grads: &mut Grads<G>,
        into: &mut G::Gradients,
    ) -> Result<(), Error> {
        let layer_stats = self.layer_stats.borrow_mut().remove(&step.index);
        let layer_stats = layer_stats.expect("the way forward went through every cell");
        micro_batch::backward(backend, step, &skipped, layer_stats, &self.split, grads, into)
    }
}
