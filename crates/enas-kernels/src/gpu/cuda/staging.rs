//! Pinned (page-locked) host memory for copies to an NVIDIA GPU.

use candle_core::cuda_backend::cudarc::driver::{
    CudaContext, CudaEvent, CudaStream, DriverError, result, sys,
};
use std::ffi::c_void;
use std::ptr::NonNull;
use std::sync::Arc as SyncArc;

/// Least number of bytes to stage. The driver passes fewer bytes along with the command.
pub(super) const LEAST: usize = 64 << 10;
/// Bytes of the longest piece. Longer copies are split.
const MOST: usize = 64 << 20;

/// Two pieces of pinned memory, used in turns (double buffering): one is filled while the other is being copied.
///
/// A copy from pageable memory makes the driver wait for the stream. A copy from pinned memory is queued in the stream,
/// and the host runs on.
pub(super) struct Staging {
    pieces: [Option<Piece>; 2],
    next: usize,
}

/// A piece of pinned memory and the end of its last copy.
struct Piece {
    memory: NonNull<c_void>,
    len: usize,
    copied: CudaEvent,
}

// SAFETY: the memory belongs to the piece alone, and the driver's functions may be called from any thread that made the
// context current, which every method here does.
unsafe impl Send for Piece {}

impl Staging {
    /// Without memory yet: pieces grow with the copies.
    pub(super) fn new() -> Self {
        Self { pieces: [None, None], next: 0 }
    }

    /// Copies `bytes` to an address on the device. The caller may reuse the slice on return.
    ///
    /// # Safety
    /// `bytes.len()` bytes from `address` on must be memory of the stream's device.
    pub(super) unsafe fn upload(
        &mut self,
        stream: &SyncArc<CudaStream>,
        address: sys::CUdeviceptr,
        bytes: &[u8],
    ) -> Result<(), DriverError> {
        for (index, part) in bytes.chunks(MOST).enumerate() {
            let to = address + (index * MOST) as u64;
            let Ok(piece) = self.piece(stream.context(), part.len()) else {
                // Systems limit pinned memory; the driver's own way needs none.
                // SAFETY: the caller vouches for the destination; from pageable memory the part has been read on
                // return.
                unsafe { result::memcpy_htod_async(to, part, stream.cu_stream()) }?;
                continue;
            };
            // SAFETY: the piece is at least as long as the part, and nothing else reads or writes it: its last copy is
            // over. It stays as it is until `piece` has waited for the event recorded here. The caller vouches for the
            // destination.
            unsafe {
                let staged = piece.memory.as_ptr().cast::<u8>();
                std::ptr::copy_nonoverlapping(part.as_ptr(), staged, part.len());
                let staged = std::slice::from_raw_parts(staged, part.len());
                result::memcpy_htod_async(to, staged, stream.cu_stream())?;
            }
            piece.copied.record(stream).inspect_err(|_| {
                // Without the event, waiting for everything is what keeps the piece from being used too early.
                let _ = stream.synchronize();
            })?;
        }
        Ok(())
    }

    /// Returns the next piece, of at least `len` bytes, after its last copy has ended.
    fn piece(&mut self, context: &SyncArc<CudaContext>, len: usize) -> Result<&mut Piece, DriverError> {
        let slot = &mut self.pieces[self.next];
        self.next = 1 - self.next;
        match slot {
            Some(piece) if piece.len >= len => piece.copied.synchronize()?,
            // The old piece is dropped, which waits for its copy.
            _ => *slot = None,
        }
        let piece = match slot.take() {
            Some(piece) => piece,
            None => Piece::new(context, len.next_power_of_two())?,
        };
        Ok(slot.insert(piece))
    }
}

impl Piece {
    fn new(context: &SyncArc<CudaContext>, len: usize) -> Result<Self, DriverError> {
        // This also makes the context current.
        let copied = context.new_event(None)?;
        // SAFETY: the context is current; the memory is given back when the piece is dropped.
        let memory = unsafe { result::malloc_host(len, 0) }?;
        let memory = NonNull::new(memory).ok_or(DriverError(sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY))?;
        Ok(Self { memory, len, copied })
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        // A destructor cannot report failures.
        let _ = self.copied.synchronize();
        // SAFETY: `new` made it, it is freed once, and no copy reads it any more.
        let _ = unsafe { result::free_host(self.memory.as_ptr()) };
    }
}
