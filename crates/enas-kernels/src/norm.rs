//! Batch normalisation: statistics, and the pieces of its two directions.
//!
//! `y = γ·(z − μ)/√(v + ε) + β` per channel, over images and pixels, with the biased variance `v` (Ioffe and
//! Szegedy, 2015). The forward direction only produces an [`Affine`]; readers apply it.

use rayon::prelude::*;

use crate::map::{Affine, Map, mask};
use crate::simd::{self, AHEAD, Kernel, Lane, Simd};

/// The `ε` of TensorFlow's fused batch norm, which raises the usual `1e-5` to cuDNN's minimum.
pub const EPSILON: f32 = 1.001e-5;

/// Pixels that are added up in single precision before double precision takes over.
pub(crate) const CHUNK: usize = 512;

/// Mean and biased variance of every channel of a map.
#[derive(Clone, Debug, PartialEq)]
pub struct Moments {
    /// Mean per channel.
    pub mean: Vec<f32>,
    /// Biased variance per channel.
    pub variance: Vec<f32>,
    /// Numbers that went into each: images × pixels.
    pub count: usize,
}

impl Moments {
    /// The moments of a map.
    pub fn of(map: &Map) -> Self {
        let plane = map.h() * map.w();
        let blocks: Vec<Vec<Running>> = map
            .par_blocks()
            .map(|block| {
                let mask = map.mask(block);
                map.block(block)
                    .chunks_exact(plane.max(1))
                    .map(|plane| {
                        plane.chunks(CHUNK).fold(Running::default(), |r, z| r.merge(Running::of(z, &mask)))
                    })
                    .collect()
            })
            .collect();
        Self::merge(map.c(), blocks.iter().map(Vec::as_slice))
    }

    /// Joins per-channel partial results in the given order.
    pub(crate) fn merge<'a>(channels: usize, parts: impl Iterator<Item = &'a [Running]>) -> Self {
        let mut sums = MomentSums::new(channels);
        sums.add(parts);
        sums.finish()
    }

    /// The normalisation with these statistics, scale `gamma` and offset `beta`.
    pub fn affine(&self, gamma: &[f32], beta: &[f32]) -> Affine {
        let scale: Vec<f32> = gamma.iter().zip(self.inverse_deviation()).map(|(g, r)| g * r).collect();
        let shift = beta.iter().zip(&scale).zip(&self.mean).map(|((b, s), m)| b - m * s).collect();
        Affine { scale, shift }
    }

    /// `1/√(v + ε)` per channel.
    pub fn inverse_deviation(&self) -> Vec<f32> {
        self.variance.iter().map(|v| (1.0 / f64::from(v + EPSILON).sqrt()) as f32).collect()
    }

    /// The unbiased variance per channel, `v·n/(n − 1)`: what TensorFlow's moving average is fed with.
    pub fn unbiased_variance(&self) -> Vec<f32> {
        let n = self.count as f64;
        let factor = if self.count > 1 { n / (n - 1.0) } else { 1.0 };
        self.variance.iter().map(|v| (f64::from(*v) * factor) as f32).collect()
    }
}

/// The moments of a map that is seen some groups of images at a time, in their order: to the bit those of the whole.
#[derive(Clone, Debug)]
pub struct MomentSums(Vec<Running>);

impl MomentSums {
    /// Of nothing yet.
    pub fn new(channels: usize) -> Self {
        Self(vec![Running::default(); channels])
    }

    /// Takes in the groups that come next.
    pub(crate) fn add<'a>(&mut self, parts: impl Iterator<Item = &'a [Running]>) {
        for part in parts {
            self.0.iter_mut().zip(part).for_each(|(t, p)| *t = t.merge(*p));
        }
    }

    /// Of all that was taken in.
    pub fn finish(&self) -> Moments {
        Moments {
            mean: self.0.iter().map(|r| r.mean as f32).collect(),
            variance: self.0.iter().map(|r| (r.squares / r.count.max(1.0)).max(0.0) as f32).collect(),
            count: self.0.first().map_or(0, |r| r.count as usize),
        }
    }
}

/// Count, mean and sum of squared deviations of some numbers (Chan, Golub and LeVeque, 1983).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Running {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Running {
    /// Of the numbers in `z` under the 0/1 `mask` of images; at most [`CHUNK`] lanes.
    pub(crate) fn of(z: &[Lane], mask: &Lane) -> Self {
        let Some(first) = z.first() else { return Self::default() };
        let pivot = first.0[0];
        // SAFETY: `z` and `mask` are valid references.
        let (sum, squares) = unsafe {
            simd::run(ChunkMoments { z: z.as_ptr(), pixels: z.len(), pivot, mask: std::ptr::from_ref(mask) })
        };
        let count = z.len() as f64 * mask.0.iter().map(|m| f64::from(*m)).sum::<f64>();
        let (sum, squares) = (f64::from(sum), f64::from(squares));
        Self { count, mean: f64::from(pivot) + sum / count, squares: squares - sum * sum / count }
    }

    pub(crate) fn merge(self, other: Self) -> Self {
        if self.count == 0.0 {
            return other;
        }
        let count = self.count + other.count;
        let delta = other.mean - self.mean;
        Self {
            count,
            mean: self.mean + delta * other.count / count,
            squares: self.squares + other.squares + delta * delta * self.count * other.count / count,
        }
    }
}

