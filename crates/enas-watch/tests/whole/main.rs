//! The crate from outside: a real server, a search that is really running, plain sockets and a real browser.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod browser;
mod client;
mod devtools;
mod hostile;
mod live;
mod refusals;
mod support;
