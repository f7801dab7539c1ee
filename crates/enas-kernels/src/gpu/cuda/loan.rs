//! Memory of tensors that buffers use in place.

use candle_core::Tensor;

use super::driver::Cuda;
use crate::gpu::device::Handle;

/// Memory of a tensor of candle's, on loan; the tensor is kept alive.
#[derive(Debug)]
pub(in crate::gpu) struct Loan {
    cuda: Cuda,
    memory: Handle,
    /// The tensor that owns the memory; `None` if the caller of an operation keeps it alive.
    _owner: Option<Tensor>,
}

impl Drop for Loan {
    fn drop(&mut self) {
        self.cuda.give_back(self.memory);
    }
}

impl Loan {
    /// A loan of `memory` by `cuda`, which ends when it is dropped.
    pub(in crate::gpu) fn new(cuda: &Cuda, memory: Handle, owner: Option<Tensor>) -> Self {
        Self { cuda: cuda.clone(), memory, _owner: owner }
    }
}
