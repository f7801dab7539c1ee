//! Candle's devices and tensors as this module uses them, and the other way round.
//!
//! Context, stream and memory of an NVIDIA GPU are candle's. Without the feature `cuda` there is no such device, and
//! everything here says so.

#[cfg(feature = "cuda")]
mod cuda;
#[cfg(feature = "cuda")]
mod device;
#[cfg(feature = "cuda")]
mod staging;
#[cfg(not(feature = "cuda"))]
mod without;

use candle_core::op::BackpropOp;
use candle_core::{CudaStorage, Device, Layout, Shape, Storage, Tensor};

#[cfg(feature = "cuda")]
use self::device as native;
#[cfg(not(feature = "cuda"))]
use self::without as native;
use super::buffer::Buffer;
use super::device::Error;
use super::memory::Gpu;

pub(super) use self::native::{Loan, Native};

/// Opens the NVIDIA GPU with this number, counted from 0, as a device of candle with a stream of its own.
///
/// # Errors
/// [`Error::Unavailable`] if there is no such GPU, its driver does not start, or the program is built without the feature
/// `cuda`.
pub fn open(ordinal: usize) -> Result<Device, Error> {
    native::open(ordinal)
}

/// The operations of this module on a device of candle; `None` for the CPU.
///
/// There is one [`Gpu`] for each device of candle. It is made when it is first asked for, with the kernels loaded into the
/// device's context, and stays until the program ends.
///
/// # Errors
/// [`Error::Unavailable`] if the device is no NVIDIA GPU, or cannot run the kernels.
pub fn on(device: &Device) -> Result<Option<Gpu>, Error> {
    match device {
        Device::Cpu => Ok(None),
        Device::Cuda(device) => native::on(device).map(Some),
        Device::Metal(_) => Err(Error::Unavailable("there are no kernels for Metal; use the CPU".to_owned())),
    }
}

/// Calls `body` with the numbers of tensors on a GPU, each in logical order: where they lie, if they lie in that order, else
/// in a copy. A buffer that is kept beyond the call has no numbers any more, and whoever uses it is told so.
///
/// # Errors
/// If numbers are neither `f32` nor `u32`, what the GPU reports, and those of `body`.
pub fn lend<R>(
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
    /// The device of candle whose memory this is; `None` for devices that candle does not know.
    pub fn device(&self) -> Option<Device> {
        self.native().map(native::device)
    }
}

impl Buffer {
    /// The numbers of a contiguous tensor of `f32` or `u32` on a GPU, where they lie. The tensor is kept alive.
    ///
    /// # Errors
    /// If the tensor is another one, or its device cannot run the kernels.
    pub fn of(tensor: &Tensor) -> Result<Self, Error> {
        native::of(tensor)
    }

    /// A tensor of `f32` of the first numbers: the memory itself, unless others use it as well. On devices that candle does
    /// not know it is a copy on the CPU.
    ///
    /// # Errors
    /// If there are fewer numbers than the shape has, and the first thing that went wrong on the device.
    pub fn into_tensor(self, shape: impl Into<Shape>) -> candle_core::Result<Tensor> {
        let (shape, gpu) = (shape.into(), self.gpu().clone());
        let Some(native) = gpu.native() else {
            let numbers = self.numbers(&shape)?;
            return Tensor::from_vec(numbers, shape, &Device::Cpu);
        };
        let storage = native::into_storage(native, self, shape.elem_count())?;
        Ok(Tensor::from_storage(Storage::Cuda(storage), shape, BackpropOp::none(), false))
    }

    /// What a custom op of candle returns: [`into_tensor`](Self::into_tensor) without the tensor around it.
    ///
    /// # Errors
    /// As there, and if candle does not know the device.
    pub fn into_storage(self, shape: impl Into<Shape>) -> candle_core::Result<(CudaStorage, Shape)> {
        let (shape, gpu) = (shape.into(), self.gpu().clone());
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
