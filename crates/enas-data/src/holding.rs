//! How the pictures of a data set are held while they are in use: decoded, as the bytes of their files, or not at all.
//!
//! Batches are the same to the bit. What differs is memory, and what has to be done again whenever a picture comes.

use std::borrow::Cow;
use std::sync::Arc as SyncArc;

use enas_rng::Seed;
use serde::{Deserialize, Serialize};

use crate::augment::{self, Shape};
use crate::error::Error;
use crate::prepare::{InputSpec, conform, prepare};
use crate::source::Source;

/// How pictures are held in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Holding {
    /// Decoded and scaled to the size of the network's input: ready to be used.
    #[default]
    Decoded,
    /// As the bytes of their files, decoded for each batch. Less than decoded ones where files are small for their
    /// size in pixels.
    Compressed,
    /// Names and labels only; files are read and decoded for each batch, and must stay as they are.
    Streamed,
}

/// Where files come from, and what they were when the data set was loaded.
pub(crate) struct Library {
    pub(crate) source: Source,
    /// The bytes of every file by its number, where they are kept; none for unusable ones.
    pub(crate) bytes: Option<Vec<Box<[u8]>>>,
    /// SHA-256 of every file by its number.
    pub(crate) hashes: Vec<[u8; 32]>,
}

impl std::fmt::Debug for Library {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Library({}, {} files)", self.source.path.display(), self.source.files.len())
    }
}

impl Library {
    /// The pixels of a file, `[c, h, w]`, exactly as they were when it was loaded.
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

/// The pixels of a split's pictures.
#[derive(Clone, Debug)]
pub(crate) enum Shelf {
    /// Decoded: picture `i` is number `places[i]` of those in `pixels`, `[n, c, h, w]`.
    Decoded { pixels: SyncArc<Vec<u8>>, places: Vec<u32> },
    /// To be decoded when asked for.
    Files(Files),
    /// Several, one after the other, each with the number of its pictures.
    Joined(Vec<(usize, Shelf)>),
}

/// Pictures that are decoded when asked for.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    pub(crate) library: SyncArc<Library>,
    /// The number of each picture's file; `copies` consecutive pictures belong to each.
    pub(crate) files: Vec<u32>,
    pub(crate) copies: usize,
    pub(crate) input: InputSpec,
    pub(crate) augment: augment::Config,
    pub(crate) seed: Seed,
}

impl Shelf {
    /// The pixels of picture `i`, `[c, h, w]`.
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

    /// The same, if it is there already.
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

    /// Whether all pictures are decoded.
    pub(crate) fn is_decoded(&self) -> bool {
        match self {
            Self::Decoded { .. } => true,
            Self::Files(_) => false,
            Self::Joined(parts) => parts.iter().all(|(_, part)| part.is_decoded()),
        }
    }
}

/// The part that holds picture `i` of all, and the picture's number there.
///
/// # Panics
/// If there is no picture `i`.
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

/// Makes variation `copy`, from 1, of the picture with this number in its split.
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
