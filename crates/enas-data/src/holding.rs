//! Storage of a data set's images: decoded, as the bytes of their files, or on disk only.
//!
//! Batches are equal to the bit. The choice trades memory against repeated decoding.

use std::borrow::Cow;
use std::sync::Arc as SyncArc;

use enas_rng::Seed;
use serde::{Deserialize, Serialize};

use crate::augment::{self, Shape};
use crate::error::Error;
use crate::prepare::{InputSpec, conform, prepare};
use crate::source::Source;

/// How images are stored in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Holding {
    /// Decoded, at the size of the network's input.
    #[default]
    Decoded,
    /// As the bytes of their files, decoded for each batch. Smaller than decoded images if files are well compressed.
    Compressed,
    /// On disk only: memory holds names and labels. Files are read and decoded for each batch, and must not change.
    Streamed,
}

/// The files of a data set and their hashes at loading time.
pub(crate) struct Library {
    pub(crate) source: Source,
    /// The bytes of every file by index, if they are stored; empty for unusable files.
    pub(crate) bytes: Option<Vec<Box<[u8]>>>,
    /// SHA-256 of every file by index.
    pub(crate) hashes: Vec<[u8; 32]>,
}

impl std::fmt::Debug for Library {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Library({}, {} files)", self.source.path.display(), self.source.files.len())
    }
}

impl Library {
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
        let raw = self.source.raw(file).map_err(|reason| reason.to_string())?;
        if raw.sha256() != self.hashes[file] {
            return Err("its content is not what it was when the run began".into());
        }
        let planes = raw.planes(input.channels, input.white).map_err(|reason| reason.to_string())?;
        Ok(conform(&planes.0, input))
    }
}

/// The image store of a split.
#[derive(Clone, Debug)]
pub(crate) enum Shelf {
    /// Decoded: image `i` is number `places[i]` in `pixels`, `[n, c, h, w]`.
    Decoded { pixels: SyncArc<Vec<u8>>, places: Vec<u32> },
    /// Decoded on demand.
    Files(Files),
    /// Several stores in sequence, each with its number of images.
    Joined(Vec<(usize, Shelf)>),
}

/// Images that are decoded on demand.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    pub(crate) library: SyncArc<Library>,
    /// The file of each group of `copies` consecutive images.
    pub(crate) files: Vec<u32>,
    pub(crate) copies: usize,
    pub(crate) input: InputSpec,
    pub(crate) augment: augment::Config,
    pub(crate) seed: Seed,
}

impl Shelf {
    /// Pixels of image `i`, `[c, h, w]`.
    pub(crate) fn image(&self, i: usize, shape: Shape) -> Result<Cow<'_, [u8]>, Error> {
        match self {
            Self::Decoded { .. } => Ok(Cow::Borrowed(self.decoded(i, shape).expect("these are decoded"))),
            Self::Files(files) => files.image(i, shape).map(Cow::Owned),
            Self::Joined(parts) => {
                let (part, i) = part_of(parts, i);
                part.image(i, shape)
            }
        }
    }

    /// Pixels of image `i`, if they are in memory.
    pub(crate) fn decoded(&self, i: usize, shape: Shape) -> Option<&[u8]> {
        match self {
            Self::Decoded { pixels, places } => {
                Some(&pixels[places[i] as usize * shape.len()..][..shape.len()])
            }
            Self::Files(_) => None,
            Self::Joined(parts) => {
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
            Self::Joined(parts) => parts.iter().all(|(_, part)| part.is_decoded()),
        }
    }
}

/// The store that holds image `i` of all, and the image's index there.
///
/// # Panics
/// If `i` is out of range.
fn part_of(parts: &[(usize, Shelf)], mut i: usize) -> (&Shelf, usize) {
    for (len, part) in parts {
        if i < *len {
            return (part, i);
        }
        i -= len;
    }
    panic!("there is no such picture");
}

impl Files {
    fn image(&self, i: usize, shape: Shape) -> Result<Vec<u8>, Error> {
        let (number, copy) = (i / self.copies, i % self.copies + 1);
        let mut pixels = self.library.pixels(self.files[number] as usize, &self.input)?;
        if copy < self.copies {
            vary(&self.augment, shape, &mut pixels, (copy, number), self.seed);
        }
        Ok(pixels)
    }
}

/// Makes augmented copy `copy` (from 1) of the image with this index in its split.
pub(crate) fn vary(
    augment: &augment::Config,
    shape: Shape,
    pixels: &mut [u8],
    (copy, number): (usize, usize),
    seed: Seed,
) {
    let mut stream = seed.stream("augment", &[copy as u64, number as u64]);
    augment.vary_pixels(shape, pixels, &mut stream);
}
