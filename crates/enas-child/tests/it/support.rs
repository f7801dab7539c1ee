//! Images as tensors.

use candle_core::Tensor;
use enas_child::InputShape;
use enas_rng::Seed;
use enas_testing::tensors;

/// Images `[n, c, h, w]`.
pub(crate) fn images(data: Vec<f32>, InputShape { channels, height, width }: InputShape) -> Tensor {
    tensors::images(data, [channels, height, width])
}

/// Noise as bright as the number of its class, and the labels; the three classes take turns.
pub(crate) fn labelled_images(n: usize, input: InputShape) -> (Tensor, Tensor) {
    let mut stream = Seed::new(9).stream("pictures", &[]);
    let size = input.channels * input.height * input.width;
    let classes: Vec<u32> = (0..n).map(|i| (i % 3) as u32).collect();
    let data = (0..n * size).map(|i| stream.normal() + classes[i / size] as f32).collect();
    (images(data, input), tensors::labels(&classes))
}
