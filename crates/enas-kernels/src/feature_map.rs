//! Feature maps in a blocked layout, sixteen images at a time.

use std::fmt;
use std::ops::Range;
use std::sync::Arc as SyncArc;

use rayon::prelude::*;

use crate::buffer::Buffer;
use enas_simd::{LANES, Lane};

/// Pixels that are summed in single precision before double precision takes over.
pub(crate) const CHUNK: usize = 512;

/// A feature map: the activations of `n` images, logically `[n, c, h, w]`.
///
/// In memory `[⌈n/16⌉, c, h, w, 16]`: a blocked layout with sixteen images innermost (in the notation of oneDNN,
/// `Nchw16n`). So every operation on every size is a loop over full vectors without shuffles, and borders cost nothing.
/// Lanes past the last image hold arbitrary finite numbers; operations that sum over images leave them out.
///
/// Cloning shares the memory.
#[derive(Clone)]
pub struct FeatureMap {
    data: SyncArc<Buffer>,
    /// First lane in the buffer. A map may be a view of some groups of another map.
    first: usize,
    n: usize,
    c: usize,
    h: usize,
    w: usize,
    /// Per-channel sums for the backward pass of batch norm, if the producer of this gradient computed them.
    sums: Option<SyncArc<FusedSums>>,
}

impl fmt::Debug for FeatureMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FeatureMap[{}, {}, {}, {}]", self.n, self.c, self.h, self.w)
    }
}

impl FeatureMap {
    /// A map `[n, c, h, w]` with arbitrary content, for an operation to fill.
    pub(crate) fn uninit(n: usize, c: usize, h: usize, w: usize) -> Self {
        let data = SyncArc::new(Buffer::take(n.div_ceil(LANES) * c * h * w));
        Self { data, first: 0, n, c, h, w, sums: None }
    }

    /// A map `[n, c, h, w]` of zeros.
    pub fn zeros(n: usize, c: usize, h: usize, w: usize) -> Self {
        let mut map = Self::uninit(n, c, h, w);
        map.lanes_mut().fill(Lane::ZERO);
        map
    }

    /// Copies images `[n, c, h, w]` into the blocked layout; lanes past the last image become zero.
    ///
    /// # Panics
    /// If `images` does not hold `n·c·h·w` numbers.
    pub fn from_nchw(images: &[f32], n: usize, c: usize, h: usize, w: usize) -> Self {
        assert_eq!(images.len(), n * c * h * w, "images do not have shape [{n}, {c}, {h}, {w}]");
        let mut map = Self::uninit(n, c, h, w);
        let size = c * h * w;
        map.par_blocks_mut().for_each(|(block, lanes)| {
            for (pixel, lane) in lanes.iter_mut().enumerate() {
                for (i, value) in lane.0.iter_mut().enumerate() {
                    let image = block * LANES + i;
                    *value = if image < n { images[image * size + pixel] } else { 0.0 };
                }
            }
        });
        map
    }

    /// The images as `[n, c, h, w]`.
    pub fn to_nchw(&self) -> Vec<f32> {
        let size = self.c * self.h * self.w;
        let mut images = vec![0.0; self.n * size];
        for (image, out) in images.chunks_exact_mut(size.max(1)).enumerate() {
            let block = &self.lanes()[image / LANES * size..][..size];
            for (value, lane) in out.iter_mut().zip(block) {
                *value = lane.0[image % LANES];
            }
        }
        images
    }

    /// Number of images.
    pub fn n(&self) -> usize {
        self.n
    }

    /// Number of channels.
    pub fn c(&self) -> usize {
        self.c
    }

    /// Height in pixels.
    pub fn h(&self) -> usize {
        self.h
    }

    /// Width in pixels.
    pub fn w(&self) -> usize {
        self.w
    }

    /// `(n, c, h, w)`.
    pub fn shape(&self) -> (usize, usize, usize, usize) {
        (self.n, self.c, self.h, self.w)
    }

    /// Number of groups of sixteen images. The last one may be partly filled.
    pub(crate) fn blocks(&self) -> usize {
        self.n.div_ceil(LANES)
    }

