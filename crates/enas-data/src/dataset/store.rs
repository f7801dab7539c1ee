//! Storage of a data set's images: decoded, as the bytes of their files, or on disk only.
//!
//! Batches are equal to the bit. The choice trades memory against repeated decoding.

use std::borrow::Cow;
use std::sync::Arc as SyncArc;

use enas_rng::Seed;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::image::prepare::{InputSpec, prepare, resize_planes};
use crate::loader::augment::{self, Shape};
use crate::source::files::Source;

/// How images are stored in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Storage {
    /// Decoded, at the size of the network's input.
    #[default]
    Decoded,
    /// As the bytes of their files, decoded for each batch. Smaller than decoded images if files are well compressed.
    #[serde(rename = "compressed")]
    Encoded,
    /// On disk only: memory holds names and labels. Files are read and decoded for each batch, and must not change.
    #[serde(rename = "streamed")]
    OnDisk,
}

/// The files of a data set and their hashes at loading time.
pub(crate) struct FileStore {
    pub(crate) source: Source,
    /// The bytes of every file by index, if they are stored; empty for unusable files.
    pub(crate) bytes: Option<Vec<Box<[u8]>>>,
    /// SHA-256 of every file by index.
    pub(crate) hashes: Vec<[u8; 32]>,
}

impl std::fmt::Debug for FileStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FileStore({}, {} files)", self.source.path.display(), self.source.files.len())
    }
}

impl FileStore {
    /// Pixels of a file, `[c, h, w]`, exactly as at loading time.
    ///
    /// # Errors
    /// [`Error::Lost`] if the file has changed.
    fn pixels(&self, file: usize, input: &InputSpec) -> Result<Vec<u8>, Error> {
        let kept = self.bytes.as_ref().map(|all| &all[file]).filter(|bytes| !bytes.is_empty());
        let pixels = match kept {
            Some(bytes) => prepare(bytes, input).map_err(|reason| reason.to_string()),
            None => self.read(file, input),
        };
        pixels.map_err(|reason| Error::Lost { path: self.source.path.join(&self.source.files[file]), reason })
    }

    fn read(&self, file: usize, input: &InputSpec) -> Result<Vec<u8>, String> {
        let raw = self.source.read(file).map_err(|reason| reason.to_string())?;
        if raw.sha256() != self.hashes[file] {
            return Err("its content has changed since the run began".into());
        }
        let planes = raw.planes(input.channels, input.white).map_err(|reason| reason.to_string())?;
        Ok(resize_planes(&planes.0, input))
    }
}

/// The image store of a split.
#[derive(Clone, Debug)]
pub(crate) enum ImageStore {
    /// Decoded: image `i` is number `slots[i]` in `pixels`, `[n, c, h, w]`.
    Decoded { pixels: SyncArc<Vec<u8>>, slots: Vec<u32> },
    /// Decoded on demand.
    Files(FileImages),
    /// Several stores in sequence, each with its number of images.
    Concat(Vec<(usize, ImageStore)>),
}

/// Images that are decoded on demand.
#[derive(Clone, Debug)]
pub(crate) struct FileImages {
    pub(crate) file_store: SyncArc<FileStore>,
    /// The file of each group of `copies` consecutive images.
    pub(crate) files: Vec<u32>,
    pub(crate) copies: usize,
    pub(crate) input: InputSpec,
    pub(crate) augment: augment::Config,
    pub(crate) seed: Seed,
}

impl ImageStore {
    /// Pixels of image `i`, `[c, h, w]`.
    pub(crate) fn image(&self, i: usize, shape: Shape) -> Result<Cow<'_, [u8]>, Error> {
        match self {
            Self::Decoded { .. } => Ok(Cow::Borrowed(self.decoded(i, shape).expect("these are decoded"))),
            Self::Files(files) => files.image(i, shape).map(Cow::Owned),
            Self::Concat(parts) => {
                let (part, i) = part_of(parts, i);
                part.image(i, shape)
            }
        }
    }

    /// Pixels of image `i`, if they are in memory.
    pub(crate) fn decoded(&self, i: usize, shape: Shape) -> Option<&[u8]> {
        match self {
            Self::Decoded { pixels, slots } => {
                Some(&pixels[slots[i] as usize * shape.len()..][..shape.len()])
            }
            Self::Files(_) => None,
            Self::Concat(parts) => {
                let (part, i) = part_of(parts, i);
                part.decoded(i, shape)
            }
        }
    }

    /// Whether all images are decoded.
    pub(crate) fn is_decoded(&self) -> bool {
        match self {
            Self::Decoded { .. } => true,
            Self::Files(_) => false,
            Self::Concat(parts) => parts.iter().all(|(_, part)| part.is_decoded()),
        }
    }
}

/// The store that holds image `i` of all, and the image's index there.
///
/// # Panics
/// If `i` is out of range.
fn part_of(parts: &[(usize, ImageStore)], mut i: usize) -> (&ImageStore, usize) {
    for (len, part) in parts {
        if i < *len {
            return (part, i);
        }
        i -= len;
    }
    panic!("there is no such image");
}

impl FileImages {
    fn image(&self, i: usize, shape: Shape) -> Result<Vec<u8>, Error> {
        let index = CopyIndex { image: i / self.copies, copy: i % self.copies + 1 };
        let mut pixels = self.file_store.pixels(self.files[index.image] as usize, &self.input)?;
        if index.copy < self.copies {
            augment_copy(&self.augment, shape, &mut pixels, index, self.seed);
        }
        Ok(pixels)
    }
}

/// An augmented copy in a split.
#[derive(Clone, Copy, Debug)]
pub(super) struct CopyIndex {
    /// Index of the file in the split.
    pub(super) image: usize,
    /// Number of the copy, from 1.
    pub(super) copy: usize,
}

/// Makes an augmented copy of an image from its pixels, in place.
pub(super) fn augment_copy(
    augment: &augment::Config,
    shape: Shape,
    pixels: &mut [u8],
    CopyIndex { image, copy }: CopyIndex,
    seed: Seed,
) {
    let mut stream = seed.stream("augment", &[copy as u64, image as u64]);
    augment.augment_pixels(shape, pixels, &mut stream);
}
