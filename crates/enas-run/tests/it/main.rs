//! The crate from outside: presets, files and assignments of settings.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod config;
