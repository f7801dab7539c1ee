//! Gathers the rows of a matrix product on a GPU (im2row), and scatters their gradients back. Counterpart of
//! [`crate::Im2row`].

mod copied;
mod filtered;

use self::copied::Copy;
use self::filtered::Filter;
use super::buffer::Span;
use super::feature_map::{GpuActivation, GpuFeatureMap};

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

impl GpuIm2row<'_> {
    /// Gathers the rows: returns `[n, k, h_out, w_out]`, where `k` is the number of rows of the product. The channels
    /// of the inputs follow one another.
    ///
    /// Reads the inputs about once and writes the rows once. If the rows are the pixels of a single plain input,
    /// nothing is copied: the result shares its memory.
    ///
    /// # Panics
    /// If the inputs differ in size, or the filters do not fit.
    pub fn gather(&self, inputs: &[GpuActivation], relu: bool) -> GpuFeatureMap {
        let product = Product::new(inputs, relu);
        match (*self, inputs) {
            (Self::Pixels, [GpuActivation { map, affine: None }]) if !relu => map.clone(),
            (Self::Depthwise { filter, k, stride }, _) => Filter::new(filter, k, stride, &product).gather(),
            (rows, _) => Copy::new(rows, &product).gather(),
        }
    }

    /// Propagates `grad`, the gradient `[n, k, h_out, w_out]` of the gathered rows, to the inputs. It is added to
    /// `targets`, one per input, or becomes the target if that is `None`.
    ///
    /// Reads `grad` about once, with a ReLU the inputs once, and writes the targets once. For the pixels of a single
    /// input without ReLU nothing is copied: a target that was `None` shares `grad`'s memory.
    ///
    /// # Panics
    /// If shapes do not fit.
    pub fn scatter(
        &self,
        inputs: &[GpuActivation],
        relu: bool,
        grad: &GpuFeatureMap,
        targets: &mut [Option<GpuFeatureMap>],
    ) {
        let product = Product::new(inputs, relu);
        match (*self, &mut *targets) {
            (Self::Pixels, [target @ None]) if !relu => {
                assert_eq!(
                    grad.shape(),
                    inputs[0].map.shape(),
                    "a pixel's gradient has the shape of the input"
                );
                *target = Some(grad.clone());
            }
            (Self::Depthwise { filter, k, stride }, _) => {
                Filter::new(filter, k, stride, &product).scatter(grad, targets);
            }
            (rows, _) => Copy::new(rows, &product).scatter(grad, targets),
        }
    }

    /// Adds the gradient of the depthwise filters to `into`, `[k, k, c]`; does nothing for other rows. `grad` is the
    /// gradient of the gathered rows.
    ///
    /// Reads the inputs and `grad` about once. Lanes of `grad` without an image do not count.
    ///
    /// # Panics
    /// If shapes do not fit.
    pub fn filter_gradient(
        &self,
        inputs: &[GpuActivation],
        relu: bool,
        grad: &GpuFeatureMap,
        into: Span<'_>,
    ) {
        if let Self::Depthwise { filter, k, stride } = *self {
            let product = Product::new(inputs, relu);
            Filter::new(filter, k, stride, &product).filter_gradient(grad, into);
        }
    }
}

/// The inputs that rows are gathered from, with their common size.
struct Product<'a> {
    inputs: &'a [GpuActivation],
    /// Whether a ReLU is applied to the inputs.
    relu: bool,
    n: usize,
    /// Number of channels of all inputs.
    channels: usize,
    h: usize,
    w: usize,
}

impl<'a> Product<'a> {
    fn new(inputs: &'a [GpuActivation], relu: bool) -> Self {
        let (n, _, h, w) = inputs[0].map.shape();
        for input in inputs {
            let (ni, _, hi, wi) = input.map.shape();
            assert_eq!((ni, hi, wi), (n, h, w), "inputs of one product have one size");
        }
        Self { inputs, relu, n, channels: inputs.iter().map(|input| input.map.c()).sum(), h, w }
    }

    /// Each input, and the number of channels before it.
    fn parts(&self) -> impl Iterator<Item = (&'a GpuActivation, usize)> {
        self.inputs.iter().scan(0, |channels, input| {
            let first = *channels;
            *channels += input.map.c();
            Some((input, first))
        })
    }

    /// Each input, the number of channels before it, the map for its gradient, and whether that is added to.
    fn targets<'t>(
        &self,
        targets: &'t mut [Option<GpuFeatureMap>],
    ) -> impl Iterator<Item = (&'a GpuActivation, usize, &'t mut GpuFeatureMap, bool)> {
        assert_eq!(targets.len(), self.inputs.len(), "one gradient per input");
        self.parts().zip(targets).map(|((input, first), target)| {
            let accumulate = target.is_some();
            let shape = input.map.shape();
            let target = target.get_or_insert_with(|| input.map.another(shape));
            assert_eq!(target.shape(), shape, "a gradient has the shape of its input");
            target.make_unique();
            (input, first, target, accumulate)
        })
    }
}
