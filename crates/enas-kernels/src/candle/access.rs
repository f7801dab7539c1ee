//! The numbers of tensors as slices, for reading and for writing. On the CPU without copies; on a GPU as copies that
//! are written back.

use std::cell::{Cell, RefCell};
use std::sync::OnceLock;

use candle_core::{
    CpuStorage, CudaStorage, DType, Device, Error, InplaceOp1, Layout, Result, Storage, StorageRef, Tensor,
    bail,
};

use crate::gpu;

thread_local! {
    /// The tensors whose numbers are lent on this thread. Candle's locks are not recursive: locking a tensor twice
    /// would wait forever.
    static LENT: RefCell<Vec<(Tensor, Access)>> = const { RefCell::new(Vec::new()) };
}

#[derive(Clone, Copy, PartialEq)]
enum Access {
    Read,
    Write,
}

/// An entry of the list of lent tensors; dropping it removes the entry, also if the body panics.
struct Lent;

impl Lent {
    fn new(tensor: &Tensor, access: Access) -> Result<Self> {
        LENT.with_borrow_mut(|lent| {
            for (other, held) in lent.iter() {
                if (access, *held) != (Access::Read, Access::Read) && share_numbers(tensor, other)? {
                    bail!(
                        "a tensor {:?} is lent for {} and asked for again for {}: two tensors share their numbers",
                        other.shape(),
                        held.name(),
                        access.name()
                    );
                }
            }
            lent.push((tensor.clone(), access));
            Ok(Self)
        })
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        LENT.with_borrow_mut(Vec::pop);
    }
}

impl Access {
    fn name(self) -> &'static str {
        match self {
            Self::Read => "reading",
            Self::Write => "writing",
        }
    }
}

/// Whether two contiguous tensors share one storage. Does not take its lock, which this thread may hold.
fn share_numbers(a: &Tensor, b: &Tensor) -> Result<bool> {
    if a.id() == b.id() {
        return Ok(true);
    }
    // `slice_set` checks the storages first, then the number of axes, and reads no element before both. The number of
    // axes differs here on purpose. So an error about axes means different storages; any other outcome counts as
    // shared.
    let a = a.detach().flatten_all()?;
    let b = b.detach().flatten_all()?.unsqueeze(0)?;
    Ok(!a.slice_set(&b, 0, 0).is_err_and(|error| is_about_axes(&error)))
}

fn is_about_axes(error: &Error) -> bool {
    match error {
        Error::UnexpectedNumberOfDims { .. } => true,
        Error::WithBacktrace { inner, .. } => is_about_axes(inner),
        _ => false,
    }
}

/// Calls `body` with the numbers of a contiguous f32 tensor, or with a copy if they are on a GPU. Calls may be nested.
///
/// # Errors
/// If the tensor is not of this kind, or is being written on this thread; what the GPU reports.
pub fn read<R>(tensor: &Tensor, body: impl FnOnce(&[f32]) -> R) -> Result<R> {
    check(tensor)?;
    let _lent = Lent::new(tensor, Access::Read)?;
    let guards = Guards::new([tensor]);
    Ok(body(guards.slices()?[0]))
}

/// Calls `body` with the numbers of a contiguous f32 tensor, for writing, as an in-place op of candle. Calls may be
/// nested, since candle lends the tensors one by one. Numbers on a GPU are copied to the host and back.
///
/// The graph of values that were computed from the tensor before does not see the change, as with every in-place op.
/// Threads that write the same tensors must do so in the same order, or they may deadlock.
///
/// # Errors
/// If the tensor is not of this kind, or shares numbers with one that is lent on this thread.
pub fn write<R>(tensor: &Tensor, body: impl FnOnce(&mut [f32]) -> R) -> Result<R> {
    check(tensor)?;
    let _lent = Lent::new(tensor, Access::Write)?;
    write_distinct(tensor, body)
}

/// [`write()`] for a tensor that shares no numbers with a lent one; see [`distinct`].
pub(super) fn write_distinct<R>(tensor: &Tensor, body: impl FnOnce(&mut [f32]) -> R) -> Result<R> {
    let op = Write { body: Cell::new(Some(body)), result: Cell::new(None) };
    tensor.inplace_op1(&op)?;
    match op.result.into_inner() {
        Some(result) => Ok(result),
        None => bail!("write: {:?} was not written", tensor.shape()),
    }
}

struct Write<F, R> {
    body: Cell<Option<F>>,
    result: Cell<Option<R>>,
}

