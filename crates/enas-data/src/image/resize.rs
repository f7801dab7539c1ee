//! Resizing of images to the size of the network input. No decoding, no colour.

use serde::{Deserialize, Serialize};

pub(crate) use super::plane::Plane;
use super::triangle;

/// How an image of another aspect ratio is fitted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Resize {
    /// The whole image; the sides are scaled independently.
    #[default]
    Stretch,
    /// The whole image in its own aspect ratio, centred between black bars.
    Pad,
    /// The largest centred part with the aspect ratio of the input.
    Crop,
}

/// The interpolation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Filter {
    /// Bilinear with antialiasing: when shrinking, the triangle filter covers all source pixels.
    #[default]
    Smooth,
    /// Bit-exact with OpenCV's 8-bit `INTER_LINEAR`, which always reads four pixels and therefore aliases when
    /// shrinking.
    #[serde(rename = "opencv")]
    OpenCv,
}

/// Fits one channel into `height` × `width` pixels and appends them to `out`.
pub(crate) fn resize_plane(
    plane: &Plane,
    height: usize,
    width: usize,
    resize: Resize,
    filter: Filter,
    out: &mut Vec<u8>,
) {
    match resize {
        Resize::Stretch => out.extend(scale(plane, height, width, filter)),
        Resize::Crop => out.extend(scale(&centre_crop(plane, height, width), height, width, filter)),
        Resize::Pad => out.extend(pad(plane, height, width, filter)),
    }
}

/// Height and width of the largest `height : width` rectangle inside `outer`, at least one pixel each.
fn inscribed((height, width): (usize, usize), outer: (usize, usize)) -> (usize, usize) {
    // Compares outer.0 / outer.1 with height / width without dividing.
    let rounded = |a: usize, b: usize, c: usize| ((2 * a * b + c) / (2 * c)).max(1);
    if outer.0 * width > outer.1 * height {
        (rounded(outer.1, height, width).min(outer.0), outer.1)
    } else {
        (outer.0, rounded(outer.0, width, height).min(outer.1))
    }
}

/// The largest centred part of `plane` with the aspect ratio `height : width`.
fn centre_crop(plane: &Plane, height: usize, width: usize) -> Plane {
    let (h, w) = inscribed((height, width), (plane.height, plane.width));
    let top = (plane.height - h) / 2;
    let left = (plane.width - w) / 2;
    let row = |y: usize| &plane.pixels[(top + y) * plane.width + left..][..w];
    Plane { width: w, height: h, pixels: (0..h).flat_map(row).copied().collect() }
}

/// The whole plane in its own aspect ratio, centred on black.
fn pad(plane: &Plane, height: usize, width: usize, filter: Filter) -> Vec<u8> {
    let (h, w) = inscribed((plane.height, plane.width), (height, width));
    let inner = scale(plane, h, w, filter);
    let top = (height - h) / 2;
    let left = (width - w) / 2;
    let mut out = vec![0; height * width];
    for (y, row) in inner.chunks_exact(w).enumerate() {
        out[(top + y) * width + left..][..w].copy_from_slice(row);
    }
    out
}

fn scale(plane: &Plane, height: usize, width: usize, filter: Filter) -> Vec<u8> {
    if (plane.height, plane.width) == (height, width) {
        return plane.pixels.clone();
    }
    match filter {
        Filter::OpenCv => opencv_bilinear(plane, height, width),
        Filter::Smooth => triangle::resize(plane, height, width),
    }
}

/// Two adjacent source positions and their weights, which sum to about 2048.
struct LinearSample {
    first: usize,
    second: usize,
    weights: [i32; 2],
}

