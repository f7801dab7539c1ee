//! Gathers the rows of a matrix product on a GPU (im2row), and scatters their gradients back. Counterpart of
//! [`crate::Im2row`].

mod copied;
mod filtered;
mod inputs;
mod kind;

use self::copied::Copy;
use self::filtered::Filter;
use self::inputs::GatherInputs;
pub use self::kind::GpuIm2row;
use crate::gpu::buffer::Span;
use crate::gpu::feature_map::{GpuActivation, GpuFeatureMap};

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
        let product = GatherInputs::new(inputs, relu);
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
        let product = GatherInputs::new(inputs, relu);
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
            let product = GatherInputs::new(inputs, relu);
            Filter::new(filter, k, stride, &product).filter_gradient(grad, into);
        }
    }
}
