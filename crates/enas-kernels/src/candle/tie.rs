//! Many tensors as one input of a custom op.
//!
//! A custom op of candle has at most three inputs. A chain of ops joins any number of tensors, two at a time, into one
//! scalar, the token. The op that reads all of them takes the token for its input. On its way back it leaves their
//! gradients in a slot which it shares with the chain, and every link hands on those of its own two.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{CpuStorage, CustomOp2, CustomOp3, DType, Device, Layout, Result, Shape, Tensor};

/// The gradients that an op computes for tied tensors, on their way to them. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Gradients(Arc<Mutex<Vec<Option<Tensor>>>>);

impl Gradients {
    /// Leaves gradients for all tied tensors, in the order in which they were tied; `None` for those without one. What has
    /// been left before and was not handed on is replaced.
    pub fn put(&self, gradients: Vec<Option<Tensor>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = gradients;
    }

    fn take(&self, index: usize) -> Option<Tensor> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_mut(index).and_then(Option::take)
    }
}

/// What [`tie`] makes.
#[derive(Clone, Debug)]
pub struct Tied {
    /// A scalar that depends on all tied tensors, on the CPU. The op that reads them takes it for an input, and returns
    /// [`token_gradient`](Self::token_gradient) for it on its way back.
    pub token: Tensor,
    /// Where that op leaves the tensors' gradients before.
    pub gradients: Gradients,
}

impl Tied {
    /// The gradient of the token: any, as long as there is one.
    ///
    /// # Errors
    /// Those of candle.
    pub fn token_gradient(token: &Tensor) -> Result<Tensor> {
        Tensor::ones(token.shape(), DType::F32, token.device())
    }
}

/// Joins tensors into one input of a custom op. Those that no gradient is asked for are left out; without any other, the
/// token is untracked, and so is what is computed from it.
///
/// # Errors
/// Those of candle.
pub fn tie<'t>(tensors: impl IntoIterator<Item = &'t Tensor>) -> Result<Tied> {
    let gradients = Gradients::default();
    let mut token = Tensor::zeros((), DType::F32, &Device::Cpu)?;
    let mut tracked = tensors.into_iter().enumerate().filter(|(_, tensor)| tensor.track_op());
    while let Some((first, a)) = tracked.next() {
        token = match tracked.next() {
            Some((second, b)) => {
                token.apply_op3(a, b, Link { gradients: gradients.clone(), first, second })?
            }
            None => token.apply_op2(a, Link { gradients: gradients.clone(), first, second: first })?,
        };
    }
    Ok(Tied { token, gradients })
}

struct Link {
    gradients: Gradients,
    first: usize,
    second: usize,
}

impl Link {
    const NAME: &'static str = "tie";

    fn scalar() -> (CpuStorage, Shape) {
        (CpuStorage::F32(vec![0.0]), Shape::from(()))
    }

    fn on_to_the_next(token: &Tensor, grad: &Tensor) -> Option<Tensor> {
        token.track_op().then(|| grad.clone())
    }
}

impl CustomOp2 for Link {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        Ok(Self::scalar())
    }

    fn bwd(
        &self,
        token: &Tensor,
        _: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        Ok((Self::on_to_the_next(token, grad), self.gradients.take(self.first)))
    }
}

impl CustomOp3 for Link {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        Ok(Self::scalar())
    }

    fn bwd(
        &self,
        token: &Tensor,
        _: &Tensor,
        _: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (first, second) = (self.gradients.take(self.first), self.gradients.take(self.second));
        Ok((Self::on_to_the_next(token, grad), first, second))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{CustomOp1, Var};

    use super::super::access::{Guards, read};
    use super::*;

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
                    let (at, step) = (numbers[k], 1e-2);
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
}
