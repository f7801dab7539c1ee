//! With the feature `cuda`: candle's CUDA devices and the memory of tensors on them.

use std::sync::{Mutex, PoisonError};

use candle_core::backend::{BackendDevice, BackendStorage};
use candle_core::cuda_backend::{CudaStorageSlice, DeviceId};
use candle_core::{CudaDevice, CudaStorage, Device, Layout, Storage, Tensor};

use crate::gpu::buffer::Buffer;
use crate::gpu::copy::copy_numbers;
use crate::gpu::cuda::{Cuda, Loan, Native};
use crate::gpu::device::Error;
use crate::gpu::memory::Gpu;

/// The GPUs opened so far, one for each device of candle.
static OPENED: Mutex<Vec<(DeviceId, Gpu)>> = Mutex::new(Vec::new());

pub(super) fn open(ordinal: usize) -> Result<Device, Error> {
    let count = Cuda::count()?;
    if ordinal >= count {
        let have = match count {
            0 => "the driver sees no GPU".to_owned(),
            1 => "there is only cuda:0".to_owned(),
            n => format!("there are cuda:0 to cuda:{}", n - 1),
        };
        return Err(Error::Unavailable(format!("no device cuda:{ordinal}: {have}; or use --device cpu")));
    }
    let device = CudaDevice::new_with_stream(ordinal)
        .map_err(|error| Error::Unavailable(format!("cuda:{ordinal} cannot be used: {error}")))?;
    // SAFETY: all work on this device is on its one stream, so there is nothing between streams for events to order.
    unsafe { device.disable_event_tracking() };
    Ok(Device::Cuda(device))
}

pub(super) fn on(device: &CudaDevice) -> Result<Gpu, Error> {
    // Every statement leaves the list consistent.
    let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, gpu)) = opened.iter().find(|(id, _)| *id == device.id()) {
        return Ok(gpu.clone());
    }
    let gpu = Gpu::of_candle(Cuda::on(device)?);
    opened.push((device.id(), gpu.clone()));
    Ok(gpu)
}

pub(super) fn device(native: &Native) -> Device {
    Device::Cuda(native.device().clone())
}

pub(super) fn of(tensor: &Tensor) -> Result<Buffer, Error> {
    let shape = tensor.shape();
    let on_device = tensor.device();
    let Device::Cuda(device) = on_device else {
        return Err(Error::Failed(format!("a tensor {shape:?} on {on_device:?} has no memory of a GPU")));
    };
    let gpu = on(device)?;
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cuda(storage) => lent(&gpu, storage, layout, Some(tensor.clone())),
        _ => Err(Error::Failed(format!("a tensor {shape:?} is not where its device is"))),
    }
}

pub(super) fn borrowed(storage: &CudaStorage, layout: &Layout) -> Result<Buffer, Error> {
    let gpu = on(storage.device())?;
    if layout.contiguous_offsets().is_some() {
        return lent(&gpu, storage, layout, None);
    }
    let mut copy = storage.device().zeros_impl(layout.shape(), storage.dtype())?;
    storage.copy_strided_src(&mut copy, 0, layout)?;
    let copy =
        Tensor::from_storage(Storage::Cuda(copy), layout.shape(), candle_core::op::BackpropOp::none(), false);
    of(&copy)
}

/// Borrows the numbers of a contiguous layout.
fn lent(gpu: &Gpu, storage: &CudaStorage, layout: &Layout, owner: Option<Tensor>) -> Result<Buffer, Error> {
    let (Some((from, to)), Some(cuda)) = (layout.contiguous_offsets(), gpu.native()) else {
        return Err(Error::Failed(format!("a tensor {:?} is not contiguous", layout.shape())));
    };
    let memory = match &storage.slice {
        CudaStorageSlice::F32(slice) => cuda.borrow(slice, from, to),
        CudaStorageSlice::U32(slice) => cuda.borrow(slice, from, to),
        _ => {
            let shape = layout.shape();
            let dtype = storage.dtype();
            return Err(Error::Failed(format!("a tensor {shape:?} of {dtype:?} is neither F32 nor U32")));
        }
    };
    Ok(Buffer::lent(gpu, memory, to - from, Loan::new(cuda, memory, owner)))
}

pub(super) fn into_storage(native: &Native, buffer: Buffer, len: usize) -> Result<CudaStorage, Error> {
    if len > buffer.len() {
        return Err(Error::Failed(format!("{len} numbers of a buffer of {}", buffer.len())));
    }
    let gpu = buffer.gpu().clone();
    let memory = match buffer.into_memory() {
        Ok(memory) => memory,
        Err(shared) => {
            let copy = shared.gpu().buffer(len);
            copy_numbers(shared.span(0, len), copy.span(0, len));
            copy.into_memory().unwrap_or_else(|_| Err(Error::Failed("a fresh buffer is shared".to_owned())))
        }
    };
    // Failures are reported here, since candle would not ask later.
    gpu.finish()?;
    Ok(CudaStorage::wrap_cuda_slice(native.take(memory?)?, native.device().clone()))
}
