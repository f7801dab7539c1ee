//! Networks on a GPU: launches kernels and does not wait for them.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use enas_kernels::Pool;
use enas_kernels::gpu::{
    self, Buffer, Gpu, GpuActivation, GpuBatchStats, GpuConvBlock, GpuConvBlockGradient, GpuConvBranch,
    GpuFeatureMap, GpuIm2row, GpuLossRule, GpuRunningStats, GpuTargets, GpuTerm, Span,
};

use super::{Forward, Statistics, Term, Train};
use crate::layer::{Classifier, Conv, ConvLayer, GatherKind};
use crate::noise::Noise;
use crate::params::{ParamId, Params};

/// A GPU, with the weights and moving statistics of one network.
pub(crate) struct OnGpu<'a> {
    pub(crate) gpu: &'a Gpu,
    /// Where each parameter stands. Its values are in `values`, one buffer per table.
    pub(crate) params: &'a Params,
    pub(crate) values: &'a [Buffer],
    pub(crate) running: &'a [GpuRunningStats],
    pub(crate) loss: GpuLossRule<'a>,
    /// Receives two values from every [`cross_entropy`](Train::cross_entropy) in turn: mean loss and number
    /// correct.
    pub(crate) stats: &'a Buffer,
    /// Number of cross entropies so far.
    pub(crate) losses: Cell<usize>,
    /// Matrices joined from several parameters, kept because the backward pass reads them again.
    pub(crate) joined: RefCell<BTreeMap<Vec<ParamId>, Buffer>>,
    /// Which tables received a gradient; `None` if that is not needed.
    pub(crate) visited: Option<RefCell<Vec<bool>>>,
}

/// Values per image, on the device.
#[derive(Clone)]
pub(crate) struct GpuVector {
    pub(crate) data: Buffer,
    pub(crate) len: usize,
}

impl Forward for OnGpu<'_> {
    type FeatureMap = GpuFeatureMap;
    type Activation = GpuActivation;
    type BatchStats = GpuBatchStats;
    type Vector = GpuVector;
    /// Of all parameters, one after another.
    type Gradients = Buffer;

    fn params(&self) -> &Params {
        self.params
    }

    fn plain(&self, map: GpuFeatureMap) -> GpuActivation {
        GpuActivation::plain(map)
    }

    fn shape(&self, value: &GpuActivation) -> (usize, usize, usize, usize) {
        value.map.shape()
    }

    fn conv_block(
        &self,
        block: &ConvLayer,
        inputs: &[GpuActivation],
        statistics: Statistics,
    ) -> (GpuActivation, Option<GpuBatchStats>) {
        let norm = block.norm;
        let (map, batch_stats) = self
            .with_conv_block(block, inputs, |conv_block| conv_block.forward(statistics == Statistics::Batch));
        let scale = self.get(norm.scale);
        let offset = self.get(norm.offset);
        let affine = match (&batch_stats, norm.running) {
            (Some(batch_stats), _) => batch_stats.affine(scale, offset),
            (None, Some(running)) => self.running[running].affine(scale, offset),
            (None, None) => {
                unreachable!("shared networks are only run with batch statistics; checked by the child")
            }
        };
        (GpuActivation { map, affine: Some(affine) }, batch_stats)
    }

    fn pool(&self, pool: &Pool, input: &GpuActivation) -> GpuFeatureMap {
        pool.forward_gpu(input)
    }

    fn add(&self, a: Term<'_, Self>, b: Term<'_, Self>) -> GpuFeatureMap {
        let [a, b] = [a, b].map(|(value, factors)| GpuTerm { value, factors: factors.map(|f| &f.data) });
        gpu::add(a, b)
    }

    fn concat(&self, values: &[GpuActivation]) -> GpuFeatureMap {
        gpu::concat(values)
    }

    fn relu_mean(&self, values: &[GpuActivation]) -> GpuVector {
        let n = values.first().map_or(0, |v| v.map.shape().0);
        let channels: usize = values.iter().map(|v| v.map.c()).sum();
        GpuVector { data: gpu::relu_mean(values), len: n * channels }
    }

    fn drop_factors(&self, noise: &dyn Noise, name: &str, len: usize, keep: f32) -> GpuVector {
        // Numbers of a seeded stream are computed on the device; others are uploaded.
        let data = match noise.stream_key(name) {
            Some(key) => gpu::drop_factors(self.gpu, key, keep, len),
            None => {
                let factor = |u: f32| (keep + u).floor() / keep;
                self.gpu.upload(&noise.uniform(name, len).into_iter().map(factor).collect::<Vec<_>>())
            }
        };
        GpuVector { data, len }
    }

    fn classify(&self, classifier: &Classifier, features: &GpuVector) -> GpuVector {
        let &Classifier { weight, channels, classes } = classifier;
        let n = features.len / channels;
        let data = gpu::classifier_forward(&features.data, self.get(weight), n, channels, classes);
        GpuVector { data, len: n * classes }
    }
}

