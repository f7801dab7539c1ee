//! The ways to gather rows.

use crate::gpu::buffer::Span;

/// How the rows of a product are gathered: [`crate::Im2row`] with the filter on the device.
#[derive(Clone, Copy, Debug)]
pub enum GpuIm2row<'a> {
    /// One row per input channel, every pixel as it is: a 1×1 convolution.
    Pixels,
    /// One row per input channel: pixels `offset, offset + 2, …` of both axes, zero outside the map. One path of a
    /// factorised reduction. Output size `⌈h/2⌉ × ⌈w/2⌉`.
    EverySecond {
        /// 0 or 1.
        offset: usize,
    },
    /// One row per input channel, filtered with the channel's own k×k filter, SAME padding. With the matrix, a
    /// separable convolution. Output size `⌈h/stride⌉ × ⌈w/stride⌉`.
    Depthwise {
        /// The filters, `[k, k, c]`.
        filter: Span<'a>,
        /// 3 or 5.
        k: usize,
        /// 1 or 2.
        stride: usize,
    },
    /// One row per tap and input channel (im2row), ordered `[k, k, c]`, SAME padding: a dense convolution.
    Patches {
        /// Kernel height and width.
        k: usize,
    },
}
