//! The conv block with every kind of rows.

use enas_kernels::{Activation, ConvBlock, ConvBranch, FeatureMap, Im2row};
use enas_rng::Stream;

use crate::reference::{self, Layer, Tensor, doubles};
use crate::support::*;

/// The numbers of one branch.
struct Spec {
    layer: Layer,
    /// Depthwise filters, if any.
    filter: Vec<f32>,
    weight: Vec<f32>,
    outputs: usize,
}

impl Spec {
    fn new(rng: &mut Stream, kind: Kind, channels: usize, outputs: usize) -> Self {
        let taps = if let Kind::Dense(k) = kind { k * k } else { 1 };
        let filter =
            if let Kind::Separable(k, _) = kind { uniform(rng, k * k * channels) } else { Vec::new() };
        let layer = match kind {
            Kind::Pointwise => Layer::Pointwise,
            Kind::EverySecond(offset) => Layer::EverySecond(offset),
            Kind::Separable(k, stride) => Layer::Separable { filter: doubles(&filter), k, stride },
            Kind::Dense(k) => Layer::Dense(k),
        };
        Self { layer, filter, weight: uniform(rng, taps * channels * outputs), outputs }
    }

    fn branch(&self) -> ConvBranch<'_> {
        let rows = match self.layer {
            Layer::Pointwise => Im2row::Pixels,
            Layer::EverySecond(offset) => Im2row::EverySecond { offset },
            Layer::Separable { k, stride, .. } => Im2row::Depthwise { filter: &self.filter, k, stride },
            Layer::Dense(k) => Im2row::Patches { k },
        };
        ConvBranch { rows, weight: &self.weight, outputs: self.outputs }
    }
}

/// A gradient that is there before the backward pass, if any.
type Start = Option<(FeatureMap, Tensor)>;

#[derive(Clone, Copy, Debug)]
enum Kind {
    Pointwise,
    EverySecond(usize),
    Separable(usize, usize),
    Dense(usize),
}

/// One conv block, forward and backward, against the reference.
#[derive(Debug)]
struct Case {
    shape: Shape,
    /// Channels of each input; they add up to the shape's.
    inputs: Vec<usize>,
    kinds: Vec<Kind>,
    outputs: usize,
    relu: bool,
    pending: bool,
    /// Whether gradients meet ones that are already there.
    accumulate: bool,
}

