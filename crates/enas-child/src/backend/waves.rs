//! A cell seen some groups of images at a time, with batch norms over the whole batch.
//!
//! A batch norm must have seen all images before anything behind it can be computed. So a cell is evaluated in waves:
//! each goes through the groups in order and gets as far as statistics are known. What lies behind is unknown, and the
//! units at the border add up their statistics; after the wave they are known. On the way back it is the same with the
//! two sums that the gradient of a batch norm needs.

use std::cell::{Cell, Ref, RefCell, RefMut};
use std::ops::Range;

use enas_kernels::{LANES, Pool};

use super::{Backend, ConvBlock, Grouped, Shape, Statistics, Term};
use crate::head::Classifier;
use crate::noise::Noise;
use crate::params::Params;

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

/// All of them, or nothing if one is unknown.
fn all<T: Clone>(parts: &[Part<T>]) -> Option<Vec<T>> {
    parts.iter().map(|part| part.known.clone()).collect()
}

/// Adds to the gradient at `target` by `add`; unknown if what is added or what is there is.
fn accumulate<T>(target: &mut Option<Part<T>>, shape: Shape, known: bool, add: impl FnOnce(&mut Option<T>)) {
    let before = target.take();
    let spoilt = !known || before.as_ref().is_some_and(|part| part.known.is_none());
    *target = Some(if spoilt {
        Part { shape, known: None }
    } else {
        let mut inner = before.and_then(|part| part.known);
        add(&mut inner);
        Part { shape, known: inner }
    });
}

