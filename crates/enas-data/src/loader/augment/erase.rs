//! Random erasing (Zhong et al., AAAI 2020) on normalised values, with standard normal noise.

use enas_rng::Stream;

use super::shape::Shape;

/// Minimum and maximum share of the image that is erased.
const AREA: (f32, f32) = (0.02, 0.33);
/// Maximum aspect ratio of the rectangle.
const RATIO: f32 = 3.3;
/// Number of rectangles that are drawn until one fits.
const ATTEMPTS: usize = 10;

/// With this probability, replaces a rectangle of one image `[c, h, w]` by normal noise.
pub(super) fn apply(probability: f32, shape: Shape, values: &mut [f32], stream: &mut Stream) {
    if !stream.chance(probability) {
        return;
    }
    for _ in 0..ATTEMPTS {
        let area = stream.range(AREA.0, AREA.1) * shape.plane() as f32;
        let ratio = (stream.range(-1.0, 1.0) * RATIO.ln()).exp();
        let (height, width) =
            ((area * ratio).sqrt().round() as usize, (area / ratio).sqrt().round() as usize);
        if height == 0 || width == 0 || height > shape.height || width > shape.width {
            continue;
        }
        let top = stream.below(shape.height - height + 1);
        let left = stream.below(shape.width - width + 1);
        for row in 0..shape.channels * height {
            let channel = row / height;
            let y = top + row % height;
            let start = channel * shape.plane() + y * shape.width + left;
            values[start..start + width].iter_mut().for_each(|value| *value = stream.normal());
        }
        return;
    }
}

#[cfg(test)]
mod tests {
    use enas_rng::Seed;

    use super::*;

    #[test]
    fn one_rectangle_of_an_allowed_size_is_erased_in_all_channels() {
        let shape = Shape { channels: 2, height: 20, width: 30 };
        let mut erased = 0;
        for i in 0..200 {
            let mut values = vec![9.0; shape.len()];
            apply(0.5, shape, &mut values, &mut Seed::new(1).stream("augment", &[i]));
            let gone = |c: usize| -> Vec<usize> {
                (0..shape.plane()).filter(|at| values[c * shape.plane() + at] != 9.0).collect()
            };
            let first = gone(0);
            let second = gone(1);
            assert_eq!(first, second);
            let (Some(start), Some(end)) = (first.first(), first.last()) else { continue };
            erased += 1;
            let height = end / 30 - start / 30 + 1;
            let width = end % 30 - start % 30 + 1;
            assert_eq!(first.len(), height * width, "a rectangle");
            // Sides are whole pixels.
            assert!((0.01..0.38).contains(&(first.len() as f32 / 600.0)), "{height}x{width}");
        }
        assert!((75..125).contains(&erased), "{erased}");
    }

    #[test]
    fn an_image_of_one_pixel_is_no_trouble() {
        let shape = Shape { channels: 1, height: 1, width: 1 };
        let mut values = vec![1.0];
        (0..50).for_each(|i| apply(1.0, shape, &mut values, &mut Seed::new(1).stream("augment", &[i])));
    }
}