impl Case {
    fn check(&self) {
        let (n, _, h, w) = self.shape;
        let rng = &mut stream("conv_block", self.shape);
        let (values, meant): (Vec<Activation>, Vec<Tensor>) =
            self.inputs.iter().map(|c| value(rng, (n, *c, h, w), self.pending)).unzip();
        let specs: Vec<Spec> =
            self.kinds.iter().map(|kind| Spec::new(rng, *kind, self.shape.1, self.outputs)).collect();
        let branches: Vec<ConvBranch> = specs.iter().map(Spec::branch).collect();
        let conv_block = ConvBlock { inputs: &values, relu: self.relu, branches: &branches };
        let raw_input = reference::concat(&meant);
        let input = if self.relu { reference::relu(&raw_input) } else { raw_input.clone() };
        let magnitude = input.abs();

        // Forward.
        let apply = |input: &Tensor, positive: bool| {
            let parts: Vec<Tensor> = specs
                .iter()
                .map(|s| {
                    let weight = doubles(&s.weight);
                    if positive {
                        s.layer.abs().forward(input, &abs(&weight), s.outputs)
                    } else {
                        s.layer.forward(input, &weight, s.outputs)
                    }
                })
                .collect();
            reference::concat(&parts)
        };
        let (z, stats) = conv_block.forward(true);
        let expected = apply(&input, false);
        let terms = apply(&magnitude, true);
        assert_eq!(z.shape(), expected.shape(), "{self:?}");
        let z_numbers = z.to_nchw();
        assert_close(&format!("{self:?} z"), &z_numbers, &expected.data, &terms.data);
        let (again, none) = conv_block.forward(false);
        assert!(none.is_none() && again.to_nchw() == z_numbers, "{self:?}: statistics change the output");

        // Statistics, of the output as it was stored.
        let stats = stats.expect("asked for");
        let stored = Tensor::of(&z_numbers, z.shape());
        let (mean, variance) = reference::stats(&stored);
        let largest = stored.data.iter().fold(1e-3, |m: f64, v| m.max(v.abs()));
        assert_close(&format!("{self:?} mean"), &stats.mean, &mean, &vec![largest; mean.len()]);
        assert_close(
            &format!("{self:?} variance"),
            &stats.variance,
            &variance,
            &vec![largest.powi(2); mean.len()],
        );
        assert_eq!(stats.count, n * z.h() * z.w());

        // Backward.
        let gamma = uniform(rng, z.c());
        let (gy, gy_meant) = map(rng, z.shape());
        let (gz, gamma_gradient, beta_gradient) =
            reference::batch_norm_backward(&stored, &doubles(&gamma), &gy_meant);
        let terms = NormTerms::new(&stored, &doubles(&gamma), &gy_meant);
        let start: Vec<Start> =
            self.inputs.iter().map(|c| self.accumulate.then(|| map(rng, (n, *c, h, w)))).collect();
        let mut gradients: Vec<Option<FeatureMap>> =
            start.iter().map(|s| s.as_ref().map(|s| s.0.clone())).collect();
        let got = conv_block.backward(&z, &stats, &gamma, &gy, Some(&mut gradients));
        assert_close(&format!("{self:?} gamma"), &got.gamma, &gamma_gradient, &terms.gamma);
        assert_close(&format!("{self:?} beta"), &got.beta, &beta_gradient, &terms.beta);
        self.check_linear_part(&specs, (&raw_input, &input), (&gz, &terms.gz), &got, (&start, &gradients));

        let alone = conv_block.backward(&z, &stats, &gamma, &gy, None);
        assert_eq!((alone.weights, alone.filters), (got.weights, got.filters), "{self:?}: parameters alone");
        for (start, _) in start.iter().flatten().zip(&gradients) {
            assert_eq!(start.0.to_nchw().len(), start.1.data.len(), "the shared start stays alive");
        }
    }

    /// Gradients of weights, filters and inputs, given the gradient of the raw output.
    fn check_linear_part(
        &self,
        specs: &[Spec],
        (raw_input, input): (&Tensor, &Tensor),
        (gz, gz_terms): (&Tensor, &Tensor),
        got: &enas_kernels::ConvBlockGradient,
        (start, gradients): (&[Start], &[Option<FeatureMap>]),
    ) {
        let mut total = input.map(|_, _| 0.0);
        let mut total_terms = total.clone();
        for (i, spec) in specs.iter().enumerate() {
            let weight = doubles(&spec.weight);
            let part = |t: &Tensor| reference::channels(t, i * self.outputs, self.outputs);
            let (gx, gw, gf) = spec.layer.backward(input, &weight, &part(gz));
            let (tx, tw, tf) = spec.layer.abs().backward(&input.abs(), &abs(&weight), &part(gz_terms));
            assert_close(&format!("{self:?} weight {i}"), &got.weights[i], &gw, &tw);
            assert_close(&format!("{self:?} filter {i}"), &got.filters[i], &gf, &tf);
            total = total.zip(&gx, |a, b| a + b);
            total_terms = total_terms.zip(&tx, |a, b| a + b);
        }
        if self.relu {
            total = reference::relu_backward(raw_input, &total);
        }
        let mut first = 0;
        for (i, gradient) in gradients.iter().enumerate() {
            let gradient = gradient.as_ref().expect("created by the backward pass");
            let mut expected = reference::channels(&total, first, self.inputs[i]);
            let mut terms = reference::channels(&total_terms, first, self.inputs[i]);
            if let Some((map, before)) = &start[i] {
                expected = expected.zip(before, |a, b| a + b);
                terms = terms.zip(before, |a, b| a + b.abs());
                let untouched: Vec<f64> = doubles(&map.to_nchw());
                assert_eq!(untouched, before.data, "{self:?}: a clone of the gradient was written to");
            }
            assert_close(&format!("{self:?} input {i}"), &gradient.to_nchw(), &expected.data, &terms.data);
            first += self.inputs[i];
        }
    }
}

