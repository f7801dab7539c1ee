//! A device that computes nothing: it counts launches, bytes and memory without a GPU.

use std::collections::HashMap;
use std::sync::{Arc as SyncArc, Mutex, MutexGuard, PoisonError};

use crate::gpu::device::{Arg, Device, Error, Handle, Launch};

/// A device without numbers (dry run). It checks that each request concerns memory it gave out, and counts. Launches
/// take no time, downloads give zeros. A step of a network of any size runs in milliseconds, and
/// [`Gpu::report`](super::Gpu::report) tells what it would cost on a GPU.
///
/// Cloning gives another handle to the same device, for questions after it was handed to a [`Gpu`](super::Gpu):
///
/// ```
/// use enas_kernels::gpu::{CountingDevice, Gpu};
///
/// let dry = CountingDevice::new();
/// let gpu = Gpu::new(Box::new(dry.clone()));
/// let zeros = gpu.zeros(1000);
/// assert_eq!(zeros.download(0, 2)?, [0.0, 0.0]);
/// assert_eq!((dry.counts().downloads, dry.peak_bytes()), (1, 4096));
/// # Ok::<(), enas_kernels::gpu::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct CountingDevice(SyncArc<Shared>);

#[derive(Debug)]
struct Shared {
    /// Bytes of memory that the device has.
    memory: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Bytes by handle.
    lengths: HashMap<Handle, usize>,
    /// Number of handles given out so far.
    handles: u64,
    held: usize,
    peak: usize,
    counts: LaunchCounts,
}

/// Requests to a [`CountingDevice`] device so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LaunchCounts {
    /// Allocations.
    pub allocations: u64,
    /// Copies from the host.
    pub uploads: u64,
    /// Copies to the host; on a GPU each would wait for the device.
    pub downloads: u64,
    /// Requests to set memory to zero.
    pub clears: u64,
    /// Kernel launches.
    pub launches: u64,
}

impl CountingDevice {
    /// A device with unlimited memory.
    pub fn new() -> Self {
        Self::with_memory(usize::MAX)
    }

    /// A device with `bytes` bytes of memory; further allocations fail with [`Error::OutOfMemory`].
    pub fn with_memory(bytes: usize) -> Self {
        Self(SyncArc::new(Shared { memory: bytes, state: Mutex::default() }))
    }

    /// The requests so far.
    pub fn counts(&self) -> LaunchCounts {
        self.state().counts
    }

