//! The `enas` command.
#![forbid(unsafe_code)]
fn main() {}
