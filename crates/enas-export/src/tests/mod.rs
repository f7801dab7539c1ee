//! Exported graphs beside the networks they are of, and what the check refuses.

mod damage;
mod equality;
mod structure;
mod subject;
