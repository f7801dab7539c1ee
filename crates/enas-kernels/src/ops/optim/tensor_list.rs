//! Arrays that lie apart in memory, for kernels that handle many of them in one launch (multi-tensor apply).

use crate::gpu::buffer::Buffer;
use crate::gpu::cost::Cost;
use crate::gpu::launch::Param;
use crate::gpu::launch::THREADS;
use crate::gpu::memory::Gpu;

/// Arrays per launch: the kernels have a parameter for each.
const ARRAYS: usize = 32;
/// Numbers that a thread handles at once.
const QUAD: usize = 4;
/// Maximum number of blocks per array.
const MOST_BLOCKS: usize = 512;

/// Weights of a network, each in memory of its own, as tensors are. Buffers with one number per weight, such as
/// momentum and gradient, hold all of them in one piece; there every array has a place (its first element).
#[derive(Debug)]
pub struct TensorList {
    gpu: Gpu,
    arrays: Vec<Buffer>,
    /// Place, length and first block of each array, then the end of the last one's blocks.
    places: Vec<[u32; 3]>,
    /// The same on the device.
    uploaded: Buffer,
}

impl TensorList {
    /// Arrays with their places and lengths, in numbers. They begin at an allocation of the device or at a multiple of
    /// four numbers.
    ///
    /// # Panics
    /// If a place is not a multiple of [`ALIGNMENT`](Self::ALIGNMENT), or an array is shorter than its length.
    pub fn new(gpu: &Gpu, arrays: impl IntoIterator<Item = (Buffer, usize, usize)>) -> Self {
        let narrow = |x: usize| u32::try_from(x).expect("weights are far below 2³²");
        let mut all = Vec::new();
        let mut places = Vec::new();
        let mut block = 0;
        for (array, place, len) in arrays {
            assert!(place.is_multiple_of(Self::ALIGNMENT), "place {place} of an array of {len} numbers");
            assert!(len <= array.len(), "an array of {len} numbers in a buffer of {}", array.len());
            if len > 0 {
                places.push([place, len, block].map(narrow));
                all.push(array);
                block += blocks(len);
            }
        }
        places.push([0, 0, block].map(narrow));
        let uploaded = gpu.upload_u32(places.as_flattened());
        Self { gpu: gpu.clone(), arrays: all, places, uploaded }
    }

    /// Places are multiples of this many numbers, so that quads are aligned.
    pub const ALIGNMENT: usize = QUAD;

    /// Number of blocks of all launches over all arrays.
    pub(crate) fn blocks(&self) -> usize {
        self.places[self.arrays.len()][2] as usize
    }

    /// Checks that every place lies inside every buffer: kernels do not check lengths.
    pub(crate) fn check(&self, buffers: &[&Buffer]) {
        for [place, len, _] in &self.places {
            buffers.iter().for_each(|buffer| _ = buffer.span(*place as usize, *len as usize));
        }
    }

    /// Launches `kernel` for all arrays, at most 32 at a time. `flat` follow the arrays among its parameters, `tail`
    /// comes last. `moved` and `flops` are the cost per number: numbers moved, and operations.
    pub(crate) fn launch(
        &self,
        kernel: &'static str,
        flat: &[Param<'_>],
        tail: &[Param<'_>],
        moved: usize,
        flops: usize,
    ) {
        for (chunk, arrays) in self.arrays.chunks(ARRAYS).enumerate() {
            let first = chunk * ARRAYS;
            let places = &self.places[first..=first + arrays.len()];
            let [first_block, end] = [places[0], places[arrays.len()]].map(|place| place[2] as usize);
            // The kernel does not read the parameters of missing arrays, so any valid address serves.
            let spare = std::iter::repeat_n(&arrays[0], ARRAYS - arrays.len());
            let mut args: Vec<Param<'_>> = arrays.iter().chain(spare).map(Param::from).collect();
            args.extend(flat.iter().map(Param::again));
            args.push((&self.uploaded).into());
            args.extend([first, arrays.len(), first_block].map(Param::from));
            args.extend(tail.iter().map(Param::again));
            let len: usize = places[..arrays.len()].iter().map(|place| place[1] as usize).sum();
            let grid = [end - first_block, 1, 1];
            self.gpu.launch(kernel, grid, [THREADS, 1, 1], &args, Cost::new(moved * len, flops * len));
        }
    }
}

/// Number of blocks that work on an array of `len` numbers.
fn blocks(len: usize) -> usize {
    len.div_ceil(QUAD).div_ceil(THREADS).min(MOST_BLOCKS)
}
