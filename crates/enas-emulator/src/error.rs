//! What can go wrong between a test and the emulated device.

use std::fmt;
use std::path::PathBuf;

use crate::BufferId;

/// Everything an [`Emulator`](crate::Emulator) reports.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The emulator's program did not start.
    #[error("cannot start the emulator {}: {source}", path.display())]
    Start {
        /// The program.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// No kernel has this name.
    #[error("there is no kernel `{name}`; nearest: {nearest}")]
    UnknownKernel {
        /// The name asked for.
        name: String,
        /// The most similar names there are.
        nearest: String,
    },
    /// Arguments that do not fit the kernel's parameters.
    #[error("{kernel}: {problem}")]
    Arguments {
        /// The kernel with its parameters.
        kernel: String,
        /// What does not fit.
        problem: String,
    },
    /// A launch that no device would accept.
    #[error("kernel `{kernel}`: {problem}")]
    Launch {
        /// Name of the kernel.
        kernel: String,
        /// The limit that is exceeded.
        problem: String,
    },
    /// A buffer that was freed, or lost with the program's memory.
    #[error("{0:?} does not exist: it was freed, or lost when the emulator had to start again")]
    UnknownBuffer(BufferId),
    /// An access beyond the end of a buffer.
    #[error("bytes {first}..{} of {buffer:?}, which has {length}", first.saturating_add(*bytes))]
    Range {
        /// The buffer.
        buffer: BufferId,
        /// First byte asked for.
        first: u64,
        /// Number of bytes asked for.
        bytes: u64,
        /// Number of bytes there are.
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
    /// A buffer whose length is no multiple of the element's size.
    #[error("{buffer:?} has {bytes} bytes, no multiple of the element's {element}")]
    Elements {
        /// The buffer.
        buffer: BufferId,
        /// Its length.
        bytes: u64,
        /// Size of an element, in bytes.
        element: usize,
    },
    /// A kernel did what it must not do. Memory is as the kernel left it; the emulator stays usable.
    #[error("{0}")]
    Fault(Box<Fault>),
    /// The program ended. A new one was started; all buffers are lost.
    #[error("{cause}; the emulator was started again and all its buffers are lost")]
    Lost {
        /// What was asked of it, and how it ended.
        cause: String,
    },
    /// The host has too little memory.
    #[error("the emulator has {0}")]
    Memory(String),
}

/// What a kernel did wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The kind of mistake.
    pub kind: FaultKind,
    /// Name of the kernel.
    pub kernel: String,
    /// `blockIdx` of the thread to blame.
    pub block: [u32; 3],
    /// `threadIdx` of the thread to blame.
    pub thread: [u32; 3],
    /// File and line, `folder/file.cu:12`; empty if unknown.
    pub place: String,
    /// What happened, with names, indices and lengths.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ([bx, by, bz], [tx, ty, tz]) = (self.block, self.thread);
        write!(f, "kernel `{}`, block ({bx},{by},{bz}), thread ({tx},{ty},{tz})", self.kernel)?;
        if !self.place.is_empty() {
            write!(f, ", at {}", self.place)?;
        }
        write!(f, ": {}", self.message)
    }
}

/// Kinds of mistakes in kernels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// An element that does not exist.
    OutOfBounds,
    /// A read of memory that was never written.
    Uninitialised,
    /// Two threads touch an element, one of them writes, nothing orders them.
    Race,
    /// A write to what the launch also reads through an `In` parameter.
    Alias,
    /// A barrier or shuffle that not all threads reach.
    Divergence,
    /// A wide access at an address that is no multiple of its size.
    Misaligned,
    /// More shared memory than the launch allows.
    SharedMemory,
    /// Overflow of a signed number, division by zero, too large a shift.
    Arithmetic,
    /// A launch that did not end within its limits.
    Endless,
    /// The program could not go on.
    Crash,
}

impl FaultKind {
    /// From the number in an answer; `Fault` in `shim/fault.hpp`.
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
