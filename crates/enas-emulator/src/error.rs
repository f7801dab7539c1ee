//! Errors of the emulated device, and faults of kernels.

use std::fmt;
use std::path::PathBuf;

use crate::buffer::BufferId;

/// The result type of this crate's functions.
pub type Result<T> = std::result::Result<T, Error>;

/// Everything an [`Emulator`](crate::Emulator) reports.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The emulator's program did not start.
    #[error("cannot start the emulator {}: {source}", path.display())]
    Start {
        /// The program.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// No kernel has this name.
    #[error("there is no kernel `{name}`; nearest: {nearest}")]
    UnknownKernel {
        /// The requested name.
        name: String,
        /// The most similar names that exist.
        nearest: String,
    },
    /// Arguments that do not fit the kernel's parameters.
    #[error("{kernel}: {problem}")]
    Arguments {
        /// The kernel with its parameters.
        kernel: String,
        /// The mismatch.
        problem: String,
    },
    /// A launch that exceeds the limits of every device, of the kernel or of the emulator.
    #[error("kernel `{kernel}`: {problem}")]
    LaunchRequest {
        /// Name of the kernel.
        kernel: String,
        /// The limit that is exceeded.
        problem: String,
    },
    /// A buffer that was freed, or lost when the program ended.
    #[error("{0:?} does not exist: it was freed, or lost when the emulator had to start again")]
    UnknownBuffer(BufferId),
    /// An access beyond the end of a buffer.
    #[error("bytes {first}..{} of {buffer:?}, which has {length}", first.saturating_add(*bytes))]
    Range {
        /// The buffer.
        buffer: BufferId,
        /// First requested byte.
        first: u64,
        /// Number of requested bytes.
        bytes: u64,
        /// Length of the buffer in bytes.
        length: u64,
    },
    /// A read of bytes that neither the host nor a kernel has written.
    #[error("byte {byte} of {buffer:?} was never written")]
    NeverWritten {
        /// The buffer.
        buffer: BufferId,
        /// The first such byte.
        byte: u64,
    },
    /// A buffer whose length is not a multiple of the element's size.
    #[error("{buffer:?} has {bytes} bytes, no multiple of the element's {element}")]
    Elements {
        /// The buffer.
        buffer: BufferId,
        /// Its length in bytes.
        bytes: u64,
        /// Size of an element, in bytes.
        element: usize,
    },
    /// A kernel did something wrong. Memory is as the kernel left it; the emulator stays usable.
    #[error("{0}")]
    Fault(Box<Fault>),
    /// The program ended. A new one was started; all buffers are lost.
    #[error("{cause}; the emulator was started again and all its buffers are lost")]
    Lost {
        /// The request, and how the program ended.
        cause: String,
    },
    /// The host has too little memory.
    #[error("the emulator has {0}")]
    Memory(String),
}

/// A fault of a kernel: what it did wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The kind of fault.
    pub kind: FaultKind,
    /// Name of the kernel.
    pub kernel: String,
    /// `blockIdx` of the thread at fault.
    pub block: [u32; 3],
    /// `threadIdx` of the thread at fault.
    pub thread: [u32; 3],
    /// Source line, `folder/file.cu:12`; empty if unknown.
    pub place: String,
    /// A description, with names, indices and lengths.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [bx, by, bz] = self.block;
        let [tx, ty, tz] = self.thread;
        write!(f, "kernel `{}`, block ({bx},{by},{bz}), thread ({tx},{ty},{tz})", self.kernel)?;
        if !self.place.is_empty() {
            write!(f, ", at {}", self.place)?;
        }
        write!(f, ": {}", self.message)
    }
}

/// Kinds of faults of kernels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// Access to an element that does not exist.
    OutOfBounds,
    /// A read of memory that was never written.
    Uninitialised,
    /// Two threads touch an element, one of them writes, and nothing orders them.
    Race,
    /// A write to memory that the launch also reads through an `In` parameter.
    Alias,
    /// A barrier or shuffle that not all threads reach.
    Divergence,
    /// A wide access at an address that is not a multiple of its size.
    Misaligned,
    /// More shared memory than the launch allows.
    SharedMemory,
    /// Overflow of a signed number, division by zero, or a shift that is too large.
    Arithmetic,
    /// A launch that did not end within its time limit.
    Endless,
    /// The program crashed.
    Crash,
}

impl FaultKind {
    /// The kind for the number in a response, as in `Fault` of `shim/fault.hpp`.
    pub(crate) fn from_number(number: u8) -> Option<FaultKind> {
        use FaultKind::*;
        let kinds = [
            OutOfBounds,
            Uninitialised,
            Race,
            Alias,
            Divergence,
            Misaligned,
            SharedMemory,
            Arithmetic,
            Endless,
            Crash,
        ];
        kinds.get(usize::from(number).checked_sub(1)?).copied()
    }
}
