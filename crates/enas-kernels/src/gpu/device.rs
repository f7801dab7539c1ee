//! What a GPU must be able to do: keep memory, copy, and run kernels one after another.
//!
//! There are two: the CUDA driver, behind the feature `cuda`, and the emulator that the tests of this project use,
//! which runs the same kernel sources on the host.

use std::fmt::Debug;

use super::precision::Precision;

/// A piece of device memory; its meaning is the device's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Handle(pub u64);

/// One kernel launch.
#[derive(Clone, Copy, Debug)]
pub struct Launch {
    /// The kernel's name in its `.cu` file.
    pub kernel: &'static str,
    /// That of the maps among the arguments, which decides between two variants of the kernel; single precision where
    /// there is no map.
    pub maps: Precision,
    /// Blocks along x, y and z.
    pub grid: [u32; 3],
    /// Threads of a block along x, y and z.
    pub block: [u32; 3],
}

/// An argument of a kernel, in the order of its parameters.
#[derive(Clone, Copy, Debug)]
pub enum Arg {
    /// An address: memory, and bytes from its start.
    Memory(Handle, usize),
    /// `unsigned`.
    U32(u32),
    /// `float`.
    F32(f32),
}

/// A device that does what it is told in the order it is told.
///
/// Only [`download`](Self::download) waits for what was launched before.
pub trait Device: Debug + Send + Sync {
    /// What it is, for people: `NVIDIA H100 80GB HBM3 (cuda:0)`.
    fn name(&self) -> String;

    /// Memory of `bytes` bytes with arbitrary content.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`], or what the device reports.
    fn allocate(&self, bytes: usize) -> Result<Handle, Error>;

    /// Bytes that could still be had, if the device knows.
    fn free_bytes(&self) -> Option<usize> {
        None
    }

    /// Gives memory back; launches that use it may still be under way.
    fn release(&self, memory: Handle);

    /// Told when released memory is used again without the device's doing. A device that watches for reads of memory
    /// that was never written forgets what it knew.
    fn recycled(&self, _memory: Handle) {}

    /// Copies `bytes` to `offset` bytes from the start of `memory`. The slice is free again on return.
    ///
    /// # Errors
    /// What the device reports.
    fn upload(&self, memory: Handle, offset: usize, bytes: &[u8]) -> Result<(), Error>;

    /// Waits for all launches and fills `bytes` from `offset` bytes from the start of `memory`.
    ///
    /// # Errors
    /// What the device reports, perhaps of an earlier launch.
    fn download(&self, memory: Handle, offset: usize, bytes: &mut [u8]) -> Result<(), Error>;

    /// Sets `bytes` bytes, from `offset` on, to zero.
    ///
    /// # Errors
    /// What the device reports.
    fn clear(&self, memory: Handle, offset: usize, bytes: usize) -> Result<(), Error>;

    /// Runs a kernel.
    ///
    /// # Errors
    /// What the device reports: an unknown kernel, arguments that do not fit, limits exceeded.
    fn launch(&self, launch: &Launch, args: &[Arg]) -> Result<(), Error>;
}

/// Why a device could not do what it was told.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// There is not enough memory.
    OutOfMemory {
        /// Bytes asked for.
        asked: usize,
        /// Bytes the program holds on the device.
        held: usize,
    },
    /// There is no such device, or no driver for it; the text says which, and the remedy.
    Unavailable(String),
    /// Anything else that went wrong, in the device's words.
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
