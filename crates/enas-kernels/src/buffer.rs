//! Recycled memory for feature maps.
//!
//! First touch of fresh memory costs more than most operations do on it, so buffers go back to a process-wide
//! pool when their last owner drops them. A buffer from the pool holds whatever was in it: every operation
//! writes each element of its output.

use std::sync::Mutex;

use crate::shelves::Shelves;
use crate::simd::Lane;

/// What advice about memory is aligned to: no Linux page is smaller.
#[cfg(target_os = "linux")]
const PAGE: usize = 4096;

static POOL: Mutex<Shelves<Vec<Lane>>> = Mutex::new(Shelves::new());

/// A pooled vector of lanes.
#[derive(Debug)]
pub(crate) struct Buffer(Vec<Lane>);

impl Buffer {
    /// `len` lanes with arbitrary finite or non-finite content.
    pub(crate) fn take(len: usize) -> Self {
        // The lock is not held while memory is made.
        let recycled = lock().take(len);
        Self(recycled.unwrap_or_else(|| zeros(len)))
    }

    pub(crate) fn as_slice(&self) -> &[Lane] {
        &self.0
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [Lane] {
        &mut self.0
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.0);
        lock().put(buffer.len(), buffer);
    }
}

/// Fresh memory, in huge pages where the system offers them: the kernels read dozens of planes side by side, more
/// than there are entries for small pages in the processor's address cache.
fn zeros(len: usize) -> Vec<Lane> {
    let mut lanes = Vec::with_capacity(len);
    #[cfg(target_os = "linux")]
    {
        let (start, bytes): (*mut Lane, usize) = (lanes.as_mut_ptr(), len * size_of::<Lane>());
        let first = start.addr() & !(PAGE - 1);
        // SAFETY: advice on how to map the pages of an allocation; neither their content nor their rights change.
        // A system that does not know the advice refuses it, which is fine.
        unsafe {
            libc::madvise(start.with_addr(first).cast(), start.addr() + bytes - first, libc::MADV_HUGEPAGE);
        }
    }
    lanes.resize(len, Lane::ZERO);
    lanes
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

fn lock() -> std::sync::MutexGuard<'static, Shelves<Vec<Lane>>> {
    // The shelves are consistent after every statement, so a panic elsewhere cannot have left them half changed.
    POOL.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

thread_local! {
    static SCRATCH: std::cell::RefCell<Vec<Lane>> = const { std::cell::RefCell::new(Vec::new()) };
}

/// Lends `body` this thread's scratch memory, `len` lanes of arbitrary content. Not re-entrant.
pub(crate) fn with_scratch<R>(len: usize, body: impl FnOnce(&mut [Lane]) -> R) -> R {
    SCRATCH.with_borrow_mut(|scratch| {
        if scratch.len() < len {
            *scratch = zeros(len);
        }
        body(&mut scratch[..len])
    })
}
