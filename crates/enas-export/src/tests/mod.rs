//! Comparison of exported graphs with their networks, and files that the check must reject.

mod damage;
mod equality;
mod structure;
mod subject;
