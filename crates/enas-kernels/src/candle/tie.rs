//! Many tensors as one input of a custom op.
//!
//! A custom op of candle has at most three inputs. A chain of ops joins any number of tensors, two at a time, into one
//! scalar, the token. The op that reads all of them takes the token for its input. On its way back it leaves their
//! gradients in a slot which it shares with the chain, and every link hands on those of its own two.

use std::sync::{Arc as SyncArc, Mutex, PoisonError};

use candle_core::backend::{BackendDevice, BackendStorage};
use candle_core::{
    CpuStorage, CudaStorage, CustomOp2, CustomOp3, DType, Device, Layout, Result, Shape, Tensor,
};

/// The gradients that an op computes for tied tensors, on their way to them. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Gradients(SyncArc<Mutex<Vec<Option<Tensor>>>>);

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
    /// A scalar that depends on all tied tensors, on their device. The op that reads them takes it for an input, and returns
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
        let (first, second) = (self.gradients.take(self.first), self.gradients.take(self.second));
        Ok((Self::on_to_the_next(token, grad), first, second))
    }
}
