//! Arrays of numbers on a device, in memory of this crate's pool or borrowed from tensors.

use std::borrow::Cow;
use std::sync::Arc as SyncArc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::gpu::cost::Cost;
use crate::gpu::cuda::Loan;
use crate::gpu::device::{Error, Handle};
use crate::gpu::memory::{Gpu, WORD};

/// Lengths of buffers are multiples of this, so that few different sizes are pooled.
const GRAIN: usize = 64;

/// An array of `f32` (or `u32`) on a device. Cloning shares it.
///
/// When the last owner drops it, the memory goes back to the buffer pool. Later work may reuse it at once, which is
/// sound because a device executes everything in order.
#[derive(Clone, Debug)]
pub struct Buffer(SyncArc<Owned>);

#[derive(Debug)]
struct Owned {
    gpu: Gpu,
    /// An error if the allocation failed; the [`Gpu`] remembers why.
    memory: Result<Handle, Error>,
    len: usize,
    /// The loan, if the memory is not the pool's but a tensor's.
    loan: Option<Loan>,
    /// Whether the loan has ended while owners remain.
    revoked: AtomicBool,
}

impl Buffer {
    pub(in crate::gpu) fn new(
        gpu: &Gpu,
        memory: Result<Handle, Error>,
        len: usize,
        loan: Option<Loan>,
    ) -> Self {
        let revoked = AtomicBool::new(false);
        Self(SyncArc::new(Owned { gpu: gpu.clone(), memory, len, loan, revoked }))
    }

    /// An array in memory that belongs to a tensor.
    #[cfg(feature = "cuda")]
    pub(in crate::gpu) fn lent(gpu: &Gpu, memory: Handle, len: usize, loan: Loan) -> Self {
        Self::new(gpu, Ok(memory), len, Some(loan))
    }

    /// Ends a loan: the remaining owners can no longer reach the numbers.
    pub(crate) fn revoke(&self) {
        self.0.revoked.store(true, Ordering::Relaxed);
    }

    /// Takes the memory out, if it is the pool's and has no other owner; otherwise returns the buffer.
    #[cfg(feature = "cuda")]
    pub(crate) fn into_memory(self) -> Result<Result<Handle, Error>, Self> {
        if self.0.loan.is_some() {
            return Err(self);
        }
        let mut owned = SyncArc::try_unwrap(self.0).map_err(Self)?;
        owned.gpu.state().held -= owned.len * WORD;
        Ok(std::mem::replace(&mut owned.memory, Err(handed_out())))
    }

    pub(crate) fn memory(&self) -> Result<Handle, Error> {
        if self.0.revoked.load(Ordering::Relaxed) {
            let error =
                Error::Failed("numbers that were lent for one operation are used after it".to_owned());
            self.gpu().state().failure.get_or_insert(error.clone());
            return Err(error);
        }
        self.0.memory.clone()
    }

    /// Number of elements. Buffers of the pool are a little longer than requested.
    pub fn len(&self) -> usize {
        self.0.len
    }

    /// Whether the buffer has no elements.
    pub fn is_empty(&self) -> bool {
        self.0.len == 0
    }

    /// The device that holds it.
    pub fn gpu(&self) -> &Gpu {
        &self.0.gpu
    }

    /// Whether this is the only owner.
    pub(crate) fn is_unique(&self) -> bool {
        SyncArc::strong_count(&self.0) == 1
    }

