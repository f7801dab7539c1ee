//! The pixels of one channel.

/// One channel of an image, row by row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plane {
    pub(crate) width: usize,
    pub(crate) height: usize,
    /// `height * width` values.
    pub(crate) pixels: Vec<u8>,
}
