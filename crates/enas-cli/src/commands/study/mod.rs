//! `enas study`: how good searches are.

mod table;

use anyhow::Result;

use super::Context;

/// Judge how good a search strategy is, on a table of known results
///
/// The table has one row per architecture: one small integer per decision, and what its training came to on validation
/// and test images. The strategy sees the validation value of what it asks for; the best it has seen is compared with
/// all rows by test value. 50 is the percentile of a random architecture, 100 of the best.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  enas study --table table.csv --strategy reinforce --rewards 1000 --repeats 10
  enas study --table table.csv --strategy evolution --rewards 150 --json

A table is CSV with a header, as in `op1,op2,op3,valid,test`, or a JSON array of objects with these keys. An
architecture without a row is never proposed.")]
pub(crate) struct Args {
    #[command(flatten)]
    table: table::Args,
    /// The number all randomness starts from; equal seeds give equal results
    #[arg(long, value_name = "N", allow_negative_numbers = true, default_value_t = 0)]
    seed: u64,
}

/// Runs `enas study`.
///
/// # Errors
/// Usage if what was asked for does not exist; if the work fails.
pub(crate) fn run(context: &Context, args: &Args) -> Result<u8> {
    table::run(context, &args.table, args.seed)
}