impl<R, F: FnOnce(&mut [f32]) -> R> InplaceOp1 for Write<F, R> {
    fn name(&self) -> &'static str {
        "write"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let (CpuStorage::F32(data), Some((from, to))) = (storage, layout.contiguous_offsets()) else {
            bail!("write: {:?} is not a contiguous F32 tensor", layout.shape());
        };
        self.result.set(self.body.take().map(|body| body(&mut data[from..to])));
        Ok(())
    }

    fn cuda_fwd(&self, storage: &mut CudaStorage, layout: &Layout) -> Result<()> {
        gpu::with_buffers(&[(storage, layout)], |buffers| {
            let buffer = &buffers[0];
            let mut numbers = buffer.download(0, layout.shape().elem_count())?;
            self.result.set(self.body.take().map(|body| body(&mut numbers)));
            buffer.upload(0, &numbers);
            Ok(buffer.gpu().finish()?)
        })
    }
}

fn check(tensor: &Tensor) -> Result<()> {
    let shape = tensor.shape();
    let dtype = tensor.dtype();
    let device = tensor.device();
    if dtype != DType::F32 || !tensor.is_contiguous() || matches!(device, Device::Metal(_)) {
        bail!(
            "{shape:?} of {dtype:?} on {device:?} is not a contiguous F32 tensor on the CPU or an NVIDIA GPU"
        );
    }
    Ok(())
}

/// Reads many tensors at once: the locks are taken once and held until this is dropped. None of the tensors may be
/// written meanwhile.
pub struct Guards<'a> {
    held: Vec<(StorageRef<'a>, &'a Layout)>,
    /// Copies of the tensors on a GPU, made at first use; empty for tensors on the CPU.
    copies: OnceLock<Vec<Vec<f32>>>,
}

impl<'a> Guards<'a> {
    /// Takes the locks of the tensors.
    pub fn new(tensors: impl IntoIterator<Item = &'a Tensor>) -> Self {
        let held = tensors.into_iter().map(Tensor::storage_and_layout).collect();
        Self { held, copies: OnceLock::new() }
    }

    /// The numbers of all tensors, in their order.
    ///
    /// # Errors
    /// If one is not a contiguous f32 tensor; what a GPU reports.
    pub fn slices(&self) -> Result<Vec<&[f32]>> {
        if self.held.iter().all(|(storage, _)| matches!(**storage, Storage::Cpu(_))) {
            return self.held.iter().map(|(storage, layout)| slice(storage, layout)).collect();
        }
        let copies = match self.copies.get() {
            Some(copies) => copies,
            None => {
                let copies = self.held.iter().map(|(storage, layout)| copy(storage, layout));
                let copies = copies.collect::<Result<_>>()?;
                self.copies.get_or_init(|| copies)
            }
        };
        let both = self.held.iter().zip(copies);
        both.map(|((storage, layout), copy)| match &**storage {
            Storage::Cpu(_) => slice(storage, layout),
            _ => Ok(copy.as_slice()),
        })
        .collect()
    }

    /// A key for the storage of each tensor.
    pub(super) fn keys(&self) -> impl Iterator<Item = usize> {
        self.held.iter().map(|(storage, _)| std::ptr::from_ref::<Storage>(storage).addr())
    }
}

/// A copy of numbers on a GPU; an empty vector for numbers on the CPU.
fn copy(storage: &Storage, layout: &Layout) -> Result<Vec<f32>> {
    match storage {
        Storage::Cuda(storage) => {
            let len = layout.shape().elem_count();
            gpu::with_buffers(&[(storage, layout)], |buffers| Ok(buffers[0].download(0, len)?))
        }
        _ => Ok(Vec::new()),
    }
}

fn slice<'s>(storage: &'s Storage, layout: &Layout) -> Result<&'s [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (Storage::Cpu(CpuStorage::F32(data)), Some((from, to))) => Ok(&data[from..to]),
        _ => bail!("{:?} is not a contiguous F32 tensor on the CPU", layout.shape()),
    }
}

/// Checks that no two tensors share their numbers, as a variable and a view of it do.
///
/// # Errors
/// If two tensors share numbers; the error names their shapes.
pub fn distinct(tensors: &[&Tensor]) -> Result<()> {
    keys(tensors).map(|_| ())
}

/// The keys of the tensors' storages, sorted.
///
/// # Errors
/// If two tensors share numbers.
pub(super) fn keys(tensors: &[&Tensor]) -> Result<Vec<usize>> {
    let mut keys: Vec<(usize, usize)> = (0..tensors.len())
        .flat_map(|i| {
            Guards::new([tensors[i]]).keys().collect::<Vec<_>>().into_iter().map(move |key| (key, i))
        })
        .collect();
    keys.sort_unstable();
    if let Some(pair) = keys.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        let [a, b] = [tensors[pair[0].1].shape(), tensors[pair[1].1].shape()];
        bail!(
            "tensors {a:?} and {b:?} share their numbers, so neither can be updated in place beside the other"
        );
    }
    Ok(keys.into_iter().map(|(key, _)| key).collect())
}
