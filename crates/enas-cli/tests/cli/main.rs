//! The program from outside: real processes, real files, exit codes and what is printed.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "in helpers of tests, too, a failed unwrap is a failed test")]

mod arcs;
mod bench;
mod board;
mod built_in;
mod choices;
mod config;
mod data;
mod documents;
mod draw;
mod durable;
mod examples;
mod export;
mod fetch;
mod flags;
mod grammar;
mod hostile;
mod imbalance;
mod interrupt;
mod macro_space;
mod memory;
mod model;
mod places;
mod recipe;
mod runs;
mod said;
mod study;
mod tables;
#[cfg(feature = "watch")]
mod watch;
