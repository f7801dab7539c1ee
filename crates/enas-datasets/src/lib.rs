//! Public image data sets as folders of PNG files, `NAME/{train,valid,test}/CLASS/NNNNN.png`.
//!
//! [`Fetch`] provides one: from the network, from archives on disk, from a package of the operating system, or built
//! in. All input counts as hostile until it is verified: sizes before memory is allocated, names before files are
//! written, SHA-256 before use.
//!
//! [`formats`] reads single files in the formats of such data sets.
#![forbid(unsafe_code)]

mod cifar;
mod data_set;
mod digest;
mod download;
mod error;
mod fetch;
pub mod formats;
mod idx;
mod images;
mod install;
mod limited_reader;
mod local;
mod pickle;
mod png_tree;
mod progress;
mod sources;
mod zips;

pub use data_set::DataSet;
pub use error::Error;
pub use fetch::{Fetch, Fetched, read_published_images};
pub use install::ImageCounts;
pub use progress::{Progress, Unit};

/// The example of the README compiles and runs.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadMe;
