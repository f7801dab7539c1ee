//! The reference's own gradients against finite differences along random directions.

use enas_rng::{Seed, Stream};

use crate::reference::{self, Layer, Tensor};
use crate::support::{Shape, uniform};

fn random(rng: &mut Stream, shape: Shape) -> Tensor {
    let (n, c, h, w) = shape;
    Tensor::of(&uniform(rng, n * c * h * w), shape)
}

fn numbers(rng: &mut Stream, len: usize) -> Vec<f64> {
    reference::doubles(&uniform(rng, len))
}

/// Checks `gradient` as the gradient of `loss` at `x`, along three random directions.
fn check(what: &str, rng: &mut Stream, x: &[f64], gradient: &[f64], loss: impl Fn(&[f64]) -> f64) {
    const STEP: f64 = 1e-6;
    for _ in 0..3 {
        let direction = numbers(rng, x.len());
        let moved = |by: f64| x.iter().zip(&direction).map(|(x, d)| x + by * d).collect::<Vec<f64>>();
        let slope = (loss(&moved(STEP)) - loss(&moved(-STEP))) / (2.0 * STEP);
        let expected: f64 = gradient.iter().zip(&direction).map(|(g, d)| g * d).sum();
        let size: f64 = gradient.iter().zip(&direction).map(|(g, d)| (g * d).abs()).sum();
        assert!(
            (slope - expected).abs() <= 1e-7 * (1.0 + size),
            "{what}: slope {slope}, gradient {expected}"
        );
    }
}

const SHAPES: [Shape; 4] = [(2, 3, 5, 4), (1, 2, 1, 1), (3, 1, 2, 7), (2, 2, 6, 6)];

#[test]
fn layers() {
    for shape in SHAPES {
        let rng = &mut Seed::new(1).stream("layers", &[shape.2 as u64]);
        let x = random(rng, shape);
        let mut layers = vec![Layer::Pointwise, Layer::EverySecond(0), Layer::EverySecond(1)];
        layers.extend([2, 3, 6].map(Layer::Dense));
        for (k, stride) in [(3, 1), (3, 2), (5, 1), (5, 2)] {
            layers.push(Layer::Separable { filter: numbers(rng, k * k * shape.1), k, stride });
        }
        for layer in layers {
            let taps = if let Layer::Dense(k) = layer { k * k } else { 1 };
            let w = numbers(rng, taps * shape.1 * 3);
            let out = layer.forward(&x, &w, 3);
            let r = random(rng, out.shape());
            let (gx, gw, gf) = layer.backward(&x, &w, &r);
            let what = format!("{layer:?} {shape:?}");
            check(&what, rng, &x.data, &gx.data, |x| {
                layer.forward(&Tensor::new(x.to_vec(), shape), &w, 3).dot(&r)
            });
            check(&what, rng, &w, &gw, |w| layer.forward(&x, w, 3).dot(&r));
            if let Layer::Separable { filter, k, stride } = &layer {
                check(&what, rng, filter, &gf, |f| {
                    let layer = Layer::Separable { filter: f.to_vec(), k: *k, stride: *stride };
                    layer.forward(&x, &w, 3).dot(&r)
                });
            }
        }
    }
}

#[test]
fn pools_and_relu() {
    for shape in SHAPES {
        let rng = &mut Seed::new(2).stream("pools", &[shape.2 as u64]);
        let x = random(rng, shape);
        for (k, stride) in [(3, 1), (3, 2), (5, 3)] {
            let windows = (reference::same(shape.2, k, stride), reference::same(shape.3, k, stride));
            let r = random(rng, reference::max_pool(&x, windows).shape());
            let tensor = |x: &[f64]| Tensor::new(x.to_vec(), shape);
            let average = reference::average_pool_backward(&x, windows, &r);
            check("average", rng, &x.data, &average.data, |x| {
                reference::average_pool(&tensor(x), windows).dot(&r)
            });
            let rectified = reference::relu(&x);
            let max = reference::relu_backward(&x, &reference::max_pool_backward(&rectified, windows, &r));
            check("max", rng, &x.data, &max.data, |x| {
                reference::max_pool(&reference::relu(&tensor(x)), windows).dot(&r)
            });
        }
    }
}

#[test]
fn batch_norm() {
    for shape in SHAPES {
        let rng = &mut Seed::new(3).stream("norm", &[shape.2 as u64]);
        let x = random(rng, shape);
        let gamma = numbers(rng, shape.1);
        let beta = numbers(rng, shape.1);
        let r = random(rng, shape);
        let (gz, ggamma, gbeta) = reference::batch_norm_backward(&x, &gamma, &r);
        check("z", rng, &x.data, &gz.data, |x| {
            reference::batch_norm(&Tensor::new(x.to_vec(), shape), &gamma, &beta).dot(&r)
        });
        check("gamma", rng, &gamma, &ggamma, |gamma| reference::batch_norm(&x, gamma, &beta).dot(&r));
        check("beta", rng, &beta, &gbeta, |beta| reference::batch_norm(&x, &gamma, beta).dot(&r));
    }
}

#[test]
fn means() {
    for shape in SHAPES {
        let rng = &mut Seed::new(4).stream("mean", &[shape.2 as u64]);
        let x = random(rng, shape);
        let r = numbers(rng, shape.0 * shape.1);
        let gradient = reference::mean_backward(&x, &r);
        check("mean", rng, &x.data, &gradient.data, |x| {
            reference::mean(&Tensor::new(x.to_vec(), shape)).iter().zip(&r).map(|(m, r)| m * r).sum()
        });
    }
}
