//! The interface of a GPU: memory, copies, and kernels that run one after another.
//!
//! There are two real implementations. One is the CUDA driver, with the feature `cuda`. The other is the emulator of
//! this project's tests, which runs the same kernel sources on the host. [`CountingDevice`](super::CountingDevice)
//! computes nothing and only counts.

use std::fmt::Debug;

use crate::gpu::precision::Precision;

/// A piece of device memory. Only the device knows what the number means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Handle(pub u64);

/// One kernel launch.
#[derive(Clone, Copy, Debug)]
pub struct Launch {
    /// The kernel's name in its `.cu` file.
    pub kernel: &'static str,
    /// Precision of the maps among the arguments; it selects one of two variants of the kernel. Single precision if no
    /// argument is a map.
    pub maps: Precision,
    /// Number of blocks along x, y and z.
    pub grid: [u32; 3],
    /// Threads of a block along x, y and z.
    pub block: [u32; 3],
}

/// An argument of a kernel, in the order of its parameters.
#[derive(Clone, Copy, Debug)]
pub enum Arg {
    /// An address: a piece of memory, and an offset in bytes.
    Memory(Handle, usize),
    /// `unsigned`.
    U32(u32),
    /// `float`.
    F32(f32),
}

/// A device that executes requests in the order in which they arrive (one stream).
///
/// Only [`download`](Self::download) waits for earlier launches.
pub trait Device: Debug + Send + Sync {
    /// A readable name: `NVIDIA H100 80GB HBM3 (cuda:0)`.
    fn name(&self) -> String;

    /// Allocates `bytes` bytes with arbitrary content.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`], or what the device reports.
    fn allocate(&self, bytes: usize) -> Result<Handle, Error>;

    /// Bytes that can still be allocated, if the device knows.
    fn free_bytes(&self) -> Option<usize> {
        None
    }

    /// Frees memory. Launches that use it may still be running.
    fn release(&self, memory: Handle);

    /// Tells the device that a pool reuses this memory without a call to [`allocate`](Self::allocate). A device that
    /// detects reads of unwritten memory then forgets what was written.
    fn recycled(&self, _memory: Handle) {}

    /// Copies `bytes` to `memory`, from byte `offset` on. The caller may reuse the slice on return.
    ///
    /// # Errors
    /// What the device reports.
    fn upload(&self, memory: Handle, offset: usize, bytes: &[u8]) -> Result<(), Error>;

    /// Waits for all launches, then fills `bytes` from `memory`, from byte `offset` on.
    ///
    /// # Errors
    /// What the device reports, perhaps about an earlier launch.
    fn download(&self, memory: Handle, offset: usize, bytes: &mut [u8]) -> Result<(), Error>;

    /// Sets `bytes` bytes of `memory` to zero, from byte `offset` on.
    ///
    /// # Errors
    /// What the device reports.
    fn clear(&self, memory: Handle, offset: usize, bytes: usize) -> Result<(), Error>;

    /// Launches a kernel.
    ///
    /// # Errors
    /// What the device reports: an unknown kernel, arguments that do not fit, limits exceeded.
    fn launch(&self, launch: &Launch, args: &[Arg]) -> Result<(), Error>;
}

/// Why a request to a device failed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The device has too little free memory.
    OutOfMemory {
        /// Bytes requested.
        asked: usize,
        /// Bytes the program holds on the device.
        held: usize,
    },
    /// There is no such device, or no driver for it. The text names the cause and the remedy.
    Unavailable(String),
    /// Any other failure, in the device's words.
    Failed(String),
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::OutOfMemory { asked, held } => write!(
                f,
                "the GPU is out of memory: {} MB more were needed beside the {} MB in use",
                asked.div_ceil(1 << 20),
                held >> 20
            ),
            Self::Unavailable(why) | Self::Failed(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Error {}
