//! The crate from outside: configurations, and whole searches and trainings on real pictures.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod auto;
mod common;
mod config;
mod divergence;
mod durable;
mod gpu;
mod search;
mod train;
