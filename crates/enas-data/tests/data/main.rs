//! The crate from outside: real files in, data sets and batches out.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used)] // a failed unwrap is a failed test; only `#[test]` functions are exempt by themselves

mod augmenting;
mod batches;
mod bundle;
mod doctor;
mod folders;
mod formats;
mod holding;
mod layouts;
mod left_out;
mod normalizing;
mod zips;
