//! The vector of sixteen numbers in memory.

/// Images per vector: the length of the innermost axis of the blocked layout.
pub const LANES: usize = 16;

/// One number for each of sixteen images. It fills one cache line of 64 bytes and is aligned to it.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C, align(64))]
pub struct Lane(pub [f32; LANES]);

impl Lane {
    /// Sixteen zeros.
    pub const ZERO: Self = Self([0.0; LANES]);
}