/// `(Σ m·(z − pivot), Σ m·(z − pivot)²)` over `pixels` lanes at `z`, `m` being the lane at `mask`.
struct ChunkMoments {
    z: *const Lane,
    pixels: usize,
    pivot: f32,
    mask: *const Lane,
}

#[allow(unsafe_op_in_unsafe_fn)] // Reads inside the extents of the struct's contract.
impl Kernel for ChunkMoments {
    type Output = (f32, f32);

    #[inline(always)]
    unsafe fn run<S: Simd>(self) -> (f32, f32) {
        let (pivot, mask) = (S::splat(self.pivot), S::load(self.mask));
        let (mut sum, mut squares) = ([S::splat(0.0); 4], [S::splat(0.0); 4]);
        let mut p = 0;
        while p + 4 <= self.pixels {
            for i in 0..4 {
                let d = S::mul(S::sub(S::load(self.z.add(p + i)), pivot), mask);
                sum[i] = S::add(sum[i], d);
                squares[i] = S::fma(d, d, squares[i]);
            }
            p += 4;
        }
        while p < self.pixels {
            let d = S::mul(S::sub(S::load(self.z.add(p)), pivot), mask);
            sum[0] = S::add(sum[0], d);
            squares[0] = S::fma(d, d, squares[0]);
            p += 1;
        }
        let total = |v: [S::V; 4]| S::sum(S::add(S::add(v[0], v[1]), S::add(v[2], v[3])));
        (total(sum), total(squares))
    }
}

/// Pixels whose gradient sums are taken in single precision, whoever takes them.
const SUMS_CHUNK: usize = 128;

/// The two sums over a whole batch that the gradient of a batch norm needs, taken some groups of images at a time, in
/// their order: to the bit those of the whole.
#[derive(Clone, Debug)]
pub struct GradientSums(Vec<(f64, f64)>);

impl GradientSums {
    /// Of nothing yet.
    pub fn new(channels: usize) -> Self {
        Self(vec![(0.0, 0.0); channels])
    }

    /// Takes in the groups that come next: `gy` is the gradient of the normalised `z`, `moments` those of the whole
    /// batch.
    pub fn add(&mut self, z: &Map, moments: &Moments, gy: &Map) {
        let plane = z.h() * z.w();
        let sums: Vec<Vec<(f64, f64)>> = z
            .par_blocks()
            .map(|block| {
                let mut sums = BlockSums::new(moments, mask(z.n(), block));
                let planes = z.block(block).chunks_exact(plane).zip(gy.block(block).chunks_exact(plane));
                planes.enumerate().for_each(|(c, (z, gy))| sums.take(c, z, gy, plane));
                sums.finish()
            })
            .collect();
        self.add_blocks(&sums);
    }

    /// Takes in the sums of the groups that come next.
    fn add_blocks(&mut self, blocks: &[Vec<(f64, f64)>]) {
        for block in blocks {
            self.0.iter_mut().zip(block).for_each(|(t, s)| *t = (t.0 + s.0, t.1 + s.1));
        }
    }
}

/// The two sums of one group of images, taken while its gradient becomes known.
pub(crate) struct BlockSums<'a> {
    mean: &'a [f32],
    mask: Lane,
    planes: Vec<PlaneSums>,
}

/// `(Σ gy, Σ gy·(z − mean))` of the first `done` pixels of a plane.
#[derive(Clone, Copy, Default)]
struct PlaneSums {
    sums: (f64, f64),
    done: usize,
}

impl<'a> BlockSums<'a> {
    /// Of nothing yet. `moments` are those of `z` over the whole batch, `mask` tells the images of the group.
    pub(crate) fn new(moments: &'a Moments, mask: Lane) -> Self {
        let mean = &moments.mean;
        Self { mean, mask, planes: vec![PlaneSums::default(); mean.len()] }
    }

