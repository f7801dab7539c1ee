//! Strategies on tables, and tables that are read.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "in a test file a panic is how a failure is reported, in helpers too")]

mod strategies;
mod tables;
