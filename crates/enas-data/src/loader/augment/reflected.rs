//! Affine maps of images with reflected borders.

use super::shape::Shape;

/// Maps pixels: destination `(x, y)` comes from `(a·x + b·y + c, d·x + e·y + f)`, bilinear, with reflected
/// borders.
///
/// Implemented here because `imageproc` has no reflected borders.
pub(super) fn warp(shape: Shape, pixels: &mut [u8], [a, b, c, d, e, f]: [f32; 6]) {
    let source = pixels.to_vec();
    let width = shape.width;
    let height = shape.height;
    for (y, x) in (0..height).flat_map(|y| (0..width).map(move |x| (y, x))) {
        let fx = x as f32;
        let fy = y as f32;
        let sx = a * fx + b * fy + c;
        let sy = d * fx + e * fy + f;
        let left = sx.floor();
        let top = sy.floor();
        let right_share = sx - left;
        let bottom_share = sy - top;
        let columns = [0, 1].map(|i| reflect(left as i64 + i, width));
        let rows = [0, 1].map(|i| reflect(top as i64 + i, height));
        for (channel, plane) in source.chunks_exact(shape.plane()).enumerate() {
            let along = |row: usize| {
                let [left, right] = columns.map(|column| f32::from(plane[row * width + column]));
                left + right_share * (right - left)
            };
            let [upper, lower] = rows.map(along);
            let value = upper + bottom_share * (lower - upper);
            pixels[channel * shape.plane() + y * width + x] = value.round() as u8;
        }
    }
}

/// The position within `0..n` after reflection without repeating the edge (`BORDER_REFLECT_101` of OpenCV).
pub(super) fn reflect(at: i64, n: usize) -> usize {
    let last = n as i64 - 1;
    if last == 0 {
        return 0;
    }
    let within = at.rem_euclid(2 * last);
    within.min(2 * last - within) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_reflected_without_repeating_the_edge() {
        let all: Vec<usize> = (-4..9).map(|at| reflect(at, 4)).collect();
        assert_eq!(all, [2, 3, 2, 1, 0, 1, 2, 3, 2, 1, 0, 1, 2]);
        assert_eq!((reflect(-3, 1), reflect(5, 1)), (0, 0));
    }
}
