//! Public image data sets as folders of PNG files, `NAME/{train,valid,test}/CLASS/NNNNN.png`.
//!
//! [`Fetch`] provides one: from the network, from archives on disk, from an operating system's package, or from what is built
//! in. Whatever is read is taken for damaged or hostile until it is checked: sizes before memory, names before files,
//! SHA-256 sums before use.
//!
//! [`formats`] reads single files of the kinds that such data sets are published in.
#![forbid(unsafe_code)]

mod capped;
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
mod local;
mod pickle;
mod progress;
mod sources;
mod unpack;
mod zips;

pub use data_set::DataSet;
pub use error::Error;
pub use fetch::{Fetch, Fetched, read_originals};
pub use install::Counts;
pub use progress::{Progress, Unit};

/// The example of the read-me compiles and runs.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadMe;