    /// Takes in what is new of channel `c`, the first `known` pixels of whose gradient are final. Always in the same
    /// pieces, so that it does not matter in how many steps they become known.
    pub(crate) fn take(&mut self, c: usize, z: &[Lane], gy: &[Lane], known: usize) {
        let plane = &mut self.planes[c];
        let end = if known == z.len() { known } else { known - known % SUMS_CHUNK };
        while plane.done < end {
            let chunk = plane.done..end.min(plane.done + SUMS_CHUNK);
            let (z, gy) = (&z[chunk.clone()], &gy[chunk.clone()]);
            let (mean, mask) = (self.mean[c], &self.mask);
            let kernel = ChunkSums { z: z.as_ptr(), gy: gy.as_ptr(), pixels: z.len(), mean, mask };
            // SAFETY: both chunks hold `pixels` lanes.
            let (sum, product) = unsafe { simd::run(kernel) };
            plane.sums = (plane.sums.0 + f64::from(sum), plane.sums.1 + f64::from(product));
            plane.done = chunk.end;
        }
    }

    /// The sums of every channel.
    pub(crate) fn finish(self) -> Vec<(f64, f64)> {
        self.planes.into_iter().map(|plane| plane.sums).collect()
    }
}

/// What the writer of a gradient found out on the way: the sums over every group of images for the batch norm that
/// made the map `z`.
#[derive(Clone)]
pub(crate) struct TakenSums {
    pub(crate) z: Map,
    pub(crate) blocks: Vec<Vec<(f64, f64)>>,
}

/// The gradient of a batch norm with respect to its raw input, ready to be evaluated pixel by pixel:
/// `gz = factor·gy − mean_term − slope·(z − mean)`.
pub(crate) struct Gradient {
    /// `∂L/∂γ` per channel.
    pub(crate) gamma: Vec<f32>,
    /// `∂L/∂β` per channel.
    pub(crate) beta: Vec<f32>,
    factor: Vec<f32>,
    mean_term: Vec<f32>,
    slope: Vec<f32>,
    mean: Vec<f32>,
    n: usize,
}

impl Gradient {
    /// Reads `z` and the gradient `gy` of the normalised values once, unless whoever wrote the gradient took the sums.
    pub(crate) fn new(z: &Map, moments: &Moments, gamma: &[f32], gy: &Map) -> Self {
        let mut sums = GradientSums::new(z.c());
        match gy.sums_for(z) {
            Some(blocks) => sums.add_blocks(blocks),
            None => sums.add(z, moments, gy),
        }
        Self::of_sums(&sums, moments, gamma, z.n())
    }

    /// For some of the images whose sums were taken, `n` of them.
    pub(crate) fn of_sums(sums: &GradientSums, moments: &Moments, gamma: &[f32], n: usize) -> Self {
        let count = moments.count as f64;
        let channels = gamma.len();
        let mut out = Self {
            gamma: Vec::with_capacity(channels),
            beta: Vec::with_capacity(channels),
            factor: Vec::with_capacity(channels),
            mean_term: Vec::with_capacity(channels),
            slope: Vec::with_capacity(channels),
            mean: moments.mean.clone(),
            n,
        };
        for ((gamma, r), (sum, product)) in gamma.iter().zip(moments.inverse_deviation()).zip(&sums.0) {
            let (r, factor) = (f64::from(r), f64::from(*gamma) * f64::from(r));
            out.gamma.push((product * r) as f32);
            out.beta.push(*sum as f32);
            out.factor.push(factor as f32);
            out.mean_term.push((factor * sum / count) as f32);
            out.slope.push((factor * r * r * product / count) as f32);
        }
        out
    }

    /// Passes the gradient of a raw map like `gz` through unchanged, for want of a batch norm.
    pub(crate) fn identity(gz: &Map) -> Self {
        let zeros = vec![0.0; gz.c()];
        Self {
            gamma: Vec::new(),
            beta: Vec::new(),
            factor: vec![1.0; gz.c()],
            mean_term: zeros.clone(),
            slope: zeros.clone(),
            mean: zeros,
            n: gz.n(),
        }
    }

    /// Evaluates the gradient of channel `c` of `block` for `z.len()` pixels; zero where there is no image.
    pub(crate) fn evaluate(&self, c: usize, block: usize, z: &[Lane], gy: &[Lane], out: &mut [Lane]) {
        assert!(z.len() == gy.len() && z.len() == out.len(), "rows of equal length");
        let mask = mask(self.n, block);
        let kernel = Evaluate {
            z: z.as_ptr(),
            gy: gy.as_ptr(),
            out: out.as_mut_ptr(),
            pixels: z.len(),
            mask: &raw const mask,
            factor: self.factor[c],
            mean_term: self.mean_term[c],
            slope: self.slope[c],
            mean: self.mean[c],
        };
        // SAFETY: the three rows are slices of `pixels` lanes and `out` is borrowed mutably.
        unsafe { simd::run(kernel) }
    }
}

/// `(Σ m·gy, Σ m·gy·(z − mean))` over `pixels` lanes at `z` and `gy`.
struct ChunkSums<'a> {
    z: *const Lane,
    gy: *const Lane,
    pixels: usize,
    mean: f32,
    mask: &'a Lane,
}