/// The taps of every destination position along one axis.
///
/// Outside the first and last source pixel, OpenCV moves a column onto that pixel. For a row it keeps both weights
/// and reads the same row twice. The value is the same, the truncation is not.
fn linear_samples(source: usize, destination: usize, axis: Axis) -> Vec<LinearSample> {
    let scale = source as f64 / destination as f64;
    let last = source as isize - 1;
    let sample = |d: usize| {
        // OpenCV computes the position in double precision and stores it as a float.
        let position = ((d as f64 + 0.5) * scale - 0.5) as f32;
        let floor = position.floor();
        let first = floor as isize;
        let beyond = first < 0 || first >= last;
        let fraction = if beyond && axis == Axis::Columns { 0.0 } else { position - floor };
        let inside = |i: isize| i.clamp(0, last) as usize;
        let weight = |x: f32| (2048.0 * x).round_ties_even() as i32;
        LinearSample {
            first: inside(first),
            second: inside(first + 1),
            weights: [weight(1.0 - fraction), weight(fraction)],
        }
    };
    (0..destination).map(sample).collect()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Axis {
    Columns,
    Rows,
}

/// OpenCV's fixed-point bilinear resize of 8-bit pixels, separable.
///
/// Horizontal pass: 11-bit weights. Vertical pass: shift the values right by four, multiply by 11-bit weights, shift
/// each product by sixteen, add, and round off the last two bits. The order of these truncations determines the bits.
fn opencv_bilinear(plane: &Plane, height: usize, width: usize) -> Vec<u8> {
    let columns = linear_samples(plane.width, width, Axis::Columns);
    let horizontal = |y: usize| -> Vec<i32> {
        let row = &plane.pixels[y * plane.width..][..plane.width];
        let value = |t: &LinearSample| {
            i32::from(row[t.first]) * t.weights[0] + i32::from(row[t.second]) * t.weights[1]
        };
        columns.iter().map(value).collect()
    };
    let mut out = Vec::with_capacity(height * width);
    for sample in linear_samples(plane.height, height, Axis::Rows) {
        let upper = horizontal(sample.first);
        let lower = horizontal(sample.second);
        out.extend(upper.iter().zip(&lower).map(|(&a, &b)| {
            let sum = ((sample.weights[0] * (a >> 4)) >> 16) + ((sample.weights[1] * (b >> 4)) >> 16);
            ((sum + 2) >> 2).clamp(0, 255) as u8
        }));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn plane(height: usize, width: usize, pixels: &[u8]) -> Plane {
        Plane { width, height, pixels: pixels.to_vec() }
    }

    fn fitted(p: &Plane, size: (usize, usize), resize: Resize, filter: Filter) -> Vec<u8> {
        let mut out = Vec::new();
        resize_plane(p, size.0, size.1, resize, filter, &mut out);
        out
    }

    /// By hand: scale 1/2, positions -0.25, 0.25, 0.75, 1.25; weights of the middle two 1536:512 and 512:1536. Row
    /// [0, 100]: 0, 51200/2048 = 25, 153600/2048 = 75, 100; every row is the same.
    #[test]
    fn opencv_doubling_two_pixels_follows_the_recipe() {
        let out = fitted(&plane(1, 2, &[0, 100]), (1, 4), Resize::Stretch, Filter::OpenCv);
        assert_eq!(out, [0, 25, 75, 100]);
        let out = fitted(&plane(2, 1, &[0, 100]), (4, 1), Resize::Stretch, Filter::OpenCv);
        assert_eq!(out, [0, 25, 75, 100]);
    }

    /// By hand, the truncations: row t = [10*1536 + 21*512] = 26112, t >> 4 = 1632; below t = [200*1536 + 3*512] =
    /// 308736, >> 4 = 19296. First row of the middle: 1536*1632 >> 16 = 38, 512*19296 >> 16 = 150, (38 + 150 + 2) >>
    /// 2 = 47. Exact arithmetic gives 47.25.
    #[test]
    fn opencv_two_by_two_to_four_by_four_truncates_as_the_recipe_does() {
        let out = fitted(&plane(2, 2, &[10, 21, 200, 3]), (4, 4), Resize::Stretch, Filter::OpenCv);
        assert_eq!(out[5], 47);
        assert_eq!((out[0], out[3], out[12], out[15]), (10, 21, 200, 3));
    }

    /// By hand: three pixels to two, scale 1.5, positions 0.25 and 1.75: 0.75*40 + 0.25*80 = 50 and 0.25*80 +
    /// 0.75*240 = 200.
    #[test]
    fn opencv_shrinking_reads_two_neighbours() {
        let out = fitted(&plane(1, 3, &[40, 80, 240]), (1, 2), Resize::Stretch, Filter::OpenCv);
        assert_eq!(out, [50, 200]);
    }

    #[test]
    fn opencv_results_are_matched_exactly() {
        let results = crate::golden::results("resize");
        assert_eq!(results.len(), 4);
        for ([height, width], expected) in results {
            let source = plane(8, 8, &crate::golden::source());
            let out = fitted(&source, (height as usize, width as usize), Resize::Stretch, Filter::OpenCv);
            assert_eq!(out, expected, "{height} x {width}");
        }
    }

    #[test]
    fn smooth_shrinking_averages_where_opencv_aliases() {
        let stripes: Vec<u8> = (0..64).map(|i| if matches!(i % 4, 0 | 3) { 255 } else { 0 }).collect();
        let smooth = fitted(&plane(1, 64, &stripes), (1, 4), Resize::Stretch, Filter::Smooth);
        assert!(smooth.iter().all(|&v| (100..=155).contains(&v)), "{smooth:?}");
        let aliased = fitted(&plane(1, 64, &stripes), (1, 4), Resize::Stretch, Filter::OpenCv);
        assert!(aliased.iter().any(|&v| !(100..=155).contains(&v)), "{aliased:?}");
    }

    #[test]
    fn padding_centres_the_whole_image_on_black() {
        let out = fitted(&plane(1, 2, &[200, 100]), (4, 4), Resize::Pad, Filter::OpenCv);
        assert_eq!(out[0..4], [0; 4]);
        assert_eq!(out[4..8], [200, 175, 125, 100]);
        assert_eq!(out[8..12], out[4..8]);
        assert_eq!(out[12..16], [0; 4]);
    }

    #[test]
    fn cropping_keeps_the_centre() {
        let out = fitted(&plane(1, 5, &[1, 2, 3, 4, 5]), (1, 1), Resize::Crop, Filter::Smooth);
        assert_eq!(out, [3]);
        let out = fitted(&plane(4, 2, &[1, 2, 3, 4, 5, 6, 7, 8]), (2, 2), Resize::Crop, Filter::Smooth);
        assert_eq!(out, [3, 4, 5, 6]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_size_becomes_the_asked_size_and_a_flat_image_stays_flat(
            (h, w) in (1usize..40, 1usize..40), (oh, ow) in (1usize..40, 1usize..40), value in any::<u8>(),
            filter in prop_oneof![Just(Filter::Smooth), Just(Filter::OpenCv)],
        ) {
            let flat = plane(h, w, &vec![value; h * w]);
            for resize in [Resize::Stretch, Resize::Pad, Resize::Crop] {
                let out = fitted(&flat, (oh, ow), resize, filter);
                prop_assert_eq!(out.len(), oh * ow);
                // The truncations of OpenCV may lose one step.
                let near = |v: u8| v.abs_diff(value) <= 1;
                prop_assert!(out.iter().all(|&v| near(v) || (resize == Resize::Pad && v == 0)));
            }
        }

        #[test]
        fn the_same_size_leaves_every_pixel(pixels in proptest::collection::vec(any::<u8>(), 12)) {
            for filter in [Filter::Smooth, Filter::OpenCv] {
                let out = fitted(&plane(3, 4, &pixels), (3, 4), Resize::Stretch, filter);
                prop_assert_eq!(&out, &pixels);
            }
            prop_assert_eq!(opencv_bilinear(&plane(3, 4, &pixels), 3, 4), pixels);
        }
    }
}
