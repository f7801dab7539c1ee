//! Random factors for dropout and drop-path; the kernel is in `dropout.cu`.

use crate::gpu::buffer::Buffer;
use crate::gpu::cost::Cost;
use crate::gpu::launch::Param;
use crate::gpu::memory::Gpu;

/// Threads of a block, each of which computes [`WORDS`] factors.
const THREADS: usize = 128;
/// Words of a cipher block.
const WORDS: usize = 16;

/// Returns `len` factors `⌊keep + u⌋/keep`: `1/keep` with probability `keep`, else 0.
///
/// `u` are uniform numbers of 24 bits from the key stream of ChaCha8 under `key` (little-endian words), from its start.
/// They equal those of `enas_rng` for the stream with this key, to the bit. Writes the factors once.
///
/// # Panics
/// If `len` is 2³² or more.
pub fn drop_factors(gpu: &Gpu, key: [u32; 8], keep: f32, len: usize) -> Buffer {
    let factors = gpu.buffer(len);
    let mut args = vec![(&factors).into(), len.into(), keep.into()];
    args.extend(key.map(|word| Param::Int(word as usize)));
    let grid = [len.div_ceil(THREADS * WORDS), 1, 1];
    // The cipher's own operations are on integers and are not counted.
    gpu.launch("noise_drop_factors", grid, [THREADS, 1, 1], &args, Cost::new(len, 3 * len));
    factors
}
