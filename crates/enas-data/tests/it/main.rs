//! The crate from outside: real files in, data sets and batches out.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used)] // a failed unwrap is a failed test; only `#[test]` functions are exempt by themselves

mod augment;
mod batches;
mod bundle;
mod check;
mod decode;
mod folder;
mod layout;
mod left_out;
mod normalize;
mod store;
mod zip;
