//! The readers of `cargo xtask fetch-data`, compiled from there: a program has no library to depend on.
#![allow(dead_code, reason = "only the readers are of interest")]

#[path = "../../../xtask/src/fetch/capped.rs"]
mod capped;
#[path = "../../../xtask/src/fetch/cifar.rs"]
pub(crate) mod cifar;
#[path = "../../../xtask/src/fetch/digest.rs"]
mod digest;
#[path = "../../../xtask/src/fetch/idx.rs"]
pub(crate) mod idx;
#[path = "../../../xtask/src/fetch/install.rs"]
mod install;
#[path = "../../../xtask/src/fetch/pickle.rs"]
pub(crate) mod pickle;
#[path = "../../../xtask/src/fetch/pictures.rs"]
mod pictures;
#[path = "../../../xtask/src/fetch/zips.rs"]
pub(crate) mod zips;
