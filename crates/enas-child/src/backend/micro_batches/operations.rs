//! The operations of a network on one micro-batch: computed if everything they read is known.

use enas_kernels::{LANES, Pool};

use super::{MicroBatches, Part};
use crate::backend::{Backend, ConvLayer, MicroBatchBackend, Shape, Statistics, Term};
use crate::head::Classifier;
use crate::noise::Noise;
use crate::params::Params;

/// All of them, or `None` if one is unknown.
fn all<T: Clone>(parts: &[Part<T>]) -> Option<Vec<T>> {
    parts.iter().map(|part| part.known.clone()).collect()
}

/// Adds to the gradient at `target` with `add`. The result is unknown if either term is unknown.
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

impl<G: MicroBatchBackend> Backend for MicroBatches<'_, G> {
    type FeatureMap = Part<G::FeatureMap>;
    type Activation = Part<G::Activation>;
    /// The number of the conv block.
    type BatchStats = usize;
    type Vector = G::Vector;
    type Labels = ();
    /// Kept per conv block, in [`MicroBatches`].
    type Gradients = ();
    type Loss = ();

    fn params(&self) -> &Params {
        self.inner.params()
    }

    fn plain(&self, map: Part<G::FeatureMap>) -> Part<G::Activation> {
        Part { shape: map.shape, known: map.known.map(|map| self.inner.plain(map)) }
    }

    fn shape(&self, value: &Part<G::Activation>) -> Shape {
        value.shape
    }

    fn conv_block(
        &self,
        block: &ConvLayer,
        inputs: &[Part<G::Activation>],
        _: Statistics,
    ) -> (Part<G::Activation>, Option<usize>) {
        let index = self.next_layer(block);
        let shape = block.output(inputs[0].shape);
        let Some(inputs) = all(inputs) else {
            self.blocked.set(true);
            return (Part { shape, known: None }, Some(index));
        };
        let mut layer = self.layer_mut(index);
        let known = match &layer.moments {
            Some(moments) => Some(self.inner.conv_block_given(block, &inputs, moments)),
            // LayerStats inputs, unknown statistics: this round adds them up, and the next one computes the output.
            None => {
                let sums = layer.sums.get_or_insert_with(|| self.inner.no_sums(block));
                self.inner.add_batch_stats(block, &inputs, sums);
                None
            }
        };
        (Part { shape, known }, Some(index))
    }

    fn conv_block_backward(
        &self,
        block: &ConvLayer,
        inputs: &[Part<G::Activation>],
        out: &Part<G::Activation>,
        moments: &usize,
        grad: &Part<G::FeatureMap>,
        targets: Option<&mut [Option<Part<G::FeatureMap>>]>,
        (): &mut (),
    ) {
        if grad.known.is_none() {
            self.blocked.set(true);
        }
        // Without the complete sums the gradient of the inputs is unknown in this round.
        let known = grad.known.as_ref().filter(|grad| self.add_or_know(*moments, out.get(), grad));
        let mut inner: Vec<Option<G::FeatureMap>> = inputs.iter().map(|_| None).collect();
        let mut targets = targets;
        // Gradients that other readers of an input have added so far move to the wrapped device.
        for (inner, target) in inner.iter_mut().zip(targets.iter_mut().flat_map(|t| t.iter_mut())) {
            *inner = target.as_mut().and_then(|part| part.known.take());
        }
        // A gradient that has lost an unknown term stays unknown, whatever is added now.
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

    fn pool(&self, pool: &Pool, input: &Part<G::Activation>) -> Part<G::FeatureMap> {
        let (n, c, ..) = input.shape;
        let map = input.known.as_ref().map(|input| self.inner.pool(pool, input));
        Part { shape: (n, c, pool.y.out, pool.x.out), known: map }
    }

    fn pool_backward(
        &self,
        pool: &Pool,
        input: &Part<G::Activation>,
        grad: &Part<G::FeatureMap>,
        target: &mut Option<Part<G::FeatureMap>>,
    ) {
        accumulate(target, input.shape, grad.known.is_some(), |target| {
            self.inner.pool_backward(pool, input.get(), grad.get(), target);
        });
    }

    fn add(&self, a: Term<'_, Self>, b: Term<'_, Self>) -> Part<G::FeatureMap> {
        let known = match (&a.0.known, &b.0.known) {
            (Some(x), Some(y)) => Some(self.inner.add((x, a.1), (y, b.1))),
            _ => None,
        };
        Part { shape: a.0.shape, known }
    }

    fn add_backward(
        &self,
        grad: &Part<G::FeatureMap>,
        factors: Option<&G::Vector>,
        target: &mut Option<Part<G::FeatureMap>>,
    ) {
        accumulate(target, grad.shape, grad.known.is_some(), |target| {
            self.inner.add_backward(grad.get(), factors, target);
        });
    }

    fn concat(&self, values: &[Part<G::Activation>]) -> Part<G::FeatureMap> {
        let (n, _, h, w) = values[0].shape;
        let channels = values.iter().map(|value| value.shape.1).sum();
        Part { shape: (n, channels, h, w), known: all(values).map(|values| self.inner.concat(&values)) }
    }

    fn concat_backward(
        &self,
        grad: &Part<G::FeatureMap>,
        values: &[Part<G::Activation>],
        targets: &mut [Option<Part<G::FeatureMap>>],
    ) {
        let Some(grad) = &grad.known else {
            for (target, value) in targets.iter_mut().zip(values) {
                *target = Some(Part { shape: value.shape, known: None });
            }
            return;
        };
        let inner_values: Vec<G::Activation> = values.iter().map(|value| value.get().clone()).collect();
        let mut inner: Vec<Option<G::FeatureMap>> =
            targets.iter_mut().map(|t| t.as_mut().and_then(|part| part.known.take())).collect();
        let spoilt: Vec<bool> = targets.iter().zip(&inner).map(|(t, i)| t.is_some() && i.is_none()).collect();
        self.inner.concat_backward(grad, &inner_values, &mut inner);
        for (i, target) in targets.iter_mut().enumerate() {
            let known = if spoilt[i] { None } else { inner[i].take() };
            *target = Some(Part { shape: values[i].shape, known });
        }
    }

    /// Draws the factors of the whole batch and takes those of the current images, so that results do not depend on
    /// the micro-batch size.
    fn drop_factors(&self, noise: &dyn Noise, name: &str, len: usize, keep: f32) -> G::Vector {
        let first = self.groups.borrow().start * LANES;
        self.inner.images(&self.inner.drop_factors(noise, name, self.n, keep), first..first + len)
    }

    fn gradients(&self) {}

    fn relu_mean(&self, _: &[Part<G::Activation>]) -> G::Vector {
        outside()
    }

    fn relu_mean_backward(
        &self,
        _: &[Part<G::Activation>],
        _: &G::Vector,
        _: &mut [Option<Part<G::FeatureMap>>],
    ) {
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

fn outside() -> ! {
    unreachable!("classifiers lie outside of cells")
}
