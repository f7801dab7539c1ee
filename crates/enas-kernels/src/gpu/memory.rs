//! A device with its idle memory, and the buffers that live on it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc as SyncArc, Mutex, MutexGuard, PoisonError};

use super::candle::{Loan, Native};
use super::cost::{Cost, KernelCost, Totals};
use super::device::{Arg, Device, Error, Handle, Launch};
use super::map::GpuMap;
use super::precision::Precision;

/// Bytes of a number on the device.
const WORD: usize = size_of::<f32>();
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
struct State {
    /// Idle memory by its length in numbers.
    idle: HashMap<usize, Vec<Handle>>,
    /// Bytes held, in use or idle.
    held: usize,
    /// What was launched so far.
    totals: Totals,
    failure: Option<Error>,
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
    fn attempt(&self, what: impl FnOnce(&dyn Device) -> Result<(), Error>) {
        if self.state().failure.is_some() {
            return;
        }
        if let Err(error) = what(&*self.0.device) {
            self.state().failure.get_or_insert(error);
        }
    }

    /// The same, counted among the launches.
    fn attempt_counted(
        &self,
        (kernel, cost): (&'static str, Cost),
        what: impl FnOnce(&dyn Device) -> Result<(), Error>,
    ) {
        self.attempt(|device| {
            self.state().totals.add(kernel, cost);
            what(device)
        });
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every statement leaves the state consistent.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An argument of a launch: numbers of a buffer or of a map from some element on, a whole number, or a real one.
pub(crate) enum Param<'a> {
    Buffer(&'a Buffer, usize),
    Map(&'a GpuMap, usize),
    Int(usize),
    Real(f32),
}

impl Param<'_> {
    /// The same once more. It is not `Copy`, lest `Vec::extend` could not tell what an array of them holds.
    pub(super) fn again(&self) -> Self {
        match *self {
            Self::Buffer(buffer, first) => Self::Buffer(buffer, first),
            Self::Map(map, first) => Self::Map(map, first),
            Self::Int(value) => Self::Int(value),
            Self::Real(value) => Self::Real(value),
        }
    }

    /// As the device takes it; `None` if there was no memory for it.
    fn arg(&self) -> Option<Arg> {
        let memory = |buffer: &Buffer, offset: usize| Some(Arg::Memory(buffer.memory().ok()?, offset));
        match self {
            Self::Buffer(buffer, first) => memory(buffer, first * WORD),
            Self::Map(map, first) => {
                let (buffer, offset) = map.place(*first);
                memory(buffer, offset)
            }
            Self::Int(value) => {
                Some(Arg::U32(u32::try_from(*value).expect("shapes were checked to fit 32 bits")))
            }
            Self::Real(value) => Some(Arg::F32(*value)),
        }
    }
}

/// That of the maps among the arguments of a launch; single precision if there are none.
fn precision_of(kernel: &str, args: &[Param<'_>]) -> Precision {
    let mut maps = args.iter().filter_map(|arg| match arg {
        Param::Map(map, _) => Some(map.precision()),
        _ => None,
    });
    let first = maps.next().unwrap_or_default();
    assert!(maps.all(|other| other == first), "{kernel}: the maps of one operation have one precision");
    first
}

impl<'a> From<&'a GpuMap> for Param<'a> {
    fn from(map: &'a GpuMap) -> Self {
        Self::Map(map, 0)
    }
}

impl<'a> From<&'a Buffer> for Param<'a> {
    fn from(buffer: &'a Buffer) -> Self {
        Self::Buffer(buffer, 0)
    }
}

impl From<usize> for Param<'_> {
    fn from(value: usize) -> Self {
        Self::Int(value)
    }
}

impl From<bool> for Param<'_> {
    fn from(value: bool) -> Self {
        Self::Int(usize::from(value))
    }
}

impl From<f32> for Param<'_> {
    fn from(value: f32) -> Self {
        Self::Real(value)
    }
}

/// Numbers on a device. Cloning shares them; the last owner returns the memory for reuse, which is sound because a
/// device does everything in order.
#[derive(Clone, Debug)]
pub struct Buffer(SyncArc<Owned>);

#[derive(Debug)]
struct Owned {
    gpu: Gpu,
    /// Missing if it could not be had; the device handle remembers why.
    memory: Result<Handle, Error>,
    len: usize,
    /// Whose memory it is, if not the device handle's.
    loan: Option<Loan>,
    /// Whether the loan is over while there are owners left.
    revoked: AtomicBool,
}

impl Buffer {
    fn new(gpu: &Gpu, memory: Result<Handle, Error>, len: usize, loan: Option<Loan>) -> Self {
        let revoked = AtomicBool::new(false);
        Self(SyncArc::new(Owned { gpu: gpu.clone(), memory, len, loan, revoked }))
    }

