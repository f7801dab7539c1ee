//! What maps in bfloat16 do to numbers.

use enas_kernels::gpu::Precision;

/// Orders of threads for maps of each precision; zero is the natural one.
pub(crate) fn orders(precision: Precision) -> [u64; 2] {
    match precision {
        Precision::F32 => [0, 1],
        Precision::Bf16 => [0, 7],
    }
}

/// What storing a number in a map may change, as a share of it: with the eight bits of significand of bfloat16, half
/// of a unit in the last place is at most 2⁻⁸ of the number. Cutting the lower bits off would change up to twice that.
pub(crate) fn rounding(precision: Precision) -> f32 {
    match precision {
        Precision::F32 => 0.0,
        Precision::Bf16 => 1.0 / 256.0,
    }
}

/// The numbers that maps can hold which are nearest to `numbers`, ties to even: what both sides of a comparison begin
/// with. The numbers are finite.
pub(crate) fn stored(precision: Precision, mut numbers: Vec<f32>) -> Vec<f32> {
    if precision == Precision::Bf16 {
        for x in &mut numbers {
            let bits = x.to_bits();
            *x = f32::from_bits((bits + 0x7fff + (bits >> 16 & 1)) & 0xffff_0000);
        }
    }
    numbers
}
