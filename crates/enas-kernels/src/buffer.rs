//! Recycled memory for feature maps.
//!
//! First touch of fresh memory costs more than most operations do on it, so buffers go back to a process-wide
//! pool when their last owner drops them. A buffer from the pool holds whatever was in it: every operation
//! writes each element of its output.

use std::cell::RefCell;
use std::sync::Mutex;

use crate::memory::Memory;
use crate::shelves::Shelves;
use crate::simd::Lane;

static POOL: Mutex<Shelves<Memory>> = Mutex::new(Shelves::new());

/// Pooled lanes.
#[derive(Debug)]
pub(crate) struct Buffer(Memory);

impl Buffer {
    /// `len` lanes with arbitrary finite or non-finite content.
    pub(crate) fn take(len: usize) -> Self {
        // The lock is not held while memory is made.
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

/// Gives all idle buffers back to the allocator, for example between phases with different batch sizes.
pub fn release_idle_buffers() {
    lock().make_room(usize::MAX);
}

/// Lets all buffers together, idle ones included, take `bytes` where those in use leave that much: before fresh memory is
/// made, idle buffers above the limit go back to the allocator. No limit at first.
pub fn limit_buffers(bytes: usize) {
    lock().set_limit(bytes);
}

fn lock() -> std::sync::MutexGuard<'static, Shelves<Memory>> {
    // The shelves are consistent after every statement, so a panic elsewhere cannot have left them half changed.
    POOL.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

thread_local! {
    static SCRATCH: RefCell<Memory> = const { RefCell::new(Memory::empty()) };
}

/// Lends `body` this thread's scratch memory, `len` lanes of arbitrary content. Not re-entrant.
pub(crate) fn with_scratch<R>(len: usize, body: impl FnOnce(&mut [Lane]) -> R) -> R {
    SCRATCH.with_borrow_mut(|scratch| {
        if scratch.len() < len {
            // The old memory goes back first.
            *scratch = Memory::empty();
            *scratch = Memory::zeros(len);
        }
        body(&mut scratch.as_mut_slice()[..len])
    })
}
