//! The gradient map that a backward pass writes, shared between tasks.

use crate::feature_map::FeatureMap;
use enas_simd::Lane;

/// The gradient map of one input during a backward pass.
#[derive(Clone, Copy)]
pub(crate) struct GradientTarget {
    lanes: *mut Lane,
    block_len: usize,
    /// Whether gradients are added to the content of the map or overwrite it.
    pub(crate) accumulate: bool,
}

// SAFETY: each group of sixteen images is handed to exactly one task, which touches that group's lanes only.
unsafe impl Send for GradientTarget {}
// SAFETY: as above.
unsafe impl Sync for GradientTarget {}

impl GradientTarget {
    /// A target for `map`, which must outlive the target and not be used elsewhere meanwhile.
    pub(crate) fn new(map: &mut FeatureMap, accumulate: bool) -> Self {
        let block_len = map.block_len();
        Self { lanes: map.lanes_mut().as_mut_ptr(), block_len, accumulate }
    }

    /// The lanes of one group of images.
    ///
    /// # Safety
    /// No two tasks may hold the same block, and the map outlives the result.
    #[allow(clippy::mut_from_ref)] // The contract above makes the reference exclusive.
    pub(crate) unsafe fn block(&self, block: usize) -> &mut [Lane] {
        // SAFETY: the map has more than `block` groups of `block_len` lanes; exclusivity is the caller's duty.
        unsafe { std::slice::from_raw_parts_mut(self.lanes.add(block * self.block_len), self.block_len) }
    }
}