/// Sums of the absolute values of all terms in the backward direction of a batch norm.
struct NormTerms {
    gz: Tensor,
    gamma: Vec<f64>,
    beta: Vec<f64>,
}

impl NormTerms {
    fn new(z: &Tensor, gamma: &[f64], gy: &Tensor) -> Self {
        let count = (z.n * z.h * z.w) as f64;
        let (mean, variance) = reference::stats(z);
        let root: Vec<f64> = variance.iter().map(|v| (v + reference::EPSILON).sqrt()).collect();
        let normal = z.map(|c, v| (v.abs() + mean[c].abs()) / root[c]);
        let total =
            |t: &Tensor| reference::per_channel(t).iter().map(|v| v.iter().sum()).collect::<Vec<f64>>();
        let beta = total(&gy.abs());
        let product = total(&normal.zip(gy, |x, g| x * g.abs()));
        let centred = gy.map(|c, g| g.abs() + beta[c] / count);
        let sloped = normal.map(|c, x| x * product[c] / count);
        let gz = centred.zip(&sloped, |a, b| a + b).map(|c, v| gamma[c].abs() / root[c] * v);
        Self { gz, gamma: product, beta }
    }
}

/// Checks one kind of conv block over all awkward shapes, with every setting taking turns.
fn check_all(kinds: &[Kind]) {
    for (i, shape) in awkward_shapes().into_iter().enumerate() {
        for relu in [false, true] {
            Case {
                shape,
                inputs: vec![shape.1],
                kinds: kinds.to_vec(),
                outputs: [1, 2, 3, 4, 5, 7][i % 6],
                relu,
                pending: i % 2 == 0,
                accumulate: (i / 2) % 2 == usize::from(relu),
            }
            .check();
        }
    }
}

/// Checks one kind of conv block where work is cut up.
fn check_large(kinds: &[Kind]) {
    for (i, shape) in large_shapes().into_iter().enumerate() {
        let inputs = vec![shape.1];
        let outputs = [9, 20, 6][i];
        let relu = i != 1;
        let pending = i != 0;
        let accumulate = i == 1;
        Case { shape, inputs, kinds: kinds.to_vec(), outputs, relu, pending, accumulate }.check();
    }
}

#[test]
fn pointwise_equals_the_reference() {
    check_all(&[Kind::Pointwise]);
    check_large(&[Kind::Pointwise]);
}

#[test]
fn several_inputs_act_as_one_with_all_channels() {
    for (i, (n, _, h, w)) in awkward_shapes().into_iter().enumerate() {
        for relu in [false, true] {
            let inputs = [vec![1, 2], vec![3, 3, 3], vec![2, 1, 5, 4, 1]][i % 3].clone();
            let shape = (n, inputs.iter().sum(), h, w);
            let pending = i % 2 == 0;
            let accumulate = (i / 2) % 2 == 0;
            Case { shape, inputs, kinds: vec![Kind::Pointwise], outputs: 3, relu, pending, accumulate }
                .check();
        }
    }
}

#[test]
fn separable_and_dense_rows_take_several_inputs() {
    for kind in [Kind::Separable(3, 1), Kind::Separable(5, 2), Kind::Dense(3)] {
        let inputs = vec![2, 3];
        let relu = true;
        let pending = true;
        let accumulate = false;
        let shape = (17, 5, 5, 6);
        Case { shape, inputs, kinds: vec![kind], outputs: 4, relu, pending, accumulate }.check();
    }
}

#[test]
fn factorised_reduction_equals_the_reference() {
    check_all(&[Kind::EverySecond(0), Kind::EverySecond(1)]);
    check_large(&[Kind::EverySecond(0), Kind::EverySecond(1)]);
}

#[test]
fn separable_3x3_equals_the_reference() {
    check_all(&[Kind::Separable(3, 1)]);
    check_large(&[Kind::Separable(3, 1)]);
}

#[test]
fn separable_5x5_equals_the_reference() {
    check_all(&[Kind::Separable(5, 1)]);
    check_large(&[Kind::Separable(5, 1)]);
}