    /// Memory of somebody else.
    #[cfg(feature = "cuda")]
    pub(super) fn lent(gpu: &Gpu, memory: Handle, len: usize, loan: Loan) -> Self {
        Self::new(gpu, Ok(memory), len, Some(loan))
    }

    /// Ends a loan: owners that are left have no numbers any more.
    pub(super) fn revoke(&self) {
        self.0.revoked.store(true, Ordering::Relaxed);
    }

    /// Takes the memory out, if it is the device handle's and has no other owner.
    #[cfg(feature = "cuda")]
    pub(super) fn into_memory(self) -> Result<Result<Handle, Error>, Self> {
        if self.0.loan.is_some() {
            return Err(self);
        }
        let mut owned = SyncArc::try_unwrap(self.0).map_err(Self)?;
        owned.gpu.state().held -= owned.len * WORD;
        Ok(std::mem::replace(&mut owned.memory, Err(handed_out())))
    }

    fn memory(&self) -> Result<Handle, Error> {
        if self.0.revoked.load(Ordering::Relaxed) {
            let error =
                Error::Failed("numbers that were lent for one operation are used after it".to_owned());
            self.gpu().state().failure.get_or_insert(error.clone());
            return Err(error);
        }
        self.0.memory.clone()
    }

    /// Numbers there are; buffers of a device's own are a little longer than what was asked for.
    pub fn len(&self) -> usize {
        self.0.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.len == 0
    }

    /// The device it lives on.
    pub fn gpu(&self) -> &Gpu {
        &self.0.gpu
    }

    /// Whether no other owner shares the numbers.
    pub(crate) fn is_unique(&self) -> bool {
        SyncArc::strong_count(&self.0) == 1
    }

    /// Part of the numbers.
    pub fn span(&self, first: usize, len: usize) -> Span<'_> {
        assert!(first + len <= self.0.len, "the span lies inside the buffer");
        Span { buffer: self, first, len }
    }

    /// Sets every number to zero.
    pub fn clear(&self) {
        let cost = ("clear", Cost::new(self.0.len, 0));
        self.gpu().attempt_counted(cost, |device| device.clear(self.memory()?, 0, self.0.len * WORD));
    }

    /// Copies `values` to element `first` and after.
    ///
    /// # Panics
    /// If they do not fit.
    pub fn upload(&self, first: usize, values: &[f32]) {
        assert!(first + values.len() <= self.0.len, "the values fit into the buffer");
        self.upload_bytes(first, &bytes_of(values));
    }

    /// Copies bytes to element `first` and after. Those that do not fit are the device's to refuse.
    pub(super) fn upload_bytes(&self, first: usize, bytes: &[u8]) {
        self.gpu().attempt(|device| device.upload(self.memory()?, first * WORD, bytes));
    }

    /// The `len` numbers from element `first` on, once everything before is done.
    ///
    /// # Errors
    /// The first thing that went wrong on the device.
    ///
    /// # Panics
    /// If there are fewer.
    pub fn download(&self, first: usize, len: usize) -> Result<Vec<f32>, Error> {
        assert!(first + len <= self.0.len, "the buffer holds what is asked for");
        let mut bytes = vec![0; len * WORD];
        self.gpu().attempt(|device| device.download(self.memory()?, first * WORD, &mut bytes));
        self.gpu().finish()?;
        Ok(bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect())
    }
}

/// The bytes of numbers as devices keep them, the lowest first; batches are large, so not a copy where the host keeps
/// them alike.
fn bytes_of(values: &[f32]) -> Cow<'_, [u8]> {
    if cfg!(target_endian = "big") {
        return values.iter().flat_map(|v| v.to_le_bytes()).collect();
    }
    // SAFETY: a number is four bytes, none of them padding, and bytes may lie anywhere; the numbers stay borrowed.
    Cow::Borrowed(unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values)) })
}

/// Some numbers of a buffer: a parameter among all parameters.
#[derive(Clone, Copy, Debug)]
pub struct Span<'a> {
    pub(crate) buffer: &'a Buffer,
    pub(crate) first: usize,
    pub(crate) len: usize,
}

impl<'a> From<Span<'a>> for Param<'a> {
    fn from(span: Span<'a>) -> Self {
        Self::Buffer(span.buffer, span.first)
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        if let (Ok(memory), None) = (&self.memory, &self.loan) {
            self.gpu.state().idle.entry(self.len).or_default().push(*memory);
        }
    }
}

/// Why memory is missing that candle has now.
#[cfg(feature = "cuda")]
fn handed_out() -> Error {
    Error::Failed("the memory was handed out".to_owned())
}

impl Drop for Shared {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        for memory in state.idle.drain().flat_map(|(_, memories)| memories) {
            self.device.release(memory);
        }
    }
}