impl Train for OnGpu<'_> {
    type Labels = GpuTargets;
    /// Index of the result in `stats`.
    type Loss = usize;

    fn conv_block_backward(
        &self,
        block: &ConvLayer,
        inputs: &[GpuActivation],
        out: &GpuActivation,
        batch_stats: &GpuBatchStats,
        grad: &GpuFeatureMap,
        targets: Option<&mut [Option<GpuFeatureMap>]>,
        into: &mut Buffer,
    ) {
        // The gradient of a joined matrix goes to a scratch buffer, and from there piece by piece to its parameters.
        let assembled: Vec<Option<Buffer>> = block.convs.iter().map(|conv| self.scratch(conv)).collect();
        let branches = block.convs.iter().zip(&assembled).map(|(conv, scratch)| {
            let matrix = match scratch {
                Some(scratch) => scratch.span(0, self.matrix_len(conv)),
                None => self.place(into, conv.weight[0]),
            };
            let filter = match conv.gather {
                GatherKind::Depthwise { filter, .. } => Some(self.place(into, filter)),
                _ => None,
            };
            (matrix, filter)
        });
        let trained = |id: ParamId| self.params.is_trained(id).then(|| self.place(into, id));
        let gradient = GpuConvBlockGradient {
            gamma: trained(block.norm.scale),
            beta: trained(block.norm.offset),
            branches: branches.collect(),
        };
        let gamma = self.get(block.norm.scale);
        self.with_conv_block(block, inputs, |conv_block| {
            conv_block.backward(&out.map, batch_stats, gamma, grad, targets, &gradient)
        });
        for (conv, scratch) in block.convs.iter().zip(&assembled) {
            let Some(scratch) = scratch else { continue };
            let mut first = 0;
            for id in &conv.weight {
                let to = self.place(into, *id);
                gpu::add_numbers(scratch.span(first, self.len(*id)), to);
                first += self.len(*id);
            }
        }
    }

    fn pool_backward(
        &self,
        pool: &Pool,
        input: &GpuActivation,
        grad: &GpuFeatureMap,
        target: &mut Option<GpuFeatureMap>,
    ) {
        pool.backward_gpu(input, grad, target);
    }

    fn add_backward(
        &self,
        grad: &GpuFeatureMap,
        factors: Option<&GpuVector>,
        target: &mut Option<GpuFeatureMap>,
    ) {
        gpu::add_backward(grad, factors.map(|f| &f.data), target);
    }

    fn concat_backward(
        &self,
        grad: &GpuFeatureMap,
        values: &[GpuActivation],
        targets: &mut [Option<GpuFeatureMap>],
    ) {
        gpu::concat_backward(grad, values, targets);
    }

    fn relu_mean_backward(
        &self,
        values: &[GpuActivation],
        grad: &GpuVector,
        targets: &mut [Option<GpuFeatureMap>],
    ) {
        gpu::relu_mean_backward(values, &grad.data, targets);
    }

    fn scale(&self, numbers: &GpuVector, factors: &GpuVector) -> GpuVector {
        let data = gpu::scale_features(&numbers.data, &factors.data, numbers.len);
        GpuVector { data, len: numbers.len }
    }

    fn classify_backward(
        &self,
        classifier: &Classifier,
        features: &GpuVector,
        grad: &GpuVector,
        into: &mut Buffer,
    ) -> GpuVector {
        let &Classifier { weight, channels, classes } = classifier;
        let n = features.len / channels;
        let into = self.params.is_trained(weight).then(|| self.place(into, weight));
        let data = gpu::classifier_backward(
            &features.data,
            self.get(weight),
            n,
            channels,
            classes,
            &grad.data,
            into,
        );
        GpuVector { data, len: features.len }
    }

    fn cross_entropy(
        &self,
        logits: &GpuVector,
        targets: &GpuTargets,
        classes: usize,
        weight: f32,
    ) -> (usize, GpuVector) {
        let place = 2 * self.losses.get();
        self.losses.set(self.losses.get() + 1);
        let n = logits.len / classes;
        let stats = self.stats.span(place, 2);
        let data = gpu::cross_entropy(&logits.data, targets, self.loss, (n, classes), weight, stats);
        (place, GpuVector { data, len: logits.len })
    }

    fn gradients(&self) -> Buffer {
        self.gpu.zeros(self.params.device_len())
    }
}

