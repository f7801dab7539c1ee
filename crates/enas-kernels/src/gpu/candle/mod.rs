//! Conversion between candle's devices and tensors and those of this module.
//!
//! Context, stream and memory of an NVIDIA GPU are candle's. Without the feature `cuda` there is no such device, and
//! all functions here return errors that say so.

#[cfg(feature = "cuda")]
mod tensors;
#[cfg(not(feature = "cuda"))]
mod without;

use candle_core::op::BackpropOp;
use candle_core::{CudaStorage, Device, Layout, Shape, Storage, Tensor};

#[cfg(feature = "cuda")]
use self::tensors as native;
#[cfg(not(feature = "cuda"))]
use self::without as native;
use crate::gpu::buffer::Buffer;
use crate::gpu::device::Error;
use crate::gpu::memory::Gpu;

/// Opens the NVIDIA GPU with this number, counted from 0, as a device of candle with a stream of its own.
///
/// # Errors
/// [`Error::Unavailable`] if there is no such GPU, its driver does not start, or the program is built without the
/// feature `cuda`.
pub fn open(ordinal: usize) -> Result<Device, Error> {
    native::open(ordinal)
}

/// Returns the [`Gpu`] for a device of candle; `None` for the CPU.
///
/// There is one [`Gpu`] for each device of candle. The first request creates it and loads the kernels into the device's
/// context. It stays until the program ends.
///
/// # Errors
/// [`Error::Unavailable`] if the device is not an NVIDIA GPU, or cannot run the kernels.
pub fn for_device(device: &Device) -> Result<Option<Gpu>, Error> {
    match device {
        Device::Cpu => Ok(None),
        Device::Cuda(device) => native::on(device).map(Some),
        Device::Metal(_) => Err(Error::Unavailable("there are no kernels for Metal; use the CPU".to_owned())),
    }
}

/// Calls `body` with the numbers of tensors on a GPU, each in logical order: in place if they lie in that order,
/// otherwise in a copy. A buffer that is kept after the call loses its numbers, and its next use fails.
///
/// # Errors
/// If numbers are neither `f32` nor `u32`, what the GPU reports, and the errors of `body`.
pub fn with_buffers<R>(
    tensors: &[(&CudaStorage, &Layout)],
    body: impl FnOnce(&[Buffer]) -> candle_core::Result<R>,
) -> candle_core::Result<R> {
    let borrowed = tensors.iter().map(|(storage, layout)| native::borrowed(storage, layout));
    let buffers = borrowed.collect::<Result<Vec<_>, _>>()?;
    let result = body(&buffers);
    buffers.iter().for_each(Buffer::revoke);
    result
}

impl Gpu {
    /// The device of candle to which the memory belongs; `None` for devices that candle does not know.
    pub fn device(&self) -> Option<Device> {
        self.native().map(native::device)
    }
}

impl Buffer {
    /// The numbers of a contiguous tensor of `f32` or `u32` on a GPU, in place. Keeps the tensor alive.
    ///
    /// # Errors
    /// If the tensor is not of this kind, or its device cannot run the kernels.
    pub fn of(tensor: &Tensor) -> Result<Self, Error> {
        native::of(tensor)
    }

    /// Turns the first numbers into a tensor of `f32`. The memory is handed over, unless other owners use it; then it
    /// is copied. On devices that candle does not know, the result is a copy on the CPU.
    ///
    /// # Errors
    /// If there are fewer numbers than the shape has; the first failure on the device.
    pub fn into_tensor(self, shape: impl Into<Shape>) -> candle_core::Result<Tensor> {
        let shape = shape.into();
        let gpu = self.gpu().clone();
        let Some(native) = gpu.native() else {
            let numbers = self.numbers(&shape)?;
            return Tensor::from_vec(numbers, shape, &Device::Cpu);
        };
        let storage = native::into_storage(native, self, shape.elem_count())?;
        Ok(Tensor::from_storage(Storage::Cuda(storage), shape, BackpropOp::none(), false))
    }

    /// The same as storage and shape, the result of a custom op of candle. See [`into_tensor`](Self::into_tensor).
    ///
    /// # Errors
    /// As there, and if candle does not know the device.
    pub fn into_storage(self, shape: impl Into<Shape>) -> candle_core::Result<(CudaStorage, Shape)> {
        let shape = shape.into();
        let gpu = self.gpu().clone();
        let Some(native) = gpu.native() else { candle_core::bail!("candle does not know {}", gpu.name()) };
        Ok((native::into_storage(native, self, shape.elem_count())?, shape))
    }

    fn numbers(&self, shape: &Shape) -> candle_core::Result<Vec<f32>> {
        if shape.elem_count() > self.len() {
            candle_core::bail!("{shape:?} of a buffer of {} numbers", self.len());
        }
        Ok(self.download(0, shape.elem_count())?)
    }
}

impl From<Error> for candle_core::Error {
    fn from(error: Error) -> Self {
        Self::wrap(error)
    }
}

impl From<candle_core::Error> for Error {
    fn from(error: candle_core::Error) -> Self {
        Self::Failed(error.to_string())
    }
}
