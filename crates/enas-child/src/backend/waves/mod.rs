//! A cell seen some groups of images at a time, with batch norms over the whole batch.
//!
//! A batch norm must have seen all images before anything behind it can be computed. So a cell is evaluated in waves:
//! each goes through the groups in order and gets as far as statistics are known. What lies behind is unknown, and the
//! units at the border add up their statistics; after the wave they are known. On the way back it is the same with the
//! two sums that the gradient of a batch norm needs.

mod operations;

use std::cell::{Cell, Ref, RefCell, RefMut};
use std::ops::Range;

use super::{ConvBlock, Grouped, Shape};

/// A map or value of the groups at hand; unknown while it depends on statistics that are.
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
    /// If the waves have not come so far.
    pub(crate) fn get(&self) -> &T {
        self.known.as_ref().expect("all statistics were found before")
    }
}

/// A unit of the cell, in the order in which the cell asks for them.
struct UnitState<G: Grouped> {
    block: ConvBlock,
    moments: Option<G::Moments>,
    /// Being added up in this wave.
    sums: Option<G::Sums>,
    gradient: Option<G::GradientSums>,
    gradient_is_known: bool,
    total: G::Total,
}

/// What the waves through a cell have found.
pub(crate) struct Known<G: Grouped> {
    pub(crate) block: ConvBlock,
    pub(crate) moments: G::Moments,
}

/// Stands before a device and shows it some groups of a batch at a time.
pub(crate) struct Waves<'a, G: Grouped> {
    inner: &'a G,
    /// Images of the whole batch.
    n: usize,
    groups: RefCell<Range<usize>>,
    units: RefCell<Vec<UnitState<G>>>,
    /// The next unit to be asked for.
    at: Cell<usize>,
    /// Whether this wave met a unit that it could do nothing for yet.
    blocked: Cell<bool>,
    /// Whether gradients of parameters count: in the last wave alone.
    collects: Cell<bool>,
}

impl<'a, G: Grouped> Waves<'a, G> {
    /// For a batch of `n` images; `known` are the units whose statistics were found before.
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

    /// The groups that come next.
    pub(crate) fn show(&self, groups: Range<usize>) {
        *self.groups.borrow_mut() = groups;
        self.at.set(0);
    }

    /// Ends a wave: what it added up is known from now on. Whether another is needed, as units were out of its reach.
    pub(crate) fn end(&self) -> bool {
        for unit in self.units.borrow_mut().iter_mut() {
            if let Some(sums) = unit.sums.take() {
                unit.moments = Some(self.inner.moments(&sums));
            }
            unit.gradient_is_known = unit.gradient.is_some();
        }
        self.blocked.replace(false)
    }

    /// The device.
    pub(crate) fn inner(&self) -> &'a G {
        self.inner
    }

    /// From now on gradients of parameters count.
    pub(crate) fn collect(&self) {
        self.collects.set(true);
    }

    /// What was found on the way forward.
    pub(crate) fn into_known(self) -> Vec<Known<G>> {
        let of_unit = |unit: UnitState<G>| {
            let moments = unit.moments.expect("the waves went on until all statistics were known");
            Known { block: unit.block, moments }
        };
        self.units.into_inner().into_iter().map(of_unit).collect()
    }

    /// Hands the gradients of the parameters to their owners, the last unit's first.
    pub(crate) fn hand_over(self, into: &mut G::Gradients) {
        for unit in self.units.into_inner().into_iter().rev() {
            if unit.gradient.is_some() {
                self.inner.collect_total(&unit.block, unit.total, into);
            }
        }
    }

    /// The next unit.
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
    /// Whether the sums for a unit's gradient are known. If not, those of the groups at hand are added.
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
