//! Buffer pool (caching allocator) for feature maps.
//!
//! The first touch of fresh memory costs more than most operations on it. So a buffer goes back to a process-wide pool
//! when its last owner drops it. A buffer from the pool holds old numbers: every operation writes each element of its
//! output.

use std::cell::RefCell;
use std::sync::Mutex;

use crate::buffer_pool::BufferPool;
use crate::memory::Memory;
use enas_simd::Lane;

static POOL: Mutex<BufferPool<Memory>> = Mutex::new(BufferPool::new());

/// A buffer of lanes from the pool.
#[derive(Debug)]
pub(crate) struct Buffer(Memory);

impl Buffer {
    /// Takes a buffer of `len` lanes from the pool, or allocates one. Its content is arbitrary, perhaps not finite.
    pub(crate) fn take(len: usize) -> Self {
        // The lock is released before memory is allocated, which can take long.
        let recycled = lock().take(len);
        Self(recycled.unwrap_or_else(|| Memory::zeros(len)))
    }

    pub(crate) fn as_slice(&self) -> &[Lane] {
        self.0.as_slice()
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [Lane] {
        self.0.as_mut_slice()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let buffer = std::mem::replace(&mut self.0, Memory::empty());
        lock().put(buffer.len(), buffer);
    }
}

/// Limits the pool to `bytes` bytes, idle buffers included. Before the pool allocates, it frees idle buffers above the
/// limit. Buffers in use are never refused, so they alone may exceed it. Initially there is no limit.
pub fn limit_buffers(bytes: usize) {
    lock().set_limit(bytes);
}

fn lock() -> std::sync::MutexGuard<'static, BufferPool<Memory>> {
    // The pool is consistent after every statement, so a panic elsewhere cannot have left it half changed.
    POOL.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

thread_local! {
    static SCRATCH: RefCell<Memory> = const { RefCell::new(Memory::empty()) };
}

/// Calls `body` with this thread's scratch memory: `len` lanes of arbitrary content. Not re-entrant.
pub(crate) fn with_scratch<R>(len: usize, body: impl FnOnce(&mut [Lane]) -> R) -> R {
    SCRATCH.with_borrow_mut(|scratch| {
        if scratch.len() < len {
            // Frees the old memory first, so that both are never held at once.
            *scratch = Memory::empty();
            *scratch = Memory::zeros(len);
        }
        body(&mut scratch.as_mut_slice()[..len])
    })
}