    /// Lanes per group of sixteen images.
    pub(crate) fn block_len(&self) -> usize {
        self.c * self.h * self.w
    }

    /// All lanes.
    pub(crate) fn lanes(&self) -> &[Lane] {
        &self.data.as_slice()[self.first..][..self.blocks() * self.block_len()]
    }

    /// The lanes of one group of sixteen images, `[c, h, w]`.
    pub(crate) fn block(&self, block: usize) -> &[Lane] {
        &self.lanes()[block * self.block_len()..][..self.block_len()]
    }

    /// All lanes for writing (copy on write): copies them first if another map shares the memory.
    pub(crate) fn lanes_mut(&mut self) -> &mut [Lane] {
        self.sums = None;
        let len = self.blocks() * self.block_len();
        if SyncArc::get_mut(&mut self.data).is_none() {
            let mut copy = Buffer::take(len);
            copy.as_mut_slice().copy_from_slice(self.lanes());
            (self.data, self.first) = (SyncArc::new(copy), 0);
        }
        let data = SyncArc::get_mut(&mut self.data).expect("the buffer was just made unique");
        &mut data.as_mut_slice()[self.first..][..len]
    }

    /// Attaches the sums that were computed while this gradient was written. The next write drops them.
    pub(crate) fn note_sums(&mut self, sums: FusedSums) {
        self.sums = Some(SyncArc::new(sums));
    }

    /// The attached sums, group by group, if they belong to the batch norm of `z`.
    pub(crate) fn sums_for(&self, z: &Self) -> Option<&[Vec<(f64, f64)>]> {
        let sums = self.sums.as_ref()?;
        let same = SyncArc::ptr_eq(&sums.z.data, &z.data) && sums.z.first == z.first;
        same.then_some(sums.blocks.as_slice())
    }

    /// A map `[n, c, h, w]` to be filled by [`put_groups`](Self::put_groups); its content is arbitrary until then.
    pub fn blank(n: usize, c: usize, h: usize, w: usize) -> Self {
        Self::uninit(n, c, h, w)
    }

    /// A view of the images of the given groups of sixteen; it shares the memory of this map. Shape `[n', c, h, w]`.
    ///
    /// # Panics
    /// If there are no such groups.
    #[must_use]
    pub fn groups(&self, groups: Range<usize>) -> Self {
        assert!(groups.start < groups.end && groups.end <= self.blocks(), "groups {groups:?} of {self:?}");
        let n = (groups.end * LANES).min(self.n) - groups.start * LANES;
        let first = self.first + groups.start * self.block_len();
        Self { data: self.data.clone(), first, n, sums: None, ..*self }
    }

    /// Overwrites the images from group `first` on with those of `part`.
    ///
    /// # Panics
    /// If `part` is of another shape, or does not end where a group or this map ends.
    pub fn put_groups(&mut self, first: usize, part: &Self) {
        let end = (first * LANES + part.n).min(self.n);
        let fits = (part.c, part.h, part.w) == (self.c, self.h, self.w)
            && first * LANES + part.n == end
            && (part.n.is_multiple_of(LANES) || end == self.n);
        assert!(fits, "{part:?} at group {first} of {self:?}");
        let at = first * self.block_len();
        self.lanes_mut()[at..][..part.lanes().len()].copy_from_slice(part.lanes());
    }

    /// Every group of sixteen images with its lanes for writing, one task per group.
    pub(crate) fn par_blocks_mut(&mut self) -> impl IndexedParallelIterator<Item = (usize, &mut [Lane])> {
        let len = self.block_len().max(1);
        // Rayon would hand out pairs of groups; the other threads would then idle while the last pair is computed.
        self.lanes_mut().par_chunks_mut(len).with_max_len(1).enumerate()
    }

    /// The indices of all groups of sixteen images, one task per group.
    pub(crate) fn par_blocks(&self) -> impl IndexedParallelIterator<Item = usize> + use<> {
        (0..self.blocks()).into_par_iter().with_max_len(1)
    }

    /// Mask over images: 1 for lanes of `block` that hold an image, 0 for the rest.
    pub(crate) fn mask(&self, block: usize) -> Lane {
        mask(self.n, block)
    }
}

