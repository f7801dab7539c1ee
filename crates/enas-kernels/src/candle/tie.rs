//! Many tensors as one input of a custom op.
//!
//! A custom op of candle has at most three inputs. A chain of ops joins any number of tensors, two at a time, into one
//! scalar, the token. An op that reads all tensors takes the token as its input. In the backward pass it stores their
//! gradients in a slot that it shares with the chain. Each link of the chain passes on the gradients of its own two
//! tensors.

use std::sync::{Arc as SyncArc, Mutex, PoisonError};

use candle_core::backend::{BackendDevice, BackendStorage};
use candle_core::{
    CpuStorage, CudaStorage, CustomOp2, CustomOp3, DType, Device, Layout, Result, Shape, Tensor,
};

/// The slot for the gradients of tied tensors. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Gradients(SyncArc<Mutex<Vec<Option<Tensor>>>>);

impl Gradients {
    /// Stores gradients for all tied tensors, in the order in which they were tied; `None` for those without one.
    /// Replaces gradients that were stored before and not passed on.
    pub fn put(&self, gradients: Vec<Option<Tensor>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = gradients;
    }

    fn take(&self, index: usize) -> Option<Tensor> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_mut(index).and_then(Option::take)
    }
}

/// The result of [`tie`].
#[derive(Clone, Debug)]
pub struct Tied {
    /// A scalar that depends on all tied tensors, on their device. The op that reads them takes it as an input. In its
    /// backward pass, the op returns [`token_gradient`](Self::token_gradient) for it.
    pub token: Tensor,
    /// The slot in which that op stores the tensors' gradients first.
    pub gradients: Gradients,
}

impl Tied {
    /// A gradient for the token. Its value is not used; it only must exist.
    ///
    /// # Errors
    /// Those of candle.
    pub fn token_gradient(token: &Tensor) -> Result<Tensor> {
        Tensor::ones(token.shape(), DType::F32, token.device())
    }
}

/// Joins tensors into one input of a custom op. Tensors that need no gradient are left out. If none needs one, the
/// token is untracked, and so is everything computed from it.
///
/// # Errors
/// Those of candle.
pub fn tie<'t>(tensors: impl IntoIterator<Item = &'t Tensor>) -> Result<Tied> {
    let gradients = Gradients::default();
    let mut tensors = tensors.into_iter().peekable();
    let device = tensors.peek().map_or(Device::Cpu, |tensor| tensor.device().clone());
    let mut token = Tensor::zeros((), DType::F32, &device)?;
    let mut tracked = tensors.enumerate().filter(|(_, tensor)| tensor.track_op());
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

    fn scalar_on(token: &CudaStorage) -> Result<(CudaStorage, Shape)> {
        let shape = Shape::from(());
        Ok((token.device().zeros_impl(&shape, DType::F32)?, shape))
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

    fn cuda_fwd(
        &self,
        token: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        Self::scalar_on(token)
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

    fn cuda_fwd(
        &self,
        token: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        Self::scalar_on(token)
    }

    fn bwd(
        &self,
        token: &Tensor,
        _: &Tensor,
        _: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let first = self.gradients.take(self.first);
        let second = self.gradients.take(self.second);
        Ok((Self::on_to_the_next(token, grad), first, second))
    }
}
