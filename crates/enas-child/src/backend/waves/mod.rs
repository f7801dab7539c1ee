//! A cell computed in micro-batches, with batch norm over the whole batch.
//!
//! A batch norm needs the statistics of all images before anything behind it can be computed. So the cell is
//! evaluated in several rounds ("waves"), each over all micro-batches in order. Method outline:
//!
//! 1. A round computes every value that depends only on known statistics. All other values are *unknown*: they have a
//!    shape, but no data.
//! 2. A conv block whose inputs are known, but not its statistics, adds this micro-batch to its sums.
//! 3. At the end of the round those sums are complete and become statistics. If a block had unknown inputs, another
//!    round follows. The number of rounds is the largest number of batch norms in sequence.
//!
//! The backward pass works in the same way with the two sums that the gradient of a batch norm needs.

mod operations;

use std::cell::{Cell, Ref, RefCell, RefMut};
use std::ops::Range;

use super::{ConvBlock, Grouped, Shape};

/// A map or value of the current micro-batch. It is unknown while it depends on statistics that are not complete.
#[derive(Clone)]
pub(crate) struct Part<T> {
    shape: Shape,
    known: Option<T>,
}

impl<T> Part<T> {
    pub(crate) fn known(shape: Shape, value: T) -> Self {
        Self { shape, known: Some(value) }
    }

    /// # Panics
    /// If it is still unknown.
    pub(crate) fn get(&self) -> &T {
        self.known.as_ref().expect("all statistics were found before")
    }
}

/// A conv block of the cell. Blocks are numbered in the order in which the cell evaluates them.
struct UnitState<G: Grouped> {
    block: ConvBlock,
    moments: Option<G::Moments>,
    /// The sums of this round, if the block adds to them.
    sums: Option<G::Sums>,
    gradient: Option<G::GradientSums>,
    gradient_is_known: bool,
    total: G::Total,
}

/// A conv block with the statistics that the rounds have found.
pub(crate) struct Known<G: Grouped> {
    pub(crate) block: ConvBlock,
    pub(crate) moments: G::Moments,
}

/// A backend that wraps a device and shows it one micro-batch at a time.
pub(crate) struct Waves<'a, G: Grouped> {
    inner: &'a G,
    /// Number of images of the whole batch.
    n: usize,
    /// The groups of the current micro-batch.
    groups: RefCell<Range<usize>>,
    units: RefCell<Vec<UnitState<G>>>,
    /// Number of the next conv block to be evaluated.
    at: Cell<usize>,
    /// Whether this round met a block that it could do nothing for, because its input was unknown.
    blocked: Cell<bool>,
    /// Whether gradients of parameters are added up: in the last round only.
    collects: Cell<bool>,
}

impl<'a, G: Grouped> Waves<'a, G> {
    /// For a batch of `n` images; `known` are the blocks whose statistics an earlier pass found.
    pub(crate) fn new(inner: &'a G, n: usize, known: Vec<Known<G>>) -> Self {
        let units = known.into_iter().map(|k| UnitState::new(k.block, Some(k.moments))).collect();
        Self {
            inner,
            n,
            groups: RefCell::new(0..0),
            units: RefCell::new(units),
            at: Cell::new(0),
            blocked: Cell::new(false),
            collects: Cell::new(false),
        }
    }

    /// Starts the next micro-batch.
    pub(crate) fn show(&self, groups: Range<usize>) {
        *self.groups.borrow_mut() = groups;
        self.at.set(0);
    }

    /// Ends a round: its sums become statistics. Returns whether another round is needed.
    pub(crate) fn end(&self) -> bool {
        for unit in self.units.borrow_mut().iter_mut() {
            if let Some(sums) = unit.sums.take() {
                unit.moments = Some(self.inner.moments(&sums));
            }
            unit.gradient_is_known = unit.gradient.is_some();
        }
        self.blocked.replace(false)
    }

    /// The wrapped device.
    pub(crate) fn inner(&self) -> &'a G {
        self.inner
    }

    /// From now on gradients of parameters are added up.
    pub(crate) fn collect(&self) {
        self.collects.set(true);
    }

    /// The statistics that the forward rounds found.
    pub(crate) fn into_known(self) -> Vec<Known<G>> {
        let of_unit = |unit: UnitState<G>| {
            let moments = unit.moments.expect("the waves went on until all statistics were known");
            Known { block: unit.block, moments }
        };
        self.units.into_inner().into_iter().map(of_unit).collect()
    }

    /// Adds the gradients of the parameters to `into`. The last block comes first, as in a backward pass over the
    /// whole batch.
    pub(crate) fn hand_over(self, into: &mut G::Gradients) {
        for unit in self.units.into_inner().into_iter().rev() {
            if unit.gradient.is_some() {
                self.inner.collect_total(&unit.block, unit.total, into);
            }
        }
    }

    /// The number of the next conv block, which is new in the first micro-batch of the first round.
    fn next_unit(&self, block: &ConvBlock) -> usize {
        let index = self.at.replace(self.at.get() + 1);
        let mut units = self.units.borrow_mut();
        if index == units.len() {
            units.push(UnitState::new(block.clone(), None));
        }
        index
    }

    fn unit(&self, index: usize) -> Ref<'_, UnitState<G>> {
        Ref::map(self.units.borrow(), |units| &units[index])
    }

    fn unit_mut(&self, index: usize) -> RefMut<'_, UnitState<G>> {
        RefMut::map(self.units.borrow_mut(), |units| &mut units[index])
    }
}

impl<G: Grouped> UnitState<G> {
    fn new(block: ConvBlock, moments: Option<G::Moments>) -> Self {
        let (sums, gradient) = (None, None);
        Self { block, moments, sums, gradient, gradient_is_known: false, total: G::Total::default() }
    }
}

impl<G: Grouped> Waves<'_, G> {
    /// Whether the sums for a block's gradient are known. If not, adds those of the current groups.
    fn add_or_know(&self, index: usize, out: &G::Value, grad: &G::Map) -> bool {
        let mut unit = self.unit_mut(index);
        if unit.gradient_is_known {
            return true;
        }
        let UnitState { block, moments, gradient, .. } = &mut *unit;
        let sums = gradient.get_or_insert_with(|| self.inner.no_gradient_sums(block));
        let moments = moments.as_ref().expect("the way forward found all statistics");
        self.inner.add_gradient(out, moments, grad, sums);
        false
    }

    fn propagate(
        &self,
        index: usize,
        block: &ConvBlock,
        inputs: &[Part<G::Value>],
        out: &Part<G::Value>,
        grad: &G::Map,
        targets: Option<&mut [Option<G::Map>]>,
    ) {
        let inputs: Vec<G::Value> = inputs.iter().map(|input| input.get().clone()).collect();
        // Earlier rounds drop the gradients of parameters.
        let mut total = if self.collects.get() {
            std::mem::take(&mut self.unit_mut(index).total)
        } else {
            G::Total::default()
        };
        {
            let unit = self.unit(index);
            let moments = unit.moments.as_ref().expect("the way forward found all statistics");
            let sums = unit.gradient.as_ref().expect("known means that they are there");
            self.inner.unit_backward_given(
                block,
                &inputs,
                out.get(),
                moments,
                sums,
                grad,
                targets,
                &mut total,
            );
        }
        if self.collects.get() {
            self.unit_mut(index).total = total;
        }
    }
}
