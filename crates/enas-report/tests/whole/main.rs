//! The crate from outside: reports of real runs, tiny ones, read as text and opened in a browser.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod auto;
mod browser;
mod page;
mod support;
