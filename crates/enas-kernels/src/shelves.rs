//! Which buffers are kept when nobody uses them, and which are given back. The rule alone: no memory.

use std::collections::BTreeMap;

use crate::simd::Lane;

/// Idle bytes above which a request that no idle buffer serves makes room first.
const IDLE_LIMIT: usize = 1 << 29;

/// Idle buffers by their length, and the bytes of all that were handed out or are idle.
///
/// A buffer is only ever reused for a request of its own length. A request that none serves is to be met with fresh
/// memory; before, the largest idle buffers go back to the system where too many are idle, or where the fresh memory
/// would lift the total above the limit.
#[derive(Debug)]
pub(crate) struct Shelves<T> {
    idle: BTreeMap<usize, Vec<T>>,
    idle_bytes: usize,
    held_bytes: usize,
    limit: usize,
}

impl<T> Shelves<T> {
    /// Nothing held, and no limit.
    pub(crate) const fn new() -> Self {
        Self { idle: BTreeMap::new(), idle_bytes: 0, held_bytes: 0, limit: usize::MAX }
    }

    /// A buffer of `len` lanes; `None` if the caller has to make one.
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

    /// Takes back a buffer of `len` lanes that nobody uses any more.
    pub(crate) fn put(&mut self, len: usize, buffer: T) {
        self.idle_bytes += bytes(len);
        self.idle.entry(len).or_default().push(buffer);
    }

    /// Gives at least `wanted` bytes of the largest idle buffers back, as far as there are any.
    pub(crate) fn make_room(&mut self, wanted: usize) {
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

    /// From now on fresh memory is made only after idle buffers above `limit` bytes in all have gone back.
    pub(crate) fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
        self.make_room(self.held_bytes.saturating_sub(limit));
    }

    /// Bytes of all buffers, used and idle.
    pub(crate) fn held_bytes(&self) -> usize {
        self.held_bytes
    }
}

/// Bytes of `len` lanes.
fn bytes(len: usize) -> usize {
    len * size_of::<Lane>()
}

/// What the process-wide pool of buffers would hold for a sequence of requests, reckoned without taking any memory.
#[derive(Debug)]
pub struct BufferLedger(Shelves<()>);

impl BufferLedger {
    /// An empty pool with the given limit in bytes, as of [`limit_buffers`](crate::limit_buffers).
    pub fn new(limit: usize) -> Self {
        let mut shelves = Shelves::new();
        shelves.set_limit(limit);
        Self(shelves)
    }

    /// Somebody takes a buffer for a map of `lanes` lanes.
    pub fn take(&mut self, lanes: usize) {
        let _ = self.0.take(lanes);
    }

    /// Its last user lets go of it.
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
        let mut shelves = Shelves::new();
        assert_eq!(shelves.take(L), None);
        shelves.put(L, 'a');
        assert_eq!((shelves.take(2 * L), shelves.take(L)), (None, Some('a')));
        assert_eq!(shelves.held_bytes(), 3 * KIB);
    }

    #[test]
    fn above_the_limit_the_largest_idle_buffers_go_first() {
        let mut shelves = Shelves::new();
        for (len, name) in [(L, 'a'), (4 * L, 'b'), (2 * L, 'c')] {
            shelves.take(len);
            shelves.put(len, name);
        }
        shelves.set_limit(8 * KIB);
        assert_eq!(shelves.held_bytes(), 7 * KIB);
        // One too many: the buffer of four goes, and then there is room.
        assert_eq!((shelves.take(3 * L), shelves.held_bytes()), (None, 6 * KIB));
        assert_eq!((shelves.take(L), shelves.take(2 * L)), (Some('a'), Some('c')));
    }

    #[test]
    fn buffers_in_use_are_never_counted_as_room() {
        let mut shelves = Shelves::<char>::new();
        shelves.set_limit(KIB);
        assert_eq!((shelves.take(L), shelves.take(L)), (None, None));
        assert_eq!(shelves.held_bytes(), 2 * KIB);
    }

    #[test]
    fn without_a_limit_idle_buffers_go_only_when_there_are_very_many() {
        let mut shelves = Shelves::new();
        let large = (IDLE_LIMIT / 2 + KIB) / size_of::<Lane>();
        assert_eq!([large, large].map(|len| shelves.take(len)), [None, None]);
        shelves.put(large, 'a');
        assert_eq!(shelves.take(L), None);
        shelves.put(large, 'b');
        assert_eq!(shelves.take(2 * L), None);
        assert_eq!(shelves.held_bytes(), bytes(large) + 3 * KIB);
    }
}
