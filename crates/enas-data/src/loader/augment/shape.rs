//! The shape of an image.

/// Channels, height and width of an image `[c, h, w]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) channels: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
}

impl Shape {
    pub(crate) fn plane(self) -> usize {
        self.height * self.width
    }

    pub(crate) fn len(self) -> usize {
        self.channels * self.plane()
    }
}

/// Flips every row (horizontal flip).
pub(super) fn flip_horizontal<T>(width: usize, values: &mut [T]) {
    values.chunks_exact_mut(width).for_each(<[T]>::reverse);
}
