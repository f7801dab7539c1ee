//! Prefetching: hints to the caches.

use crate::lane::Lane;

/// Prefetch distance of a pass over memory, in lanes (128 lanes are 8 KiB). It covers the latency of main memory.
/// Behind the end of a tile of rows lies the next tile of the same plane, so these prefetches are useful too.
pub const AHEAD: usize = 128;

/// Prefetches the cache line at `p` into the second-level cache. Only a hint: any address is allowed.
#[inline(always)]
pub fn prefetch(p: *const Lane) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch neither faults nor changes anything.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T1 }>(p.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = p;
}

/// Prefetches the cache line at `p` into the first-level cache, for writing. Only a hint: any address is allowed.
#[inline(always)]
pub fn prefetch_for_writing(p: *mut Lane) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch neither faults nor changes anything.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_ET0 }>(p.cast_const().cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = p;
}
