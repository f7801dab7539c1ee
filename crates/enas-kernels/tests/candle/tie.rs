//! Many tensors as one input of an op: gradients against slopes.

use candle_core::{CpuStorage, CustomOp1, Device, Layout, Result, Shape, Tensor, Var};
use enas_kernels::candle::{Gradients, Guards, Tied, read, tie};

/// `Σᵢ (i + 1)·Σ wᵢ³`, all in one op.
struct Cubes {
    weights: Vec<Tensor>,
    gradients: Gradients,
}

impl CustomOp1 for Cubes {
    fn name(&self) -> &'static str {
        "cubes"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        let guards = Guards::new(&self.weights);
        let sum = |(i, w): (usize, &&[f32])| (i + 1) as f32 * w.iter().map(|w| w.powi(3)).sum::<f32>();
        let sum = guards.slices()?.iter().enumerate().map(sum).sum();
        Ok((CpuStorage::F32(vec![sum]), Shape::from(())))
    }

    fn bwd(&self, token: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let grad = grad.to_scalar::<f32>()?;
        let of = |(i, w): (usize, &Tensor)| {
            let gradient =
                read(w, |w| w.iter().map(|w| grad * (i + 1) as f32 * 3.0 * w * w).collect::<Vec<f32>>())?;
            Tensor::from_vec(gradient, w.shape(), w.device()).map(Some)
        };
        self.gradients.put(self.weights.iter().enumerate().map(of).collect::<Result<_>>()?);
        Tied::token_gradient(token).map(Some)
    }
}

fn cubes(weights: &[Tensor]) -> Result<Tensor> {
    let tied = tie(weights)?;
    tied.token.apply_op1(Cubes { weights: weights.to_vec(), gradients: tied.gradients })
}

fn weights(n: usize) -> Vec<Var> {
    let var = |i: usize| Var::new(&[0.3 + 0.1 * i as f32, -0.5, 0.2 * i as f32], &Device::Cpu).unwrap();
    (0..n).map(var).collect()
}

#[test]
fn every_tied_tensor_gets_its_slope() {
    for n in [1, 2, 3, 6, 7] {
        let vars = weights(n);
        let tensors: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
        // Twice the op, so that a gradient other than one arrives.
        let loss = (cubes(&tensors).unwrap() * 2.0).unwrap();
        let gradients = loss.backward().unwrap();
        for (i, var) in vars.iter().enumerate() {
            let gradient = gradients.get(var).unwrap().to_vec1::<f32>().unwrap();
            for (k, gradient) in gradient.into_iter().enumerate() {
                let mut numbers = var.to_vec1::<f32>().unwrap();
                let at = numbers[k];
                let step = 1e-2;
                let mut loss_at = |x: f32| {
                    numbers[k] = x;
                    var.set(&Tensor::new(numbers.as_slice(), &Device::Cpu).unwrap()).unwrap();
                    f64::from(2.0 * cubes(&tensors).unwrap().to_scalar::<f32>().unwrap())
                };
                let slope = (loss_at(at + step) - loss_at(at - step)) / (2.0 * f64::from(step));
                loss_at(at);
                let error = (slope - f64::from(gradient)).abs();
                assert!(error < 1e-2 * (1.0 + slope.abs()), "{n} {i} {k}: {slope} for {gradient}");
            }
        }
    }
}

#[test]
fn tensors_that_need_no_gradient_are_left_out() {
    let vars = weights(4);
    let mixed: Vec<Tensor> = vars
        .iter()
        .enumerate()
        .map(|(i, var)| if i == 1 { var.as_detached_tensor() } else { var.as_tensor().clone() })
        .collect();
    let gradients = cubes(&mixed).unwrap().backward().unwrap();
    let has: Vec<bool> = vars.iter().map(|var| gradients.get(var).is_some()).collect();
    assert_eq!(has, [true, false, true, true]);
    let frozen: Vec<Tensor> = vars.iter().map(Var::as_detached_tensor).collect();
    assert!(!cubes(&frozen).unwrap().track_op());
}

/// A weight that was computed hands its gradient on to what it was made of.
#[test]
fn gradients_flow_through_tensors_that_are_no_variables() {
    let var = weights(1).remove(0);
    let doubled = (var.as_tensor() * 2.0).unwrap();
    let gradients = cubes(&[doubled]).unwrap().backward().unwrap();
    let expected: Vec<f32> =
        var.to_vec1::<f32>().unwrap().iter().map(|w| 2.0 * 3.0 * (2.0 * w) * (2.0 * w)).collect();
    assert_eq!(gradients.get(&var).unwrap().to_vec1::<f32>().unwrap(), expected);
}