impl OnGpu<'_> {
    fn get(&self, id: ParamId) -> Span<'_> {
        let (table, range) = self.params.in_table(id);
        self.values[table].span(range.start, range.len())
    }

    /// Where the gradient of a parameter stands among those of all parameters.
    fn place<'b>(&self, all: &'b Buffer, id: ParamId) -> Span<'b> {
        if let Some(visited) = &self.visited {
            visited.borrow_mut()[self.params.in_table(id).0] = true;
        }
        let range = self.params.device_range(id);
        all.span(range.start, range.len())
    }

    fn len(&self, id: ParamId) -> usize {
        self.params.range(id).len()
    }

    fn matrix_len(&self, conv: &Conv) -> usize {
        conv.weight.iter().map(|id| self.len(*id)).sum()
    }

    /// Zeros for the gradient of a matrix that is joined from several parameters; `None` if it is one parameter.
    fn scratch(&self, conv: &Conv) -> Option<Buffer> {
        (conv.weight.len() > 1).then(|| self.gpu.zeros(self.matrix_len(conv)))
    }

    /// The matrix of a convolution, joined from its pieces; `None` if it is one parameter.
    fn assemble(&self, conv: &Conv) -> Option<Buffer> {
        let [_, _, ..] = conv.weight.as_slice() else { return None };
        let mut all = self.joined.borrow_mut();
        Some(all.entry(conv.weight.clone()).or_insert_with(|| self.join(conv)).clone())
    }

    fn join(&self, conv: &Conv) -> Buffer {
        let joined = self.gpu.buffer(self.matrix_len(conv));
        let mut first = 0;
        for id in &conv.weight {
            gpu::copy_numbers(self.get(*id), joined.span(first, self.len(*id)));
            first += self.len(*id);
        }
        joined
    }

    fn with_conv_block<R>(
        &self,
        block: &ConvLayer,
        inputs: &[GpuActivation],
        body: impl FnOnce(&GpuConvBlock<'_>) -> R,
    ) -> R {
        let joined: Vec<Option<Buffer>> = block.convs.iter().map(|conv| self.assemble(conv)).collect();
        let branches: Vec<GpuConvBranch<'_>> = block
            .convs
            .iter()
            .zip(&joined)
            .map(|(conv, joined)| {
                let rows = match conv.gather {
                    GatherKind::Pixels => GpuIm2row::Pixels,
                    GatherKind::EverySecond { offset } => GpuIm2row::EverySecond { offset },
                    GatherKind::Patches { k } => GpuIm2row::Patches { k },
                    GatherKind::Depthwise { filter, k, stride } => {
                        GpuIm2row::Depthwise { filter: self.get(filter), k, stride }
                    }
                };
                let weight = match joined {
                    Some(joined) => joined.span(0, self.matrix_len(conv)),
                    None => self.get(conv.weight[0]),
                };
                GpuConvBranch { rows, weight, outputs: conv.outputs }
            })
            .collect();
        body(&GpuConvBlock { inputs, relu: block.relu, branches: &branches })
    }
}