    /// The largest number of bytes that were allocated at the same time.
    pub fn peak_bytes(&self) -> usize {
        self.state().peak
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every statement leaves the state consistent enough for counting.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for CountingDevice {
    fn default() -> Self {
        Self::new()
    }
}

impl State {
    /// Checks that `len` bytes from `offset` on lie inside `memory`.
    fn check(&self, memory: Handle, offset: usize, len: usize) -> Result<(), Error> {
        match self.lengths.get(&memory) {
            Some(whole) if offset.checked_add(len).is_some_and(|end| end <= *whole) => Ok(()),
            Some(whole) => {
                Err(Error::Failed(format!("{len} bytes at {offset} are not inside {whole} bytes")))
            }
            None => Err(Error::Failed(format!("there is no memory {}", memory.0))),
        }
    }
}

impl Device for CountingDevice {
    fn name(&self) -> String {
        "a device that computes nothing".to_owned()
    }

    fn allocate(&self, bytes: usize) -> Result<Handle, Error> {
        let mut state = self.state();
        if bytes > self.0.memory - state.held {
            return Err(Error::OutOfMemory { asked: bytes, held: state.held });
        }
        state.counts.allocations += 1;
        state.handles += 1;
        state.held += bytes;
        state.peak = state.peak.max(state.held);
        let handle = Handle(state.handles);
        state.lengths.insert(handle, bytes);
        Ok(handle)
    }

    fn release(&self, memory: Handle) {
        let mut state = self.state();
        let bytes = state.lengths.remove(&memory).unwrap_or(0);
        state.held -= bytes;
    }

    fn upload(&self, memory: Handle, offset: usize, bytes: &[u8]) -> Result<(), Error> {
        let mut state = self.state();
        state.counts.uploads += 1;
        state.check(memory, offset, bytes.len())
    }

    fn download(&self, memory: Handle, offset: usize, bytes: &mut [u8]) -> Result<(), Error> {
        let mut state = self.state();
        state.counts.downloads += 1;
        bytes.fill(0);
        state.check(memory, offset, bytes.len())
    }

    fn clear(&self, memory: Handle, offset: usize, bytes: usize) -> Result<(), Error> {
        let mut state = self.state();
        state.counts.clears += 1;
        state.check(memory, offset, bytes)
    }

    fn launch(&self, launch: &Launch, args: &[Arg]) -> Result<(), Error> {
        within_limits(launch)?;
        let mut state = self.state();
        state.counts.launches += 1;
        let memories = args.iter().filter_map(|arg| match arg {
            Arg::Memory(memory, offset) => Some((*memory, *offset)),
            _ => None,
        });
        memories.into_iter().try_for_each(|(memory, offset)| state.check(memory, offset, 0))
    }
}

/// Checks the limits of every NVIDIA GPU since compute capability 3.
///
/// # Errors
/// [`Error::Failed`] with the launch.
fn within_limits(launch: &Launch) -> Result<(), Error> {
    let fits =
        |size: [u32; 3], limits: [u32; 3]| size.iter().zip(limits).all(|(x, limit)| (1..=limit).contains(x));
    let threads: u32 = launch.block.iter().product();
    if fits(launch.grid, [i32::MAX as u32, 65_535, 65_535])
        && fits(launch.block, [1024, 1024, 64])
        && threads <= 1024
    {
        return Ok(());
    }
    let Launch { kernel, grid, block, .. } = launch;
    Err(Error::Failed(format!("{kernel}: no GPU launches {grid:?} blocks of {block:?} threads")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::{Gpu, GpuActivation, GpuFeatureMap, GpuTerm, Precision, add};

    fn any(grid: [u32; 3], block: [u32; 3]) -> Launch {
        Launch { kernel: "any", maps: Precision::F32, grid, block }
    }

    #[test]
    fn maps_in_bfloat16_take_half_the_memory_and_half_the_bytes() {
        let [single, half] = Precision::ALL.map(|precision| {
            let dry = CountingDevice::new();
            let gpu = Gpu::new(Box::new(dry.clone()));
            let map = GpuActivation::plain(GpuFeatureMap::zeros(&gpu, precision, (33, 5, 8, 8)));
            let term = GpuTerm { value: &map, factors: None };
            let sum = add(term, term);
            assert_eq!((sum.precision(), gpu.failure()), (precision, Ok(())));
            let bytes: Vec<u64> = gpu.report().iter().map(|kernel| kernel.cost.bytes).collect();
            (dry.peak_bytes(), bytes)
        });
        // Three groups of sixteen images, two maps; zeros are written, then two maps read and one written.
        let map = 3 * 16 * 5 * 8 * 8 * 4;
        assert_eq!(single, (2 * map, vec![map as u64, 3 * map as u64]));
        assert_eq!(half, (map, vec![map as u64 / 2, 3 * map as u64 / 2]));
    }

    #[test]
    #[should_panic(expected = "elementwise_add: the maps of one operation have one precision")]
    fn maps_of_two_precisions_do_not_mix() {
        let gpu = Gpu::new(Box::new(CountingDevice::new()));
        let [a, b] =
            Precision::ALL.map(|p| GpuActivation::plain(GpuFeatureMap::zeros(&gpu, p, (1, 1, 1, 1))));
        add(GpuTerm { value: &a, factors: None }, GpuTerm { value: &b, factors: None });
    }

    #[test]
    fn memory_ends_where_it_was_told_and_comes_back() {
        let dry = CountingDevice::with_memory(100);
        let first = dry.allocate(60).unwrap();
        assert_eq!(dry.allocate(41), Err(Error::OutOfMemory { asked: 41, held: 60 }));
        dry.release(first);
        dry.allocate(100).unwrap();
        assert_eq!(dry.peak_bytes(), 100);
    }

    #[test]
    fn launches_that_no_gpu_allows_are_refused() {
        let launch = |grid, block| CountingDevice::new().launch(&any(grid, block), &[]);
        assert_eq!(launch([i32::MAX as u32, 65_535, 65_535], [256, 4, 1]), Ok(()));
        for (grid, block) in
            [([1, 65_536, 1], [1; 3]), ([1, 1, 0], [1; 3]), ([1; 3], [1025, 1, 1]), ([1; 3], [512, 4, 1])]
        {
            assert!(launch(grid, block).is_err(), "{grid:?} {block:?}");
        }
    }

    #[test]
    fn what_lies_outside_the_memory_is_refused() {
        let dry = CountingDevice::new();
        let memory = dry.allocate(8).unwrap();
        let launch = any([1; 3], [1; 3]);
        assert_eq!(dry.upload(memory, 4, &[0; 4]), Ok(()));
        assert!(dry.upload(memory, 5, &[0; 4]).is_err());
        assert!(dry.clear(memory, 0, 9).is_err());
        assert!(dry.download(Handle(77), 0, &mut []).is_err());
        assert_eq!(dry.launch(&launch, &[Arg::Memory(memory, 8), Arg::U32(1)]), Ok(()));
        dry.release(memory);
        assert!(dry.launch(&launch, &[Arg::Memory(memory, 0)]).is_err());
        let counts = LaunchCounts { allocations: 1, uploads: 2, downloads: 1, clears: 1, launches: 2 };
        assert_eq!(dry.counts(), counts);
    }
}
