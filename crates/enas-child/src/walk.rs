//! How the cells of a training pass are evaluated: all at once and recorded, or once forward and again on the way back.
//!
//! Results are the same to the bit. What differs is how much of a cell's inside is in memory at a time, and how often
//! it is computed.

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

/// What a training step computes again on its way back, rather than keep it from its way forward. No result depends on
/// it, to the bit: only memory and time do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Recompute {
    /// Nothing: every activation is kept. The fastest way and the one that takes most memory.
    #[default]
    Nothing,
    /// The inside of each cell: kept are what cells read and give.
    Cells,
    /// The inside of each cell, and that for at most so many groups of sixteen images at a time. Statistics of batch
    /// norms are of the whole batch nevertheless, which takes a pass over the cell for each batch norm that lies behind
    /// another one.
    Groups(usize),
}

/// One cell of a network in one pass.
#[derive(Clone, Copy)]
pub(crate) struct CellStep<'a> {
    pub(crate) index: usize,
    pub(crate) block: &'a CellBlock,
    pub(crate) cell: &'a Cell,
    pub(crate) drop_path: Option<DropPath<'a>>,
}

/// A way to evaluate the cells of a network.
pub(crate) trait Walk<B: Backend> {
    /// The pair that the next cell reads.
    fn forward(&self, tape: &mut Tape<'_, B>, step: &CellStep<'_>, pair: Pair<B>) -> Result<Pair<B>, Error>;

    /// Propagates the gradients of what a skipped cell gave to what it read, and to its parameters.
    fn backward(
        &self,
        backend: &B,
        step: &CellStep<'_>,
        skipped: Skipped<B>,
        grads: &mut Grads<B>,
        into: &mut B::Gradients,
    ) -> Result<(), Error>;
}

/// Everything is kept.
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

/// The inside of each cell is computed again.
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

/// The inside of each cell is computed again, some groups of images at a time.
pub(crate) struct InParts<G: Grouped> {
    parts: Parts,
    /// The statistics that the way forward found, by cell.
    moments: RefCell<BTreeMap<usize, Vec<UnitMoments<G>>>>,
}

impl<G: Grouped> InParts<G> {
    /// For a batch of `n` images, at most `groups` groups of sixteen of them at a time.
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
