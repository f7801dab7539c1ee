//! A device with its idle memory.

use std::collections::HashMap;
use std::sync::{Arc as SyncArc, Mutex, MutexGuard, PoisonError};

use super::buffer::{Buffer, WORD};
use super::candle::Native;
use super::cost::{Cost, KernelCost, Totals};
use super::device::{Arg, Device, Error, Handle, Launch};
use super::param::{Param, precision_of};

/// Buffers are this many numbers long or a multiple, so that few sizes are kept apart.
const GRAIN: usize = 64;

/// A GPU as the operations use it. Cloning gives another handle to the same device.
///
/// An operation that fails is remembered and everything after it is skipped, as the driver itself does, so that
/// operations need not be checked one by one: [`finish`](Self::finish) tells.
#[derive(Clone, Debug)]
pub struct Gpu(SyncArc<Shared>);

#[derive(Debug)]
struct Shared {
    device: Box<dyn Device>,
    /// The same device as candle has it, if it does.
    native: Option<Native>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    /// Idle memory by its length in numbers.
    pub(super) idle: HashMap<usize, Vec<Handle>>,
    /// Bytes held, in use or idle.
    pub(super) held: usize,
    /// What was launched so far.
    totals: Totals,
    pub(super) failure: Option<Error>,
}

impl Gpu {
    /// Operations on `device`.
    pub fn new(device: Box<dyn Device>) -> Self {
        Self(SyncArc::new(Shared { device, native: None, state: Mutex::default() }))
    }

    /// Operations on a device of candle.
    #[cfg(feature = "cuda")]
    pub(super) fn of_candle(native: Native) -> Self {
        let device = Box::new(native.clone());
        Self(SyncArc::new(Shared { device, native: Some(native), state: Mutex::default() }))
    }

    /// The device as candle has it, if it does.
    pub(super) fn native(&self) -> Option<&Native> {
        self.0.native.as_ref()
    }

    /// What the device is, for people.
    pub fn name(&self) -> String {
        self.0.device.name()
    }

    /// Whether both are handles to the same device.
    pub fn is(&self, other: &Self) -> bool {
        SyncArc::ptr_eq(&self.0, &other.0)
    }

    /// Bytes that could still be had on the device, if it knows.
    pub fn free_bytes(&self) -> Option<usize> {
        self.0.device.free_bytes()
    }

    /// Kernels launched so far, memory set to zero included.
    pub fn launches(&self) -> u64 {
        self.state().totals.launches()
    }

    /// What was launched so far, by the kernel's name.
    pub fn report(&self) -> Vec<KernelCost> {
        self.state().totals.report()
    }

    /// The first thing that went wrong since the last call, if any.
    ///
    /// # Errors
    /// As remembered. Buffers written since then have arbitrary content.
    pub fn finish(&self) -> Result<(), Error> {
        self.state().failure.take().map_or(Ok(()), Err)
    }

    /// What [`finish`](Self::finish) would return, without forgetting it.
    ///
    /// # Errors
    /// As there.
    pub fn failure(&self) -> Result<(), Error> {
        self.state().failure.clone().map_or(Ok(()), Err)
    }

    /// Memory for `len` numbers with arbitrary content.
    pub fn buffer(&self, len: usize) -> Buffer {
        let len = len.next_multiple_of(GRAIN).max(GRAIN);
        let memory = self.take(len);
        Buffer::new(self, memory, len, None)
    }

    /// `len` zeros.
    pub fn zeros(&self, len: usize) -> Buffer {
        let buffer = self.buffer(len);
        buffer.clear();
        buffer
    }

    /// A copy of `values`.
    pub fn upload(&self, values: &[f32]) -> Buffer {
        let buffer = self.buffer(values.len());
        buffer.upload(0, values);
        buffer
    }

    /// A copy of whole numbers.
    pub fn upload_u32(&self, values: &[u32]) -> Buffer {
        let buffer = self.buffer(values.len());
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        buffer.upload_bytes(0, &bytes);
        buffer
    }

    /// Runs `kernel` over a grid of blocks, which costs `cost`.
    ///
    /// # Panics
    /// If the maps among the arguments differ in precision.
    pub(crate) fn launch(
        &self,
        kernel: &'static str,
        grid: [usize; 3],
        block: [usize; 3],
        args: &[Param<'_>],
        cost: Cost,
    ) {
        if grid.contains(&0) {
            return;
        }
        let maps = precision_of(kernel, args);
        let Some(args) = args.iter().map(Param::arg).collect::<Option<Vec<Arg>>>() else {
            return; // The allocation's failure is already remembered.
        };
        let narrow =
            |axes: [usize; 3]| axes.map(|x| u32::try_from(x).expect("grids are far below 2³² blocks"));
        let launch = Launch { kernel, maps, grid: narrow(grid), block: narrow(block) };
        self.attempt_counted((kernel, cost), |device| device.launch(&launch, &args));
    }

    fn take(&self, len: usize) -> Result<Handle, Error> {
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

    /// Gives memory that nothing uses back to the device.
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

    /// Does something on the device, unless something went wrong before; remembers what goes wrong.
    pub(super) fn attempt(&self, what: impl FnOnce(&dyn Device) -> Result<(), Error>) {
        if self.state().failure.is_some() {
            return;
        }
        if let Err(error) = what(&*self.0.device) {
            self.state().failure.get_or_insert(error);
        }
    }

    /// The same, counted among the launches.
    pub(super) fn attempt_counted(
        &self,
        (kernel, cost): (&'static str, Cost),
        what: impl FnOnce(&dyn Device) -> Result<(), Error>,
    ) {
        self.attempt(|device| {
            self.state().totals.add(kernel, cost);
            what(device)
        });
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
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
