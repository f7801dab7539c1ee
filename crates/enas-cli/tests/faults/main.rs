//! The program under faults: killed at random moments, stopped, out of space, without its images, in odd
//! surroundings. Real processes, real files.
//!
//! Each story ends with the bytes that an undisturbed run has, or with one clear message. What was done is printed
//! in numbers. `ENAS_FAULTS_SEED` chooses other random moments.
#![forbid(unsafe_code)]
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "in helpers of tests, too, a failed unwrap is a failed test")]

mod auto;
#[cfg(target_os = "linux")]
mod disk;
mod environment;
mod files;
mod images;
mod job;
mod kills;
mod pipes;
mod results;
mod signals;
mod threads;
