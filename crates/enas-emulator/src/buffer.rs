//! Identifiers of buffers.

/// A buffer in the memory of an [`Emulator`](crate::Emulator). An identifier is never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BufferId(pub(crate) u64);
