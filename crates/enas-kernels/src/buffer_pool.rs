//! The policy of the buffer pool: which idle buffers it keeps and which it frees. This file holds no memory itself.

use std::collections::BTreeMap;

use enas_simd::Lane;

/// Idle bytes above which the pool frees idle buffers before it allocates.
const IDLE_LIMIT: usize = 1 << 29;

/// Idle buffers by their length, and the bytes of all buffers, in use or idle.
///
/// A buffer is only reused for a request of exactly its length. If there is none, the caller allocates. Before that,
/// the pool frees its largest idle buffers in two cases. Either more than [`IDLE_LIMIT`] bytes are idle, or the new
/// buffer would lift the total above the limit.
#[derive(Debug)]
pub(crate) struct BufferPool<T> {
    idle: BTreeMap<usize, Vec<T>>,
    idle_bytes: usize,
    held_bytes: usize,
    limit: usize,
}

impl<T> BufferPool<T> {
    /// An empty pool without a limit.
    pub(crate) const fn new() -> Self {
        Self { idle: BTreeMap::new(), idle_bytes: 0, held_bytes: 0, limit: usize::MAX }
    }

    /// Takes an idle buffer of `len` lanes. `None` if the caller has to allocate one, which is then counted as held.
    pub(crate) fn take(&mut self, len: usize) -> Option<T> {
        let bytes = bytes(len);
        if let Some(buffer) = self.idle.get_mut(&len).and_then(Vec::pop) {
            self.idle_bytes -= bytes;
            return Some(buffer);
        }
        let crowded = if self.idle_bytes > IDLE_LIMIT { bytes } else { 0 };
        let excess = (self.held_bytes + bytes).saturating_sub(self.limit);
        self.make_room(crowded.max(excess));
        self.held_bytes += bytes;
        None
    }

    /// Takes back a buffer of `len` lanes that is no longer used.
    pub(crate) fn put(&mut self, len: usize, buffer: T) {
        self.idle_bytes += bytes(len);
        self.idle.entry(len).or_default().push(buffer);
    }

    /// Frees the largest idle buffers, at least `wanted` bytes, or all if there are fewer.
    fn make_room(&mut self, wanted: usize) {
        let mut freed = 0;
        while freed < wanted {
            let Some(mut largest) = self.idle.last_entry() else { break };
            let len = *largest.key();
            if largest.get_mut().pop().is_some() {
                freed += bytes(len);
            } else {
                largest.remove();
            }
        }
        self.idle_bytes -= freed;
        self.held_bytes -= freed;
    }

    /// Sets the limit on the bytes of all buffers, and frees idle buffers above it.
    pub(crate) fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
        self.make_room(self.held_bytes.saturating_sub(limit));
    }

    /// Bytes of all buffers, used and idle.
    pub(crate) fn held_bytes(&self) -> usize {
        self.held_bytes
    }
}

/// Bytes that `len` lanes take.
fn bytes(len: usize) -> usize {
    len * size_of::<Lane>()
}

/// Simulates the process-wide buffer pool: the bytes it would hold after a sequence of requests. It takes no memory.
#[derive(Debug)]
pub struct BufferLedger(BufferPool<()>);

impl BufferLedger {
    /// An empty pool with a limit of `limit` bytes, as set by [`limit_buffers`](crate::limit_buffers).
    pub fn new(limit: usize) -> Self {
        let mut buffer_pool = BufferPool::new();
        buffer_pool.set_limit(limit);
        Self(buffer_pool)
    }

    /// Counts a request for a buffer of `lanes` lanes.
    pub fn take(&mut self, lanes: usize) {
        let _ = self.0.take(lanes);
    }

    /// Counts the return of a buffer of `lanes` lanes.
    pub fn put(&mut self, lanes: usize) {
        self.0.put(lanes, ());
    }

    /// Bytes of all buffers, used and idle.
    pub fn held_bytes(&self) -> usize {
        self.0.held_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: usize = 1 << 10;
    /// Lanes in a KiB.
    const L: usize = KIB / size_of::<Lane>();

    #[test]
    fn a_buffer_serves_requests_of_its_length_again() {
        let mut buffer_pool = BufferPool::new();
        assert_eq!(buffer_pool.take(L), None);
        buffer_pool.put(L, 'a');
        assert_eq!((buffer_pool.take(2 * L), buffer_pool.take(L)), (None, Some('a')));
        assert_eq!(buffer_pool.held_bytes(), 3 * KIB);
    }

    #[test]
    fn above_the_limit_the_largest_idle_buffers_go_first() {
        let mut buffer_pool = BufferPool::new();
        for (len, name) in [(L, 'a'), (4 * L, 'b'), (2 * L, 'c')] {
            buffer_pool.take(len);
            buffer_pool.put(len, name);
        }
        buffer_pool.set_limit(8 * KIB);
        assert_eq!(buffer_pool.held_bytes(), 7 * KIB);
        // One too many: the buffer of four is freed, so that the limit is kept.
        assert_eq!((buffer_pool.take(3 * L), buffer_pool.held_bytes()), (None, 6 * KIB));
        assert_eq!((buffer_pool.take(L), buffer_pool.take(2 * L)), (Some('a'), Some('c')));
    }

    #[test]
    fn buffers_in_use_are_never_counted_as_room() {
        let mut buffer_pool = BufferPool::<char>::new();
        buffer_pool.set_limit(KIB);
        assert_eq!((buffer_pool.take(L), buffer_pool.take(L)), (None, None));
        assert_eq!(buffer_pool.held_bytes(), 2 * KIB);
    }

    #[test]
    fn without_a_limit_idle_buffers_go_only_when_there_are_very_many() {
        let mut buffer_pool = BufferPool::new();
        let large = (IDLE_LIMIT / 2 + KIB) / size_of::<Lane>();
        assert_eq!([large, large].map(|len| buffer_pool.take(len)), [None, None]);
        buffer_pool.put(large, 'a');
        assert_eq!(buffer_pool.take(L), None);
        buffer_pool.put(large, 'b');
        assert_eq!(buffer_pool.take(2 * L), None);
        assert_eq!(buffer_pool.held_bytes(), bytes(large) + 3 * KIB);
    }
}