    /// The `len` elements from `first` on.
    ///
    /// # Panics
    /// If they do not lie inside the buffer.
    pub fn span(&self, first: usize, len: usize) -> Span<'_> {
        assert!(first + len <= self.0.len, "the span lies inside the buffer");
        Span { buffer: self, first, len }
    }

    /// Sets all elements to zero.
    pub fn clear(&self) {
        let cost = Cost::new(self.0.len, 0);
        self.gpu()
            .attempt_counted("clear", cost, |device| device.clear(self.memory()?, 0, self.0.len * WORD));
    }

    /// Copies `values` to element `first` and after.
    ///
    /// # Panics
    /// If they do not fit.
    pub fn upload(&self, first: usize, values: &[f32]) {
        assert!(first + values.len() <= self.0.len, "the values fit into the buffer");
        self.upload_bytes(first, &bytes_of(values));
    }

    /// Copies bytes to element `first` and after. The device refuses bytes that do not fit.
    pub(crate) fn upload_bytes(&self, first: usize, bytes: &[u8]) {
        self.gpu().attempt(|device| device.upload(self.memory()?, first * WORD, bytes));
    }

    /// Waits for all earlier work and returns the `len` elements from `first` on.
    ///
    /// # Errors
    /// The first failure on the device.
    ///
    /// # Panics
    /// If there are fewer elements.
    pub fn download(&self, first: usize, len: usize) -> Result<Vec<f32>, Error> {
        assert!(first + len <= self.0.len, "the buffer holds what is asked for");
        let mut bytes = vec![0; len * WORD];
        self.gpu().attempt(|device| device.download(self.memory()?, first * WORD, &mut bytes));
        self.gpu().finish()?;
        Ok(bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect())
    }
}

impl Gpu {
    /// A buffer for `len` numbers, with arbitrary content.
    pub fn buffer(&self, len: usize) -> Buffer {
        let len = len.next_multiple_of(GRAIN).max(GRAIN);
        let memory = self.take(len);
        Buffer::new(self, memory, len, None)
    }

    /// A buffer of `len` zeros.
    pub fn zeros(&self, len: usize) -> Buffer {
        let buffer = self.buffer(len);
        buffer.clear();
        buffer
    }

    /// A buffer with a copy of `values`.
    pub fn upload(&self, values: &[f32]) -> Buffer {
        let buffer = self.buffer(values.len());
        buffer.upload(0, values);
        buffer
    }

    /// A buffer with a copy of whole numbers.
    pub fn upload_u32(&self, values: &[u32]) -> Buffer {
        let buffer = self.buffer(values.len());
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        buffer.upload_bytes(0, &bytes);
        buffer
    }
}

/// The bytes of numbers as devices store them: little-endian. Batches are large, so a little-endian host does not copy
/// them.
fn bytes_of(values: &[f32]) -> Cow<'_, [u8]> {
    if cfg!(target_endian = "big") {
        return values.iter().flat_map(|v| v.to_le_bytes()).collect();
    }
    // SAFETY: a number is four bytes, none of them padding, and bytes may lie anywhere; the numbers stay borrowed.
    Cow::Borrowed(unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values)) })
}

/// A range of a buffer: for example one parameter among all parameters of a network.
#[derive(Clone, Copy, Debug)]
pub struct Span<'a> {
    pub(crate) buffer: &'a Buffer,
    pub(crate) first: usize,
    pub(crate) len: usize,
}

impl Drop for Owned {
    fn drop(&mut self) {
        if let (Ok(memory), None) = (&self.memory, &self.loan) {
            self.gpu.state().idle.entry(self.len).or_default().push(*memory);
        }
    }
}

/// The error for memory that now belongs to candle.
#[cfg(feature = "cuda")]
fn handed_out() -> Error {
    Error::Failed("the memory was handed out".to_owned())
}

#[cfg(test)]
mod tests {
    use crate::gpu::{CountingDevice, Gpu, copy_numbers};

    #[test]
    fn a_buffer_that_outlives_its_loan_is_refused() {
        let gpu = Gpu::new(Box::new(CountingDevice::new()));
        let lent = gpu.zeros(8);
        let other = gpu.zeros(8);
        let kept = lent.clone();
        copy_numbers(kept.span(0, 8), other.span(0, 8));
        assert_eq!(gpu.finish(), Ok(()));
        lent.revoke();
        copy_numbers(kept.span(0, 8), other.span(0, 8));
        let error = gpu.finish().expect_err("the loan is over").to_string();
        assert!(error.contains("used after it"), "{error}");
        assert!(kept.download(0, 8).is_err());
        assert_eq!(other.download(0, 8).map(|numbers| numbers.len()), Ok(8));
    }
}
