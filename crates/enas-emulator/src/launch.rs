//! A launch: kernel, shape, order, arguments, and the limits of devices.

use crate::buffer::BufferId;

/// Shared memory per block that every device grants, in bytes.
const SHARED_BYTES: u32 = 48 << 10;
/// The most shared memory that a kernel can opt in to on the newest devices, in bytes.
const MAX_SHARED_BYTES: u32 = 227 << 10;
/// Maximum number of blocks: more would take days in the emulator.
const MAX_BLOCKS: u64 = 1 << 29;

/// A launch of a kernel.
///
/// ```
/// let launch = enas_emulator::LaunchRequest { kernel: "emulator_copy4", ..Default::default() };
/// assert_eq!((launch.grid, launch.block, launch.order_seed), ([1; 3], [1; 3], 0));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaunchRequest<'a> {
    /// Name of the kernel.
    pub kernel: &'a str,
    /// Number of blocks in x, y and z.
    pub grid: [u32; 3],
    /// Threads per block in x, y and z.
    pub block: [u32; 3],
    /// Dynamic shared memory, in bytes.
    pub shared_bytes: u32,
    /// Limit on shared memory, static and dynamic, of a block, in bytes. On a device a kernel must opt in to more than
    /// 48 KiB; the maximum is 227 KiB.
    pub shared_limit: u32,
    /// Seed of the order in which blocks, and threads between barriers, run; 0 for the natural order. A correct kernel
    /// writes the same bytes for every seed.
    pub order_seed: u64,
    /// Processor time in seconds after which the kernel counts as endless; 0 for no limit.
    pub seconds: u32,
}

impl Default for LaunchRequest<'_> {
    fn default() -> Self {
        LaunchRequest {
            kernel: "",
            grid: [1; 3],
            block: [1; 3],
            shared_bytes: 0,
            shared_limit: SHARED_BYTES,
            order_seed: 0,
            seconds: 300,
        }
    }
}

/// An argument of a kernel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum LaunchArg {
    /// A buffer from this byte to its end.
    Buffer(BufferId, u64),
    /// Part of a buffer: first byte, number of bytes. Accesses beyond the part are faults.
    Slice(BufferId, u64, u64),
    /// A null pointer.
    Null,
    /// `unsigned`
    U32(u32),
    /// `int`
    I32(i32),
    /// `float`
    F32(f32),
    /// `unsigned long long`
    U64(u64),
}

impl LaunchArg {
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            LaunchArg::Buffer(..) | LaunchArg::Slice(..) => "buffer",
            LaunchArg::Null => "null",
            LaunchArg::U32(_) => "u32",
            LaunchArg::I32(_) => "i32",
            LaunchArg::F32(_) => "f32",
            LaunchArg::U64(_) => "u64",
        }
    }
}

impl LaunchRequest<'_> {
    /// Describes the limit that this launch exceeds, if there is one. `max_threads` is the kernel's bound.
    pub(crate) fn exceeded_limit(&self, max_threads: u32) -> Option<String> {
        let shape =
            [("grid", self.grid, [i32::MAX as u32, 65_535, 65_535]), ("block", self.block, [1024, 1024, 64])];
        for (what, size, limit) in shape {
            if size.iter().zip(limit).any(|(&size, limit)| size == 0 || size > limit) {
                return Some(format!("{what} {size:?} must lie between [1, 1, 1] and {limit:?}"));
            }
        }
        let product = |size: [u32; 3]| size.iter().map(|&n| u64::from(n)).product::<u64>();
        let threads = product(self.block);
        let blocks = product(self.grid);
        let bound = u64::from(max_threads.min(1024));
        if threads > bound {
            return Some(format!("{threads} threads per block; the kernel allows {bound}"));
        }
        if blocks > MAX_BLOCKS {
            return Some(format!("{blocks} blocks; the emulator allows {MAX_BLOCKS}"));
        }
        if self.shared_limit > MAX_SHARED_BYTES {
            return Some(format!(
                "a limit of {} bytes of shared memory; devices grant up to {MAX_SHARED_BYTES}",
                self.shared_limit
            ));
        }
        (self.shared_bytes > self.shared_limit).then(|| {
            format!("{} bytes of shared memory; the launch allows {}", self.shared_bytes, self.shared_limit)
        })
    }
}