impl<G: Grouped> Backend for Waves<'_, G> {
    type Map = Part<G::Map>;
    type Value = Part<G::Value>;
    /// The unit's place.
    type Moments = usize;
    type Vector = G::Vector;
    type Labels = ();
    /// They are kept by unit.
    type Gradients = ();
    type Loss = ();

    fn params(&self) -> &Params {
        self.inner.params()
    }

    fn plain(&self, map: Part<G::Map>) -> Part<G::Value> {
        Part { shape: map.shape, known: map.known.map(|map| self.inner.plain(map)) }
    }

    fn shape(&self, value: &Part<G::Value>) -> Shape {
        value.shape
    }

    fn unit(
        &self,
        block: &ConvBlock,
        inputs: &[Part<G::Value>],
        _: Statistics,
    ) -> (Part<G::Value>, Option<usize>) {
        let index = self.next_unit(block);
        let shape = block.output(inputs[0].shape);
        let Some(inputs) = all(inputs) else {
            self.blocked.set(true);
            return (Part { shape, known: None }, Some(index));
        };
        let mut unit = self.unit_mut(index);
        let known = match &unit.moments {
            Some(moments) => Some(self.inner.unit_given(block, &inputs, moments)),
            None => {
                let sums = unit.sums.get_or_insert_with(|| self.inner.no_sums(block));
                self.inner.add_moments(block, &inputs, sums);
                None
            }
        };
        (Part { shape, known }, Some(index))
    }

    fn unit_backward(
        &self,
        block: &ConvBlock,
        inputs: &[Part<G::Value>],
        out: &Part<G::Value>,
        moments: &usize,
        grad: &Part<G::Map>,
        targets: Option<&mut [Option<Part<G::Map>>]>,
        (): &mut (),
    ) {
        if grad.known.is_none() {
            self.blocked.set(true);
        }
        let known = grad.known.as_ref().filter(|grad| self.add_or_know(*moments, out.get(), grad));
        let mut inner: Vec<Option<G::Map>> = inputs.iter().map(|_| None).collect();
        let mut targets = targets;
        for (inner, target) in inner.iter_mut().zip(targets.iter_mut().flat_map(|t| t.iter_mut())) {
            *inner = target.as_mut().and_then(|part| part.known.take());
        }
        // What was spoilt before stays so, whatever is added now.
        let spoilt: Vec<bool> = match &targets {
            Some(targets) => {
                let was = targets.iter().zip(&inner);
                was.map(|(target, inner)| target.is_some() && inner.is_none()).collect()
            }
            None => Vec::new(),
        };
        if let Some(grad) = known {
            self.propagate(*moments, block, inputs, out, grad, targets.is_some().then_some(&mut inner[..]));
        }
        for (i, target) in targets.into_iter().flatten().enumerate() {
            let known = if known.is_some() && !spoilt[i] { inner[i].take() } else { None };
            *target = Some(Part { shape: inputs[i].shape, known });
        }
    }

    fn pool(&self, pool: &Pool, input: &Part<G::Value>) -> Part<G::Map> {
        let (n, c, ..) = input.shape;
        let map = input.known.as_ref().map(|input| self.inner.pool(pool, input));
        Part { shape: (n, c, pool.y.out, pool.x.out), known: map }
    }

    fn pool_backward(
        &self,
        pool: &Pool,
        input: &Part<G::Value>,
        grad: &Part<G::Map>,
        target: &mut Option<Part<G::Map>>,
    ) {
        accumulate(target, input.shape, grad.known.is_some(), |target| {
            self.inner.pool_backward(pool, input.get(), grad.get(), target);
        });
    }

    fn add(&self, a: Term<'_, Self>, b: Term<'_, Self>) -> Part<G::Map> {
        let known = match (&a.0.known, &b.0.known) {
            (Some(x), Some(y)) => Some(self.inner.add((x, a.1), (y, b.1))),
            _ => None,
        };
        Part { shape: a.0.shape, known }
    }

    fn add_backward(
        &self,
        grad: &Part<G::Map>,
        factors: Option<&G::Vector>,
        target: &mut Option<Part<G::Map>>,
    ) {
        accumulate(target, grad.shape, grad.known.is_some(), |target| {
            self.inner.add_backward(grad.get(), factors, target);
        });
    }

    fn concat(&self, values: &[Part<G::Value>]) -> Part<G::Map> {
        let (n, _, h, w) = values[0].shape;
        let channels = values.iter().map(|value| value.shape.1).sum();
        Part { shape: (n, channels, h, w), known: all(values).map(|values| self.inner.concat(&values)) }
    }

    fn concat_backward(
        &self,
        grad: &Part<G::Map>,
        values: &[Part<G::Value>],
        targets: &mut [Option<Part<G::Map>>],
    ) {
        let Some(grad) = &grad.known else {
            for (target, value) in targets.iter_mut().zip(values) {
                *target = Some(Part { shape: value.shape, known: None });
            }
            return;
        };
        let inner_values: Vec<G::Value> = values.iter().map(|value| value.get().clone()).collect();
        let mut inner: Vec<Option<G::Map>> =
            targets.iter_mut().map(|t| t.as_mut().and_then(|part| part.known.take())).collect();
        let spoilt: Vec<bool> = targets.iter().zip(&inner).map(|(t, i)| t.is_some() && i.is_none()).collect();
        self.inner.concat_backward(grad, &inner_values, &mut inner);
        for (i, target) in targets.iter_mut().enumerate() {
            let known = if spoilt[i] { None } else { inner[i].take() };
            *target = Some(Part { shape: values[i].shape, known });
        }
    }

    /// The factors of the whole batch are drawn, whichever images are at hand.
    fn drop_factors(&self, noise: &dyn Noise, name: &str, len: usize, keep: f32) -> G::Vector {
        let first = self.groups.borrow().start * LANES;
        self.inner.images(&self.inner.drop_factors(noise, name, self.n, keep), first..first + len)
    }

    fn gradients(&self) {}

    fn relu_mean(&self, _: &[Part<G::Value>]) -> G::Vector {
        outside()
    }

    fn relu_mean_backward(&self, _: &[Part<G::Value>], _: &G::Vector, _: &mut [Option<Part<G::Map>>]) {
        outside()
    }

    fn scale(&self, _: &G::Vector, _: &G::Vector) -> G::Vector {
        outside()
    }

    fn classify(&self, _: &Classifier, _: &G::Vector) -> G::Vector {
        outside()
    }

    fn classify_backward(&self, _: &Classifier, _: &G::Vector, _: &G::Vector, (): &mut ()) -> G::Vector {
        outside()
    }

    fn cross_entropy(&self, _: &G::Vector, (): &(), _: usize, _: f32) -> ((), G::Vector) {
        outside()
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

fn outside() -> ! {
    unreachable!("classifiers lie outside of cells")
}
