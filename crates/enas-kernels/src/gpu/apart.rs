//! Arrays that lie apart, for kernels that go over many of them in one launch.

use super::buffer::Buffer;
use super::cost::Cost;
use super::lanes::THREADS;
use super::memory::Gpu;
use super::param::Param;

/// Arrays of one launch: the kernels have a parameter for each.
const ARRAYS: usize = 32;
/// Numbers that a thread treats at once.
const QUAD: usize = 4;
/// Most blocks that work on one array.
const MOST_BLOCKS: usize = 512;

/// Weights of which each has memory of its own, as tensors do. In buffers of one number for each weight, such as momentum
/// and gradient, every one has a place.
#[derive(Debug)]
pub struct Apart {
    gpu: Gpu,
    arrays: Vec<Buffer>,
    /// Place, length and first block of each, and the end of the last one's blocks.
    places: Vec<[u32; 3]>,
    /// The same on the device.
    uploaded: Buffer,
}

impl Apart {
    /// Arrays with their places and lengths. They begin where the device allocates, or at a multiple of four numbers.
    ///
    /// # Panics
    /// If a place is no multiple of [`ALIGNMENT`](Self::ALIGNMENT), or an array is shorter than its length.
    pub fn new(gpu: &Gpu, arrays: impl IntoIterator<Item = (Buffer, usize, usize)>) -> Self {
        let narrow = |x: usize| u32::try_from(x).expect("weights are far below 2³²");
        let (mut all, mut places, mut block) = (Vec::new(), Vec::new(), 0);
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

    /// Places are multiples of this many numbers.
    pub const ALIGNMENT: usize = QUAD;

    /// Blocks of all launches over all arrays.
    pub(super) fn blocks(&self) -> usize {
        self.places[self.arrays.len()][2] as usize
    }

    /// Kernels do not look at lengths: every place must lie inside every buffer.
    pub(super) fn check(&self, buffers: &[&Buffer]) {
        for [place, len, _] in &self.places {
            buffers.iter().for_each(|buffer| _ = buffer.span(*place as usize, *len as usize));
        }
    }

    /// Launches `kernel` for all arrays, as many at a time as it takes; `flat` follow the arrays among its parameters, and
    /// `tail` is at the end. `cost` is numbers moved and operations for each number.
    pub(super) fn launch(
        &self,
        kernel: &'static str,
        flat: &[Param<'_>],
        tail: &[Param<'_>],
        (moved, flops): (usize, usize),
    ) {
        for (chunk, arrays) in self.arrays.chunks(ARRAYS).enumerate() {
            let first = chunk * ARRAYS;
            let places = &self.places[first..=first + arrays.len()];
            let [first_block, end] = [places[0], places[arrays.len()]].map(|place| place[2] as usize);
            // What stands for arrays that there are not is not looked at: any address will do.
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

/// Blocks that work on an array.
fn blocks(len: usize) -> usize {
    len.div_ceil(QUAD).div_ceil(THREADS).min(MOST_BLOCKS)
}
