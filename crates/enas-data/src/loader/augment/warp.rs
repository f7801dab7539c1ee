//! OpenCV's 8-bit `warpAffine`, bilinear, border 0, bit for bit.
//!
//! Method: for every destination pixel, map to the source position in fixed point, round it to 1/32 pixel, and blend
//! the four neighbours with integer weights. No Rust crate rounds in this way. The corrected mode uses `imageproc`
//! instead.

use super::shape::Shape;

/// A forward map: `[a, b, c, d, e, f]` sends `(x, y)` to `(a x + b y + c, d x + e y + f)`.
pub(super) type Affine = [f64; 6];

/// Rotation by `degrees` counter-clockwise and magnification by `scale` about `(cx, cy)`, as OpenCV's
/// `getRotationMatrix2D`.
pub(super) fn rotation_and_scale(cx: f64, cy: f64, degrees: f64, scale: f64) -> Affine {
    let (sin, cos) = degrees.to_radians().sin_cos();
    let a = cos * scale;
    let b = sin * scale;
    [a, b, (1.0 - a) * cx - b * cy, -b, a, b * cx + (1.0 - a) * cy]
}

/// The inverse map, in the order of operations of `warpAffine`.
fn invert([a, b, c, d, e, f]: Affine) -> Affine {
    let determinant = a * e - b * d;
    let scale = if determinant == 0.0 { 0.0 } else { 1.0 / determinant };
    let ia = e * scale;
    let ib = b * -scale;
    let id = d * -scale;
    let ie = a * scale;
    [ia, ib, -ia * c - ib * f, id, ie, -id * c - ie * f]
}

/// Fractional bits of a source position during the computation, and of the rounded position.
const POSITION_BITS: u32 = 10;
const KEPT_BITS: u32 = 5;
const STEPS: i32 = 1 << KEPT_BITS;

/// Applies the forward map to every channel in place.
pub(super) fn warp(shape: Shape, pixels: &mut [u8], forward: Affine) {
    let source = pixels.to_vec();
    let inverse = invert(forward);
    for y in 0..shape.height {
        for x in 0..shape.width {
            let (fx, fy) = source_position(inverse, x, y);
            for channel in 0..shape.channels {
                let plane = &source[channel * shape.plane()..][..shape.plane()];
                pixels[channel * shape.plane() + y * shape.width + x] = blend(shape, plane, fx, fy);
            }
        }
    }
}

/// The source position of a destination pixel, in units of 1/32 pixel.
fn source_position(m: Affine, x: usize, y: usize) -> (i32, i32) {
    let one = f64::from(1 << POSITION_BITS);
    let half_step = 1 << (POSITION_BITS - KEPT_BITS - 1);
    let axis = |by_x: f64, by_y: f64, offset: f64| {
        let along_x = (by_x * x as f64 * one).round_ties_even() as i32;
        let start = ((by_y * y as f64 + offset) * one).round_ties_even() as i32 + half_step;
        (start + along_x) >> (POSITION_BITS - KEPT_BITS)
    };
    (axis(m[0], m[1], m[2]), axis(m[3], m[4], m[5]))
}

/// Weighted mean of the four pixels around a position; pixels outside count as 0.
fn blend(shape: Shape, plane: &[u8], fx: i32, fy: i32) -> u8 {
    let pixel = |x: i32, y: i32| {
        let inside = x >= 0 && y >= 0 && (x as usize) < shape.width && (y as usize) < shape.height;
        if inside { i32::from(plane[y as usize * shape.width + x as usize]) } else { 0 }
    };
    let x = fx >> KEPT_BITS;
    let y = fy >> KEPT_BITS;
    let wx = fx & (STEPS - 1);
    let wy = fy & (STEPS - 1);
    // OpenCV's table has 15-bit weights; they are exactly these products times 32.
    let sum = (STEPS - wy) * ((STEPS - wx) * pixel(x, y) + wx * pixel(x + 1, y))
        + wy * ((STEPS - wx) * pixel(x, y + 1) + wx * pixel(x + 1, y + 1));
    ((sum + STEPS * STEPS / 2) >> (2 * KEPT_BITS)) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape { channels: 1, height: 8, width: 8 };

    #[test]
    fn opencv_results_are_matched_exactly() {
        let results = crate::golden::results("warp");
        assert_eq!(results.len(), 3);
        for ([degrees, scale], expected) in results {
            let mut pixels = crate::golden::source();
            warp(SHAPE, &mut pixels, rotation_and_scale(4.0, 4.0, degrees, scale));
            assert_eq!(pixels, expected, "{degrees} degrees, scale {scale}");
        }
    }

    #[test]
    fn positive_angles_turn_counter_clockwise() {
        let shape = Shape { channels: 1, height: 5, width: 5 };
        let mut pixels = vec![0; 25];
        pixels[2 * 5 + 4] = 100; // right of the centre
        warp(shape, &mut pixels, rotation_and_scale(2.0, 2.0, 90.0, 1.0));
        assert_eq!(pixels[2], 100, "above the middle: {pixels:?}");
    }
}