#[test]
fn separable_3x3_with_stride_2_equals_the_reference() {
    check_all(&[Kind::Separable(3, 2)]);
    check_large(&[Kind::Separable(3, 2)]);
}

#[test]
fn separable_5x5_with_stride_2_equals_the_reference() {
    check_all(&[Kind::Separable(5, 2)]);
    check_large(&[Kind::Separable(5, 2)]);
}

#[test]
fn dense_convolutions_equal_the_reference() {
    for k in [1, 2, 3, 6] {
        check_all(&[Kind::Dense(k)]);
    }
    check_large(&[Kind::Dense(3)]);
}

#[test]
fn branches_of_different_kinds_share_their_input() {
    let separable = Kind::Separable(3, 1);
    for kinds in [vec![separable, Kind::Dense(2), Kind::Pointwise], vec![separable, Kind::Pointwise]] {
        for accumulate in [false, true] {
            let shape = (17, 3, 5, 4);
            let kinds = kinds.clone();
            Case { shape, inputs: vec![3], kinds, outputs: 2, relu: true, pending: true, accumulate }.check();
        }
    }
}

#[test]
fn factorised_reduction_picks_the_published_pixels() {
    let ramp: Vec<f32> = (0..16).map(|v| v as f32).collect();
    let pick = |images: &[f32], size: usize, offset: usize| {
        let inputs = [Activation::plain(FeatureMap::from_nchw(images, 1, 1, size, size))];
        let branches = [ConvBranch { rows: Im2row::EverySecond { offset }, weight: &[1.0], outputs: 1 }];
        ConvBlock { inputs: &inputs, relu: false, branches: &branches }.forward(false).0.to_nchw()
    };
    assert_eq!(pick(&ramp, 4, 0), [0.0, 2.0, 8.0, 10.0]);
    assert_eq!(pick(&ramp, 4, 1), [5.0, 7.0, 13.0, 15.0]);
    assert_eq!(pick(&ramp[..9], 3, 1), [4.0, 0.0, 0.0, 0.0]);
}

/// Divergence must stay visible: `max(NaN, 0)` must not turn it into an innocent zero.
#[test]
fn not_a_number_passes_through_a_relu() {
    for rows in
        [Im2row::Pixels, Im2row::Depthwise { filter: &[1.0; 9], k: 3, stride: 1 }, Im2row::Patches { k: 1 }]
    {
        for relu in [false, true] {
            let inputs = [Activation::plain(FeatureMap::from_nchw(&[f32::NAN; 4], 1, 1, 2, 2))];
            let branches = [ConvBranch { rows, weight: &[1.0], outputs: 1 }];
            let (z, _) = ConvBlock { inputs: &inputs, relu, branches: &branches }.forward(false);
            assert!(z.to_nchw().iter().all(|v| v.is_nan()), "{rows:?}, relu {relu}: {:?}", z.to_nchw());
        }
    }
}

#[test]
#[should_panic(expected = "a gradient has the shape of its input")]
fn a_gradient_of_another_shape_is_refused() {
    let inputs = [Activation::plain(FeatureMap::zeros(33, 1, 2, 2))];
    let branches = [ConvBranch { rows: Im2row::Pixels, weight: &[1.0], outputs: 1 }];
    let conv_block = ConvBlock { inputs: &inputs, relu: false, branches: &branches };
    conv_block
        .backward_raw(&FeatureMap::zeros(33, 1, 2, 2), Some(&mut [Some(FeatureMap::zeros(1, 1, 2, 2))]));
}

#[test]
#[should_panic(expected = "one output size")]
fn branches_of_different_sizes_are_refused() {
    let inputs = [Activation::plain(FeatureMap::zeros(1, 1, 4, 4))];
    let whole = ConvBranch { rows: Im2row::Pixels, weight: &[1.0], outputs: 1 };
    let half = ConvBranch { rows: Im2row::EverySecond { offset: 0 }, ..whole };
    ConvBlock { inputs: &inputs, relu: false, branches: &[whole, half] }.forward(false);
}