#[allow(unsafe_op_in_unsafe_fn)] // Reads inside the extents of the struct's contract.
impl Kernel for ChunkSums<'_> {
    type Output = (f32, f32);

    #[inline(always)]
    unsafe fn run<S: Simd>(self) -> (f32, f32) {
        let (mean, mask) = (S::splat(self.mean), S::load(self.mask));
        let (mut sum, mut product) = ([S::splat(0.0); 4], [S::splat(0.0); 4]);
        let mut p = 0;
        while p + 4 <= self.pixels {
            // Constant indices: the sums stay in registers.
            for i in 0..4 {
                simd::prefetch(self.gy.wrapping_add(p + i + AHEAD));
                simd::prefetch(self.z.wrapping_add(p + i + AHEAD));
                let g = S::mul(S::load(self.gy.add(p + i)), mask);
                sum[i] = S::add(sum[i], g);
                product[i] = S::fma(g, S::sub(S::load(self.z.add(p + i)), mean), product[i]);
            }
            p += 4;
        }
        while p < self.pixels {
            let g = S::mul(S::load(self.gy.add(p)), mask);
            sum[0] = S::add(sum[0], g);
            product[0] = S::fma(g, S::sub(S::load(self.z.add(p)), mean), product[0]);
            p += 1;
        }
        let total = |v: [S::V; 4]| S::sum(S::add(S::add(v[0], v[1]), S::add(v[2], v[3])));
        (total(sum), total(product))
    }
}

/// The formula of [`Gradient`] over `pixels` lanes at `z`, `gy` and `out`; `out` must not overlap the others.
struct Evaluate {
    z: *const Lane,
    gy: *const Lane,
    out: *mut Lane,
    pixels: usize,
    mask: *const Lane,
    factor: f32,
    mean_term: f32,
    slope: f32,
    mean: f32,
}

#[allow(unsafe_op_in_unsafe_fn)] // Accesses inside the extents of the struct's contract.
impl Kernel for Evaluate {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let mask = S::load(self.mask);
        let (factor, slope) = (S::splat(self.factor), S::splat(-self.slope));
        let (mean_term, mean) = (S::splat(self.mean_term), S::splat(self.mean));
        for p in 0..self.pixels {
            simd::prefetch(self.gy.wrapping_add(p + AHEAD));
            simd::prefetch(self.z.wrapping_add(p + AHEAD));
            let base = S::sub(S::mul(S::load(self.gy.add(p)), factor), mean_term);
            let value = S::fma(S::sub(S::load(self.z.add(p)), mean), slope, base);
            S::store(self.out.add(p), S::mul(value, mask));
        }
    }
}

/// Moving mean and variance of a batch norm, as TensorFlow's `assign_moving_average` keeps them with its default
/// zero-debiasing: after the first update they equal the statistics of that batch.
#[derive(Clone, Debug, PartialEq)]
pub struct RunningMoments {
    /// Moving mean per channel; 0 before the first update.
    pub mean: Vec<f32>,
    /// Moving unbiased variance per channel; 1 before the first update.
    pub variance: Vec<f32>,
    /// Exponentially weighted sum of means, starting at 0.
    pub biased_mean: Vec<f32>,
    /// Exponentially weighted sum of unbiased variances, starting at 0.
    pub biased_variance: Vec<f32>,
    /// Updates so far.
    pub updates: u64,
}

impl RunningMoments {
    /// Share of the old value that an update keeps.
    pub const DECAY: f32 = 0.9;

    /// The state before any update.
    pub fn new(channels: usize) -> Self {
        Self {
            mean: vec![0.0; channels],
            variance: vec![1.0; channels],
            biased_mean: vec![0.0; channels],
            biased_variance: vec![0.0; channels],
            updates: 0,
        }
    }

    /// Takes in the statistics of one batch.
    pub fn update(&mut self, batch: &Moments) {
        self.updates += 1;
        let weight = 1.0 - f64::from(Self::DECAY).powf(self.updates as f64);
        let blend = |biased: &mut [f32], moving: &mut [f32], values: &[f32]| {
            for ((b, m), v) in biased.iter_mut().zip(moving).zip(values) {
                *b = Self::DECAY * *b + (1.0 - Self::DECAY) * v;
                *m = (f64::from(*b) / weight) as f32;
            }
        };
        blend(&mut self.biased_mean, &mut self.mean, &batch.mean);
        blend(&mut self.biased_variance, &mut self.variance, &batch.unbiased_variance());
    }

    /// The normalisation at inference.
    pub fn affine(&self, gamma: &[f32], beta: &[f32]) -> Affine {
        Moments { mean: self.mean.clone(), variance: self.variance.clone(), count: 1 }.affine(gamma, beta)
    }
}
