//! The operations of a network on one micro-batch: computed if everything they read is known.

use enas_kernels::{LANES, Pool};

use super::{Deferred, MicroBatches};
use crate::backend::{Forward, MicroBatchBackend, Statistics, Term, Train};
use crate::layer::{Classifier, ConvLayer, Shape};
use crate::noise::Noise;
use crate::params::Params;

/// All data, or `None` if one value is unknown.
fn all_known<T: Clone>(values: &[Deferred<T>]) -> Option<Vec<T>> {
    values.iter().map(|value| value.known.clone()).collect()
}

/// Adds to the gradient at `target` with `add`. The result is unknown if either term is unknown.
fn accumulate<T>(
    target: &mut Option<Deferred<T>>,
    shape: Shape,
    known: bool,
    add: impl FnOnce(&mut Option<T>),
) {
    let before = target.take();
    let stays_unknown = !known || before.as_ref().is_some_and(|grad| grad.known.is_none());
    *target = Some(if stays_unknown {
        Deferred { shape, known: None }
    } else {
        let mut inner = before.and_then(|grad| grad.known);
        add(&mut inner);
        Deferred { shape, known: inner }
    });
}

impl<G: MicroBatchBackend> Forward for MicroBatches<'_, G> {
    type FeatureMap = Deferred<G::FeatureMap>;
    type Activation = Deferred<G::Activation>;
    /// The number of the conv block.
    type BatchStats = usize;
    type Vector = G::Vector;
    /// Kept per conv block, in [`MicroBatches`].
    type Gradients = ();

    fn params(&self) -> &Params {
        self.device.params()
    }

    fn plain(&self, map: Deferred<G::FeatureMap>) -> Deferred<G::Activation> {
        Deferred { shape: map.shape, known: map.known.map(|map| self.device.plain(map)) }
    }

    fn shape(&self, value: &Deferred<G::Activation>) -> Shape {
        value.shape
    }

    fn conv_block(
        &self,
        block: &ConvLayer,
        inputs: &[Deferred<G::Activation>],
        _: Statistics,
    ) -> (Deferred<G::Activation>, Option<usize>) {
        let index = self.next_layer(block);
        let shape = block.output(inputs[0].shape);
        let Some(inputs) = all_known(inputs) else {
            self.blocked.set(true);
            return (Deferred { shape, known: None }, Some(index));
        };
        let mut layer = self.layer_mut(index);
        let known = match &layer.batch_stats {
            Some(batch_stats) => Some(self.device.conv_block_with_stats(block, &inputs, batch_stats)),
            // Known inputs, unknown statistics: this pass adds them up, and the next one computes the output.
            None => {
                let sums = layer.sums.get_or_insert_with(|| self.device.empty_sums(block));
                self.device.add_stats_sums(block, &inputs, sums);
                None
            }
        };
        (Deferred { shape, known }, Some(index))
    }

    fn pool(&self, pool: &Pool, input: &Deferred<G::Activation>) -> Deferred<G::FeatureMap> {
        let (n, c, ..) = input.shape;
        let map = input.known.as_ref().map(|input| self.device.pool(pool, input));
        Deferred { shape: (n, c, pool.y.out, pool.x.out), known: map }
    }

    fn add(&self, a: Term<'_, Self>, b: Term<'_, Self>) -> Deferred<G::FeatureMap> {
        let known = match (&a.0.known, &b.0.known) {
            (Some(x), Some(y)) => Some(self.device.add((x, a.1), (y, b.1))),
            _ => None,
        };
        Deferred { shape: a.0.shape, known }
    }

    fn concat(&self, values: &[Deferred<G::Activation>]) -> Deferred<G::FeatureMap> {
        let (n, _, h, w) = values[0].shape;
        let channels = values.iter().map(|value| value.shape.1).sum();
        Deferred {
            shape: (n, channels, h, w),
            known: all_known(values).map(|values| self.device.concat(&values)),
        }
    }

    /// Draws the factors of the whole batch and takes those of the current images, so that results do not depend on
    /// the micro-batch size.
    fn drop_factors(&self, noise: &dyn Noise, name: &str, len: usize, keep: f32) -> G::Vector {
        let first = self.groups.borrow().start * LANES;
        self.device.images(&self.device.drop_factors(noise, name, self.n, keep), first..first + len)
    }

    fn relu_mean(&self, _: &[Deferred<G::Activation>]) -> G::Vector {
        outside()
    }

    fn classify(&self, _: &Classifier, _: &G::Vector) -> G::Vector {
        outside()
    }
}

