//! From image files to batches: folders, zip archives and built-in data sets, checked, augmented and prefetched.
//!
//! [`load`] reads class folders (or a zip of them, or an embedded data set) into a [`Dataset`] of three [`Split`]s
//! and reports what is wrong with them; [`load_held`] is for data that do not fit into memory. A split gives
//! [`Batch`]es: augmented for training, in stored order for evaluation, or drawn at random for a reward. [`prepare`]
//! converts one new image exactly as loading converted the training images. [`doctor::check`] checks a data set
//! before training.
//!
//! The crate knows images and labels, but no networks or architectures.
//!
//! ```
//! use enas_data::{Config, EpochPlan, Seed};
//!
//! # fn main() -> Result<(), enas_data::Error> {
//! let config = Config { image_size: 8, ..Config::default() };
//! let data = enas_data::load(&config, Seed::new(1))?;
//! assert_eq!((data.name.as_str(), data.classes.len()), ("digits", 10));
//!
//! let first = data.train.epoch(&EpochPlan::new(0, 32))?.next().expect("the split is not empty")?;
//! assert_eq!(first.images.len(), 32 * data.channels * data.height * data.width);
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

pub mod augment;
mod batches;
mod built_in;
mod checks;
mod config;
mod dataset;
mod decode;
pub mod digits;
pub mod doctor;
mod error;
pub mod fashion_small;
mod folds;
#[cfg(test)]
mod golden;
mod holding;
mod joined;
mod layout;
mod left_out;
mod load;
pub mod lossless;
mod normalize;
mod packed;
mod prepare;
mod reading;
mod resize;
mod sampling;
mod sheet;
mod source;
mod split;
mod subsets;
mod survey;
#[cfg(feature = "candle")]
mod tensors;
mod tiff_file;
mod white;

pub use batches::{Batch, Batches, EpochPlan, Last};
pub use built_in::BUILT_IN;
pub use config::{Config, DIGITS, FASHION_SMALL, NormalizationMode, Sampling, meant};
pub use dataset::{Dataset, Fingerprint, PictureFile, Skipped, Split};
pub use error::{Error, PictureError};
pub use holding::Holding;
pub use layout::Part;
pub use load::{Choice, Chosen, load, load_chosen, load_held, load_labelled, load_with_split, picture_files};
pub use normalize::Normalization;
pub use packed::PictureZip;
pub use prepare::{InputSpec, is_picture_name, prepare, prepare_file};
pub use resize::{Filter, Resize};
pub use sheet::{Tile, contact_tiles};
pub use source::{is_system_folder, open_zip};
pub use split::{SplitFile, held_out};
pub use survey::{Survey, survey};
pub use white::WhiteLevels;

/// The seed of all random streams, an argument of this crate's functions.
pub use enas_rng::Seed;

/// The built-in digits at their own size of 8×8, grey, not augmented, normalised per channel.
///
/// # Errors
/// None in practice; the signature is that of [`load`].
pub fn digits() -> Result<Dataset, Error> {
    load(&Config { image_size: digits::SIDE, ..Config::default() }, Seed::new(0))
}

/// The example of the README compiles and runs.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadMe;