/// Sums that the producer of a gradient computed on the way, for every group of images. They belong to the batch norm
/// that normalises the map `z`.
#[derive(Clone)]
pub(crate) struct FusedSums {
    pub(crate) z: FeatureMap,
    pub(crate) blocks: Vec<Vec<(f64, f64)>>,
}

/// Mask over images: 1 for lanes of `block` that hold one of `n` images, 0 for the rest.
pub(crate) fn mask(n: usize, block: usize) -> Lane {
    let mut mask = Lane::ZERO;
    for (i, value) in mask.0.iter_mut().enumerate() {
        *value = if block * LANES + i < n { 1.0 } else { 0.0 };
    }
    mask
}

/// A pending batch normalisation: the value of channel `c` is `scale[c]·map + shift[c]`.
///
/// Each reader of the map applies it while it loads, which saves a pass that writes the normalised map.
#[derive(Clone, Debug, PartialEq)]
pub struct Affine {
    /// Factor per channel, `[c]`.
    pub scale: Vec<f32>,
    /// Summand per channel, `[c]`.
    pub shift: Vec<f32>,
}

/// A map as its readers see it: raw numbers and the normalisation that is still pending.
#[derive(Clone, Debug)]
pub struct Activation {
    /// The raw numbers, `[n, c, h, w]`.
    pub map: FeatureMap,
    /// The pending normalisation; `None` if the raw numbers are the value.
    pub affine: Option<SyncArc<Affine>>,
}

impl Activation {
    /// A value that needs no normalisation.
    pub fn plain(map: FeatureMap) -> Self {
        Self { map, affine: None }
    }

    /// Factor and summand of channel `c`: `(1, 0)` without a pending normalisation.
    pub(crate) fn affine_of(&self, c: usize) -> (f32, f32) {
        self.affine.as_ref().map_or((1.0, 0.0), |a| (a.scale[c], a.shift[c]))
    }

    /// The images `[n, c, h, w]` with the normalisation applied.
    pub fn to_nchw(&self) -> Vec<f32> {
        let mut images = self.map.to_nchw();
        let (_, c, h, w) = self.map.shape();
        for (plane, values) in images.chunks_exact_mut((h * w).max(1)).enumerate() {
            let (scale, shift) = self.affine_of(plane % c);
            values.iter_mut().for_each(|v| *v = v.mul_add(scale, shift));
        }
        images
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_survive_the_lane_layout() {
        for n in [1, 15, 16, 17, 33] {
            let images: Vec<f32> = (0..n * 3 * 2 * 5).map(|i| i as f32).collect();
            assert_eq!(FeatureMap::from_nchw(&images, n, 3, 2, 5).to_nchw(), images);
        }
    }

    #[test]
    fn groups_are_read_in_place_and_written_back() {
        let images: Vec<f32> = (0..37 * 2 * 3).map(|i| i as f32).collect();
        let map = FeatureMap::from_nchw(&images, 37, 2, 1, 3);
        let mut copy = FeatureMap::blank(37, 2, 1, 3);
        for (groups, n) in [(0..1, 16), (1..3, 21)] {
            let part = map.groups(groups.clone());
            assert_eq!(part.n(), n);
            assert_eq!(part.to_nchw(), images[groups.start * 96..][..n * 6]);
            copy.put_groups(groups.start, &part);
        }
        assert_eq!(copy.to_nchw(), images);
    }

    #[test]
    fn writing_to_some_groups_leaves_the_whole_alone() {
        let whole = FeatureMap::zeros(32, 1, 1, 1);
        let mut part = whole.groups(1..2);
        part.lanes_mut()[0] = Lane([1.0; LANES]);
        assert_eq!((whole.to_nchw(), part.to_nchw()), (vec![0.0; 32], vec![1.0; 16]));
    }

    #[test]
    fn writing_to_a_shared_map_leaves_the_other_alone() {
        let a = FeatureMap::zeros(1, 1, 1, 2);
        let mut b = a.clone();
        b.lanes_mut()[0] = Lane([1.0; LANES]);
        assert_eq!((a.to_nchw(), b.to_nchw()), (vec![0.0, 0.0], vec![1.0, 0.0]));
    }
}
