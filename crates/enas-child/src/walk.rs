//! How the cells of a training pass are evaluated: activation checkpointing per cell, with micro-batches if wanted.
//!
//! 1. [`Kept`]: record every activation on the way forward.
//! 2. [`CellByCell`]: store only each cell's inputs and outputs, and recompute its inside during the backward pass.
//! 3. [`InParts`]: like 2, but evaluate each cell micro-batch by micro-batch, forward and backward.
//!
//! Results are identical bit for bit. The strategies differ in memory and in the number of forward computations.

use std::cell::RefCell;
use std::collections::BTreeMap;

use enas_arc::Cell;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::backend::{Backend, Grouped};
use crate::cell::CellBlock;
use crate::noise::DropPath;
use crate::parts::{self, Parts, UnitMoments};
use crate::tape::{Grads, Pair, Skipped, Tape};

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

/// One cell of a network in one pass, with its index in the stack.
#[derive(Clone, Copy)]
pub(crate) struct CellStep<'a> {
    pub(crate) index: usize,
    pub(crate) block: &'a CellBlock,
    pub(crate) cell: &'a Cell,
    pub(crate) drop_path: Option<DropPath<'a>>,
}

/// A strategy to evaluate the cells of a network.
pub(crate) trait Walk<B: Backend> {
    /// Evaluates a cell and returns the pair that the next cell reads.
    fn forward(&self, tape: &mut Tape<'_, B>, step: &CellStep<'_>, pair: Pair<B>) -> Result<Pair<B>, Error>;

    /// Propagates the gradients of a skipped cell's outputs to its inputs and its parameters.
    fn backward(
        &self,
        backend: &B,
        step: &CellStep<'_>,
        skipped: Skipped<B>,
        grads: &mut Grads<B>,
        into: &mut B::Gradients,
    ) -> Result<(), Error>;
}

/// Stores every activation.
pub(crate) struct Kept;

impl<B: Backend> Walk<B> for Kept {
    fn forward(&self, tape: &mut Tape<'_, B>, step: &CellStep<'_>, pair: Pair<B>) -> Result<Pair<B>, Error> {
        step.block.forward(tape, step.cell, pair, step.drop_path)
    }

    fn backward(
        &self,
        _: &B,
        _: &CellStep<'_>,
        _: Skipped<B>,
        _: &mut Grads<B>,
        _: &mut B::Gradients,
    ) -> Result<(), Error> {
        unreachable!("no cell was skipped")
    }
}

/// Recomputes the inside of each cell.
pub(crate) struct CellByCell;

impl<B: Backend> Walk<B> for CellByCell {
    fn forward(&self, tape: &mut Tape<'_, B>, step: &CellStep<'_>, pair: Pair<B>) -> Result<Pair<B>, Error> {
        tape.skip(step.index, &pair.clone(), |tape| step.block.forward(tape, step.cell, pair, step.drop_path))
    }

    fn backward(
        &self,
        backend: &B,
        step: &CellStep<'_>,
        skipped: Skipped<B>,
        grads: &mut Grads<B>,
        into: &mut B::Gradients,
    ) -> Result<(), Error> {
        let mut tape = Tape::from(backend, skipped.first, true);
        step.block.forward(&mut tape, step.cell, skipped.inputs, step.drop_path)?;
        tape.backward(&[], grads, into, &|_, _, _| unreachable!("nothing was skipped inside a cell"))
    }
}

/// Recomputes the inside of each cell, one micro-batch at a time.
pub(crate) struct InParts<G: Grouped> {
    parts: Parts,
    /// The batch statistics that the forward pass found, by cell index.
    moments: RefCell<BTreeMap<usize, Vec<UnitMoments<G>>>>,
}

impl<G: Grouped> InParts<G> {
    /// For a batch of `n` images in micro-batches of at most `groups` groups of sixteen.
    pub(crate) fn new(n: usize, groups: usize) -> Self {
        Self { parts: Parts::new(n, groups), moments: RefCell::default() }
    }
}

impl<G: Grouped> Walk<G> for InParts<G> {
    fn forward(&self, tape: &mut Tape<'_, G>, step: &CellStep<'_>, pair: Pair<G>) -> Result<Pair<G>, Error> {
        let (pair, moments) =
            tape.skip(step.index, &pair.clone(), |tape| parts::forward(tape, step, &pair, &self.parts))?;
        self.moments.borrow_mut().insert(step.index, moments);
        Ok(pair)
    }

    fn backward(
        &self,
        backend: &G,
        step: &CellStep<'_>,
        skipped: Skipped<G>,
        grads: &mut Grads<G>,
        into: &mut G::Gradients,
    ) -> Result<(), Error> {
        let moments = self.moments.borrow_mut().remove(&step.index);
        let moments = moments.expect("the way forward went through every cell");
        parts::backward(backend, step, &skipped, moments, &self.parts, grads, into)
    }
}
