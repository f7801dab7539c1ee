//! The crate from outside: configurations, and whole searches and trainings on real pictures.

mod common;
mod config;
mod search;
mod train;
