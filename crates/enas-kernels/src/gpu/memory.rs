//! A device with its buffer pool (caching allocator).

use std::collections::HashMap;
use std::sync::{Arc as SyncArc, Mutex, MutexGuard, PoisonError};

use crate::gpu::cost::{Cost, KernelCost, Totals};
use crate::gpu::cuda::Native;
use crate::gpu::device::{Device, Error, Handle};

/// Bytes of a number on the device.
pub(crate) const WORD: usize = size_of::<f32>();

/// A GPU as the operations use it: a device, its buffer pool and its first failure. Cloning gives another handle to it.
///
/// The first failure is remembered and everything after it is skipped, as the CUDA driver does. So callers need not
/// check operations one by one: [`finish`](Self::finish) returns the failure.
#[derive(Clone, Debug)]
pub struct Gpu(SyncArc<Shared>);

#[derive(Debug)]
struct Shared {
    device: Box<dyn Device>,
    /// The same device in candle's form, if candle knows it.
    native: Option<Native>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    /// Idle memory by its length in numbers.
    pub(crate) idle: HashMap<usize, Vec<Handle>>,
    /// Bytes held, in use or idle.
    pub(crate) held: usize,
    /// Cost of all launches so far.
    totals: Totals,
    pub(crate) failure: Option<Error>,
}

impl Gpu {
    /// A handle to `device`.
    pub fn new(device: Box<dyn Device>) -> Self {
        Self(SyncArc::new(Shared { device, native: None, state: Mutex::default() }))
    }

    /// A handle to a device of candle.
    #[cfg(feature = "cuda")]
    pub(in crate::gpu) fn of_candle(native: Native) -> Self {
        let device = Box::new(native.clone());
        Self(SyncArc::new(Shared { device, native: Some(native), state: Mutex::default() }))
    }

    /// The device in candle's form, if candle knows it.
    pub(in crate::gpu) fn native(&self) -> Option<&Native> {
        self.0.native.as_ref()
    }

    /// A readable name of the device.
    pub fn name(&self) -> String {
        self.0.device.name()
    }

    /// Whether both are handles to the same device.
    pub fn is(&self, other: &Self) -> bool {
        SyncArc::ptr_eq(&self.0, &other.0)
    }

    /// Bytes that can still be allocated on the device, if it knows.
    pub fn free_bytes(&self) -> Option<usize> {
        self.0.device.free_bytes()
    }

    /// Number of kernels launched so far; setting memory to zero counts as one.
    pub fn launches(&self) -> u64 {
        self.state().totals.launches()
    }

    /// Cost of all launches so far, by the kernel's name.
    pub fn report(&self) -> Vec<KernelCost> {
        self.state().totals.report()
    }

    /// Returns the first failure since the last call, and forgets it. Does not wait for the device.
    ///
    /// # Errors
    /// The remembered failure. Buffers written since then have arbitrary content.
    pub fn finish(&self) -> Result<(), Error> {
        self.state().failure.take().map_or(Ok(()), Err)
    }

    /// Returns what [`finish`](Self::finish) would, without forgetting it.
    ///
    /// # Errors
    /// As for [`finish`](Self::finish).
    pub fn failure(&self) -> Result<(), Error> {
        self.state().failure.clone().map_or(Ok(()), Err)
    }

    /// Takes memory for `len` numbers: idle memory of this length, or new one.
    pub(crate) fn take(&self, len: usize) -> Result<Handle, Error> {
        let idle = self.state().idle.get_mut(&len).and_then(Vec::pop);
        if let Some(memory) = idle {
            self.0.device.recycled(memory);
            return Ok(memory);
        }
        let bytes = len * WORD;
        let fresh = self.0.device.allocate(bytes).or_else(|_| {
            // Idle memory of other sizes may make room.
            self.release_idle();
            self.0.device.allocate(bytes)
        });
        let mut state = self.state();
        match fresh {
            Ok(_) => state.held += bytes,
            Err(ref error) => {
                let held = state.held;
                let error = match error {
                    Error::OutOfMemory { .. } => Error::OutOfMemory { asked: bytes, held },
                    other => other.clone(),
                };
                state.failure.get_or_insert(error);
            }
        }
        fresh
    }

    /// Frees all idle memory of the pool.
    pub fn release_idle(&self) {
        let mut state = self.state();
        let idle: Vec<(usize, Vec<Handle>)> = state.idle.drain().collect();
        for (len, memories) in idle {
            state.held -= len * WORD * memories.len();
            memories.into_iter().for_each(|memory| self.0.device.release(memory));
        }
    }

    /// Bytes held on the device, in use or idle.
    pub fn held_bytes(&self) -> usize {
        self.state().held
    }

    /// Makes a request to the device, unless an earlier one failed. Remembers its failure.
    pub(crate) fn attempt(&self, what: impl FnOnce(&dyn Device) -> Result<(), Error>) {
        if self.state().failure.is_some() {
            return;
        }
        if let Err(error) = what(&*self.0.device) {
            self.state().failure.get_or_insert(error);
        }
    }

    /// The same, counted among the launches.
    pub(crate) fn attempt_counted(
        &self,
        kernel: &'static str,
        cost: Cost,
        what: impl FnOnce(&dyn Device) -> Result<(), Error>,
    ) {
        self.attempt(|device| {
            self.state().totals.add(kernel, cost);
            what(device)
        });
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        // Every statement leaves the state consistent.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        for memory in state.idle.drain().flat_map(|(_, memories)| memories) {
            self.device.release(memory);
        }
    }
}
