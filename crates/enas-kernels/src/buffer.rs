//! Recycled memory for feature maps.
//!
//! First touch of fresh memory costs more than most operations do on it, so buffers go back to a process-wide
//! pool when their last owner drops them. A buffer from the pool holds whatever was in it: every operation
//! writes each element of its output.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::simd::Lane;

/// Idle bytes above which a request that the pool cannot serve makes room first.
const IDLE_LIMIT: usize = 1 << 29;

/// What advice about memory is aligned to: no Linux page is smaller.
#[cfg(target_os = "linux")]
const PAGE: usize = 4096;

static IDLE: Mutex<BTreeMap<usize, Vec<Vec<Lane>>>> = Mutex::new(BTreeMap::new());
static IDLE_BYTES: AtomicUsize = AtomicUsize::new(0);

/// A pooled vector of lanes.
#[derive(Debug)]
pub(crate) struct Buffer(Vec<Lane>);

impl Buffer {
    /// `len` lanes with arbitrary finite or non-finite content.
    pub(crate) fn take(len: usize) -> Self {
        let bytes = len * size_of::<Lane>();
        let mut idle = lock();
        if let Some(buffer) = idle.get_mut(&len).and_then(Vec::pop) {
            IDLE_BYTES.fetch_sub(bytes, Ordering::Relaxed);
            return Self(buffer);
        }
        if IDLE_BYTES.load(Ordering::Relaxed) > IDLE_LIMIT {
            make_room(&mut idle, bytes);
        }
        drop(idle);
        Self(zeros(len))
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
        // Counted under the lock: the count must never fall behind what the pool holds.
        let mut idle = lock();
        IDLE_BYTES.fetch_add(buffer.len() * size_of::<Lane>(), Ordering::Relaxed);
        idle.entry(buffer.len()).or_default().push(buffer);
    }
}

/// Gives at least `bytes` of the largest idle buffers back to the allocator, so that the total does not grow when sizes
/// change.
fn make_room(idle: &mut BTreeMap<usize, Vec<Vec<Lane>>>, bytes: usize) {
    let mut freed = 0;
    while freed < bytes {
        let Some(mut largest) = idle.last_entry() else { break };
        match largest.get_mut().pop() {
            Some(buffer) => freed += buffer.len() * size_of::<Lane>(),
            None => {
                largest.remove();
            }
        }
    }
    IDLE_BYTES.fetch_sub(freed, Ordering::Relaxed);
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
    let mut idle = lock();
    idle.clear();
    IDLE_BYTES.store(0, Ordering::Relaxed);
}

fn lock() -> std::sync::MutexGuard<'static, BTreeMap<usize, Vec<Vec<Lane>>>> {
    // The map is consistent after every statement, so a panic elsewhere cannot have left it half changed.
    IDLE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
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
