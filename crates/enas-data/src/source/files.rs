//! Sources of images behind one interface: a folder, a zip archive or a built-in data set.
//!
//! A source is a sorted list of image names relative to the root, with `/` between folders, and a way to read each

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use sha2::{Digest, Sha256};

use crate::error::ImageError;
use crate::image::decode::{decode, format_name};
use crate::image::prepare::read_limited;
use crate::image::resize::Plane;
use crate::image::white_level::{MaxSamples, WhiteLevels};
use crate::source::built_in::set::BuiltIn;
use crate::source::left_out::{LeftOut, Note};
use crate::source::zip_reader::ZipReader;

/// Number of leading bytes that identify an image format.
const MAGIC: u64 = 16;

/// The images below one root.
pub(crate) struct Source {
    /// The root, for messages.
    pub(crate) path: PathBuf,
    /// Names of all images, in byte order.
    pub(crate) files: Vec<String>,
    /// Names of all folders, in byte order, with or without images.
    pub(crate) folders: Vec<String>,
    /// Names of files without the name of an image, in byte order, without hidden ones.
    pub(crate) others: Vec<String>,
    /// Files and folders that are in none of these lists, by reason.
    pub(crate) left_out: LeftOut,
    /// Decisions about the root, for the log of a run.
    pub(crate) notes: Vec<Note>,
    pub(super) content: Content,
}

/// The places of the files: images in the order of [`Source::files`], then the other files.
pub(super) enum Content {
    Folder(Vec<PathBuf>),
    Zip(ZipReader),
    /// The index of the image of every file.
    BuiltIn(&'static BuiltIn, Vec<usize>),
}

impl Source {
    /// A built-in data set, presented as a folder with splits.
    pub(crate) fn built_in(set: &'static BuiltIn) -> Self {
        let (files, numbers) = set.files().into_iter().unzip();
        Self {
            path: set.name.into(),
            files,
            folders: set.folders(),
            others: Vec::new(),
            left_out: LeftOut::default(),
            notes: Vec::new(),
            content: Content::BuiltIn(set, numbers),
        }
    }

    /// Reads image `index` of [`Self::files`] without decoding it.
    pub(crate) fn read(&self, index: usize) -> Result<RawImage, ImageError> {
        match &self.content {
            Content::Folder(paths) => read_limited(&paths[index]).map(RawImage::Bytes),
            Content::Zip(archive) => archive.read(index).map(RawImage::Bytes),
            Content::BuiltIn(set, numbers) => Ok(RawImage::Pixels(set.plane(numbers[index]))),
        }
    }

    /// Size in bytes of image `index` of [`Self::files`]; 0 if it cannot be read.
    pub(crate) fn size(&self, index: usize) -> u64 {
        match &self.content {
            Content::Folder(paths) => paths[index].metadata().map_or(0, |metadata| metadata.len()),
            Content::Zip(archive) => archive.size(index),
            Content::BuiltIn(set, _) => (set.side * set.side) as u64,
        }
    }

    /// The image format of file `index` of [`Self::others`] by its content; `None` if it is not a supported image.
    pub(crate) fn kind_of_content(&self, index: usize) -> Option<&'static str> {
        image::guess_format(&self.beginning(index, MAGIC)).ok().and_then(format_name)
    }

    /// Up to `n` leading bytes of file `index` of [`Self::others`]; empty if it cannot be read.
    fn beginning(&self, index: usize, n: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        let at = self.files.len() + index;
        // A file that cannot be read counts as not being an image.
        let _ = match &self.content {
            Content::Folder(paths) => File::open(&paths[at]).and_then(|f| f.take(n).read_to_end(&mut bytes)),
            Content::Zip(archive) => archive.read_beginning(at, n, &mut bytes),
            Content::BuiltIn(..) => Ok(0),
        };
        bytes
    }

    /// SHA-256 of the bytes of image `index` of [`Self::files`]; of the empty text if they cannot be read.
    pub(crate) fn sha256(&self, index: usize) -> [u8; 32] {
        self.read(index).map_or_else(|_| Sha256::digest([]).into(), |raw| raw.sha256())
    }
}

/// An image as it is stored.
pub(crate) enum RawImage {
    Bytes(Vec<u8>),
    /// A built-in image, stored as grey pixels.
    Pixels(Plane),
}

impl RawImage {
    /// SHA-256 of the bytes or pixels.
    pub(crate) fn sha256(&self) -> [u8; 32] {
        match self {
            Self::Bytes(bytes) => Sha256::digest(bytes).into(),
            Self::Pixels(plane) => Sha256::digest(&plane.pixels).into(),
        }
    }

    /// Decodes into `channels` planes; also returns the largest samples of more than 8 bits.
    pub(crate) fn planes(
        self,
        channels: usize,
        white: WhiteLevels,
    ) -> Result<(Vec<Plane>, MaxSamples), ImageError> {
        match self {
            Self::Bytes(bytes) => decode(&bytes, channels, white),
            Self::Pixels(plane) => Ok((vec![plane; channels], MaxSamples::default())),
        }
    }
}
