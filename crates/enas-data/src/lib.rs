//! From image files to batches: folders, zip archives and built-in data sets, checked, augmented and prefetched.
//!
//! [`load`] reads class folders (or a zip of them, or an embedded data set) into a [`Dataset`] of three [`Split`]s
//! and reports what is wrong with them. Its [`LoadOptions`] also serve data that do not fit into memory, and the split
//! of an earlier run. A split gives [`ImageBatch`]es: augmented for training, in stored order for evaluation, or drawn
//! at random for a reward. [`prepare`] converts one new image exactly as loading converted the training images.
//! [`check::check_dataset`] checks a data set before training.
//!
//! The crate knows images and labels, but no networks or architectures. Its rooms, from below: `source` (files and
//! folders), `image` (one image), `dataset` (splits), `loader` (batches and augmentation), `check` (the data check).
//!
//! ```
//! use enas_data::{Config, EpochPlan, LoadOptions, Seed};
//!
//! # fn main() -> Result<(), enas_data::Error> {
//! let config = Config { image_size: 8, ..Config::default() };
//! let data = enas_data::load(&config, &LoadOptions::new(Seed::new(1)))?;
//! assert_eq!((data.name.as_str(), data.classes.len()), ("digits", 10));
//!
//! let first = data.train.epoch(&EpochPlan::new(0, 32))?.next().expect("the split is not empty")?;
//! assert_eq!(first.images.len(), 32 * data.channels * data.height * data.width);
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

pub mod check;
mod config;
mod dataset;
mod error;
mod finding;
#[cfg(test)]
mod golden;
mod image;
mod loader;
mod source;
mod visible;

pub use self::image::normalize::Normalization;
pub use self::image::prepare::{InputSpec, prepare, prepare_file};
pub use self::image::prepared::PreparedImages;
pub use self::image::resize::{Filter, Resize};
pub use self::image::white_level::WhiteLevels;
pub use config::{Config, NormalizationMode, Sampling};
pub use dataset::contact_sheet::{SheetTile, contact_tiles};
pub use dataset::contents::ContentDivision;
pub use dataset::fingerprint::{Fingerprint, ImageFile, hexadecimal};
pub use dataset::load::{LabelledImages, LabelledOptions, LoadOptions, image_files, load, load_labelled};
pub use dataset::split::Split;
pub use dataset::split_file::SplitFile;
pub use dataset::store::Storage;
pub use dataset::stratify::held_out;
pub use dataset::survey::{Survey, estimate_reading, survey};
pub use dataset::{Dataset, Skipped};
pub use error::{Error, ImageError};
pub use loader::augment;
pub use loader::batches::{Batches, ImageBatch};
pub use loader::plan::{EpochPlan, Last};
pub use source::built_in::digits::DIGITS;
pub use source::built_in::fashion_small::FASHION_SMALL;
pub use source::built_in::{BUILT_IN, digits, fashion_small, lossless, resolve_path};
pub use source::image_zip::ImageZip;
pub use source::item::Part;
pub use source::names::{is_image_name, is_system_folder};
pub use source::safe_zip::open_zip;
pub use visible::visible;

/// The seed of all random streams, an argument of this crate's functions.
pub use enas_rng::Seed;

/// The built-in digits at their own size of 8×8, grey, not augmented, normalised per channel.
///
/// # Errors
/// None in practice; the signature is that of [`load`].
pub fn digits() -> Result<Dataset, Error> {
    load(&Config { image_size: digits::SIDE, ..Config::default() }, &LoadOptions::new(Seed::new(0)))
}

/// The example of the README compiles and runs.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadMe;