impl<G: MicroBatchBackend> Train for MicroBatches<'_, G> {
    type Labels = ();
    type Loss = ();

    fn conv_block_backward(
        &self,
        block: &ConvLayer,
        inputs: &[Deferred<G::Activation>],
        out: &Deferred<G::Activation>,
        batch_stats: &usize,
        grad: &Deferred<G::FeatureMap>,
        targets: Option<&mut [Option<Deferred<G::FeatureMap>>]>,
        (): &mut (),
    ) {
        if grad.known.is_none() {
            self.blocked.set(true);
        }
        // Without the complete sums the gradient of the inputs is unknown in this pass.
        let known =
            grad.known.as_ref().filter(|grad| self.gradient_sums_are_complete(*batch_stats, out.get(), grad));
        let mut inner: Vec<Option<G::FeatureMap>> = inputs.iter().map(|_| None).collect();
        let mut targets = targets;
        // Gradients that other readers of an input have added so far move to the wrapped device.
        for (inner, target) in inner.iter_mut().zip(targets.iter_mut().flat_map(|t| t.iter_mut())) {
            *inner = target.as_mut().and_then(|grad| grad.known.take());
        }
        // A gradient that has lost an unknown term stays unknown, whatever is added now.
        let stays_unknown: Vec<bool> = match &targets {
            Some(targets) => {
                let was = targets.iter().zip(&inner);
                was.map(|(target, inner)| target.is_some() && inner.is_none()).collect()
            }
            None => Vec::new(),
        };
        if let Some(grad) = known {
            self.propagate(
                *batch_stats,
                block,
                inputs,
                out,
                grad,
                targets.is_some().then_some(&mut inner[..]),
            );
        }
        for (i, target) in targets.into_iter().flatten().enumerate() {
            let known = if known.is_some() && !stays_unknown[i] { inner[i].take() } else { None };
            *target = Some(Deferred { shape: inputs[i].shape, known });
        }
    }

    fn pool_backward(
        &self,
        pool: &Pool,
        input: &Deferred<G::Activation>,
        grad: &Deferred<G::FeatureMap>,
        target: &mut Option<Deferred<G::FeatureMap>>,
    ) {
        accumulate(target, input.shape, grad.known.is_some(), |target| {
            self.device.pool_backward(pool, input.get(), grad.get(), target);
        });
    }

    fn add_backward(
        &self,
        grad: &Deferred<G::FeatureMap>,
        factors: Option<&G::Vector>,
        target: &mut Option<Deferred<G::FeatureMap>>,
    ) {
        accumulate(target, grad.shape, grad.known.is_some(), |target| {
            self.device.add_backward(grad.get(), factors, target);
        });
    }

    fn concat_backward(
        &self,
        grad: &Deferred<G::FeatureMap>,
        values: &[Deferred<G::Activation>],
        targets: &mut [Option<Deferred<G::FeatureMap>>],
    ) {
        let Some(grad) = &grad.known else {
            for (target, value) in targets.iter_mut().zip(values) {
                *target = Some(Deferred { shape: value.shape, known: None });
            }
            return;
        };
        let inner_values: Vec<G::Activation> = values.iter().map(|value| value.get().clone()).collect();
        let mut inner: Vec<Option<G::FeatureMap>> =
            targets.iter_mut().map(|t| t.as_mut().and_then(|grad| grad.known.take())).collect();
        let stays_unknown: Vec<bool> =
            targets.iter().zip(&inner).map(|(t, i)| t.is_some() && i.is_none()).collect();
        self.device.concat_backward(grad, &inner_values, &mut inner);
        for (i, target) in targets.iter_mut().enumerate() {
            let known = if stays_unknown[i] { None } else { inner[i].take() };
            *target = Some(Deferred { shape: values[i].shape, known });
        }
    }

    fn gradients(&self) {}

    fn relu_mean_backward(
        &self,
        _: &[Deferred<G::Activation>],
        _: &G::Vector,
        _: &mut [Option<Deferred<G::FeatureMap>>],
    ) {
        outside()
    }

    fn scale(&self, _: &G::Vector, _: &G::Vector) -> G::Vector {
        outside()
    }

    fn classify_backward(&self, _: &Classifier, _: &G::Vector, _: &G::Vector, (): &mut ()) -> G::Vector {
        outside()
    }

    fn cross_entropy(&self, _: &G::Vector, (): &(), _: usize, _: f32) -> ((), G::Vector) {
        outside()
    }
}

/// Global pooling, classifiers and the loss are computed on the whole batch.
fn outside() -> ! {
    unreachable!("classifiers lie outside of cells")
}
