//! What a pool is: its reduction and its windows.

use std::ops::Range;

use crate::geometry::Axis;

/// The reduction of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PoolKind {
    /// The mean of the window's real pixels.
    Average,
    /// The largest of the window's real pixels.
    Max,
}

/// A pooling operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Mean or maximum.
    pub kind: PoolKind,
    /// Windows along the height.
    pub y: Axis,
    /// Windows along the width.
    pub x: Axis,
    /// Whether a ReLU is applied to the pixels first.
    pub relu: bool,
}

impl Pool {
    /// k×k windows with SAME padding, on a map of `h × w` pixels.
    pub fn same(kind: PoolKind, k: usize, stride: usize, h: usize, w: usize) -> Self {
        Self { kind, y: Axis::same(h, k, stride), x: Axis::same(w, k, stride), relu: false }
    }

    /// k×k windows without padding (VALID), on a map of `h × w` pixels.
    pub fn valid(kind: PoolKind, k: usize, stride: usize, h: usize, w: usize) -> Self {
        Self { kind, y: Axis::valid(h, k, stride), x: Axis::valid(w, k, stride), relu: false }
    }

    /// The same pool, applied to `max(x, 0)`.
    #[must_use]
    pub fn with_relu(self) -> Self {
        Self { relu: true, ..self }
    }

    /// Whether this is one of the 3×3 pools of networks, which have kernels of their own.
    pub(super) fn is_3x3(&self) -> bool {
        let three = |stride| *self == self.as_3x3(stride) && (self.kind == PoolKind::Max || !self.relu);
        three(1) || three(2)
    }

    /// The same pool with a window of 3×3 and the given stride as constants, which the compiler can then unroll.
    #[inline(always)]
    pub(super) fn as_3x3(self, stride: usize) -> Self {
        Self { y: Axis { k: 3, stride, ..self.y }, x: Axis { k: 3, stride, ..self.x }, ..self }
    }

    /// Checks the windows: the kernels read through pointers, so no window may leave the map, whatever the fields say.
    ///
    /// # Panics
    /// If a window would leave the map, or the pool was made for another size.
    pub(crate) fn check(&self, h: usize, w: usize) {
        assert_eq!((h, w), (self.y.size, self.x.size), "the pool was made for this size");
        assert!(self.y.is_inside() && self.x.is_inside(), "every window holds a pixel: {self:?}");
    }
}

/// The range of windows that hold no padding.
#[inline(always)]
pub(super) fn windows_inside(axis: Axis) -> Range<usize> {
    let fitting = (axis.size + axis.before).checked_sub(axis.k).map_or(0, |last| last / axis.stride + 1);
    let first = axis.before.div_ceil(axis.stride).min(axis.out);
    first..fitting.clamp(first, axis.out)
}

/// The range of windows that hold `pixel`.
#[inline(always)]
pub(super) fn windows_holding(axis: Axis, pixel: usize) -> Range<usize> {
    let at = pixel + axis.before;
    let end = (at / axis.stride + 1).min(axis.out);
    (at + 1).saturating_sub(axis.k).div_ceil(axis.stride).min(end)..end
}

/// For each window, one over the number of its real pixels along this axis.
pub(super) fn shares(axis: Axis) -> Vec<f32> {
    let share = |window| {
        let (first, end, _) = axis.taps(window);
        1.0 / (end - first) as f32
    };
    (0..axis.out).map(share).collect()
}
