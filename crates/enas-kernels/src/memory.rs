//! Memory for feature maps: small ones from the allocator, large ones as mappings of their own.
//!
//! Maps have a dozen sizes and several threads request them. An allocator that cuts them out of common blocks
//! fragments: it came to hold 3.1 GB for 2.0 GB in use in half an hour of searching. A mapping of its own goes back to
//! the system whole.

use std::alloc::{Layout, handle_alloc_error};
use std::sync::atomic::{AtomicUsize, Ordering};

#[cfg(target_os = "linux")]
use memmap2::Advice;
use memmap2::MmapMut;

use enas_simd::Lane;

/// Size of a huge page. Memory of at least this size is a mapping of its own, aligned to huge pages. The kernels read
/// dozens of planes side by side: with small pages that is more than the TLB has entries for.
const HUGE: usize = 2 << 20;

/// A block of lanes, initially zero.
#[derive(Debug)]
pub(crate) enum Memory {
    Allocated(Vec<Lane>),
    /// `len` lanes from byte `first` of the mapping on.
    Mapped {
        map: MmapMut,
        first: usize,
        len: usize,
    },
}

impl Memory {
    /// No lanes.
    pub(crate) const fn empty() -> Self {
        Self::Allocated(Vec::new())
    }

    /// `len` zeros.
    pub(crate) fn zeros(len: usize) -> Self {
        let bytes = len * size_of::<Lane>();
        if bytes < HUGE { Self::Allocated(allocate(len)) } else { Self::map(len, bytes) }
    }

    /// Maps `len` lanes of `bytes` bytes. The mapping also has room for the distance to the first huge page and for the
    /// [`shift`] behind it.
    fn map(len: usize, bytes: usize) -> Self {
        let shift = shift();
        let Ok(map) = MmapMut::map_anon(bytes + shift + HUGE) else {
            handle_alloc_error(Layout::array::<Lane>(len).unwrap_or(Layout::new::<Lane>()));
        };
        let aligned = map.as_ptr().align_offset(HUGE);
        #[cfg(target_os = "linux")]
        {
            // The tail that does not fill a huge page uses small pages. An operating system that does not know the
            // advice refuses it, which is harmless.
            let whole = (shift + bytes) / HUGE * HUGE;
            let _ = map.advise_range(Advice::HugePage, aligned, whole);
            let _ = map.advise_range(Advice::NoHugePage, aligned + whole, map.len() - aligned - whole);
        }
        Self::Mapped { map, first: aligned + shift, len }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Allocated(lanes) => lanes.len(),
            Self::Mapped { len, .. } => *len,
        }
    }

    pub(crate) fn as_slice(&self) -> &[Lane] {
        match self {
            Self::Allocated(lanes) => lanes,
            // SAFETY: see `map`: the mapping has `len` lanes from byte `first` on, which is a multiple of their
            // alignment, and they were zero at first.
            Self::Mapped { map, first, len } => unsafe {
                std::slice::from_raw_parts(map.as_ptr().add(*first).cast(), *len)
            },
        }
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [Lane] {
        match self {
            Self::Allocated(lanes) => lanes,
            // SAFETY: as above, and the mapping is borrowed mutably.
            Self::Mapped { map, first, len } => unsafe {
                std::slice::from_raw_parts_mut(map.as_mut_ptr().add(*first).cast(), *len)
            },
        }
    }
}

/// Bytes by which the next mapping begins after a huge page, a multiple of a lane (cache colouring). Maps that all
/// began at the same offset would fall into the same cache sets. No two of 64 mappings in a row begin at the same
/// offset of a small page.
fn shift() -> usize {
    static MAPPINGS: AtomicUsize = AtomicUsize::new(0);
    let n = MAPPINGS.fetch_add(1, Ordering::Relaxed);
    (n * 20 % 64 + n / 16 % 4 + n % 16 * 64) * size_of::<Lane>()
}

/// `len` zero lanes from the allocator, in huge pages where the allocator's memory is large enough for them.
fn allocate(len: usize) -> Vec<Lane> {
    let mut lanes = Vec::with_capacity(len);
    #[cfg(target_os = "linux")]
    {
        /// Alignment of advice about memory: no Linux page is smaller.
        const PAGE: usize = 4096;
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

#[cfg(test)]
mod tests {
    use super::*;
    use enas_simd::LANES;

    #[test]
    fn memory_is_zero_and_holds_what_is_written() {
        for len in [0, 1, HUGE / 64 - 1, HUGE / 64, HUGE / 64 + 1, 3 * HUGE / 64 + 5] {
            let mut memory = Memory::zeros(len);
            assert_eq!((memory.len(), memory.as_slice().len()), (len, len));
            assert!(memory.as_slice().iter().all(|lane| *lane == Lane::ZERO));
            let lanes = memory.as_mut_slice();
            assert!(lanes.as_ptr().is_aligned());
            for (i, lane) in lanes.iter_mut().enumerate() {
                *lane = Lane([i as f32; LANES]);
            }
            assert!(memory.as_slice().iter().enumerate().all(|(i, lane)| lane.0[LANES - 1] == i as f32));
        }
    }

    #[test]
    fn mappings_do_not_all_begin_alike() {
        let mut shifts: Vec<usize> = (0..16).map(|_| shift() % 4096).collect();
        shifts.sort_unstable();
        shifts.dedup();
        assert!(shifts.len() > 8, "{shifts:?}");
        assert!((0..1000).all(|_| shift() < 1 << 17));
    }
}
