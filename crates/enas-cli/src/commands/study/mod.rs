//! `enas study`: whether searches on images beat random architectures, and how good a strategy is on a table.

mod images;
mod table;
mod watcher;

use anyhow::Result;

use super::Context;

/// Measure whether a search finds anything better than chance
///
/// Searches several times and trains the architectures found. With the same recipe, it trains random architectures,
/// random wide ones, and random ones of the same size and cost. Reports by how many points the search is above each of
/// these groups, with 95 % intervals, and whether a short training ranks architectures like a full one. The report says
/// "better" only where the interval excludes zero. Every finished training is kept: a stopped study goes on where it
/// was.
///
/// With --table it measures a strategy without images, on a table with one row per architecture. A row has one small
/// integer per decision, and the results of a training on validation and test images.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  enas study                                          the built-in digits: takes hours
  enas study photos --time 8h                         overnight; reports what is missing
  enas study photos --pool 20 --wide 6 --searches 3   fewer of each
  enas study photos --set train.run.epochs=5          a shorter recipe for every training
  enas study --resume runs/photos-study-1 --time 8h   the next night
  enas study --resume runs/photos-study-1 --pool 60   more of them
  enas study --table table.csv --strategy reinforce --rewards 1000 --repeats 10
  enas study --table table.csv --strategy evolution --rewards 150 --json

Settings are those of `enas search`; train.KEY is a setting of the recipe. The recipe trains the network of the search
for 10 epochs without augmentation. Its learning rate falls to 0, and it takes the last weights. Accuracies are those of
the test images, which nothing else uses; choose a data set with a thousand of them or more. The directory has
trials.jsonl (every training), study.json, study.md and study.html.

A table is CSV with a header, as in `op1,op2,op3,valid,test`, or a JSON array of objects with these keys. The strategy
sees the validation values of the rows that it proposes. The best of these rows is compared with all rows by test value:
a random architecture has percentile 50, the best 100. An architecture without a row is never proposed.")]
pub(crate) struct Args {
    #[command(flatten)]
    images: images::Args,
    #[command(flatten)]
    table: table::Args,
}

/// Runs `enas study`.
///
/// # Errors
/// A usage error for an impossible request; errors of the work.
pub(crate) fn run(context: &Context, args: &Args) -> Result<u8> {
    match &args.table.table {
        Some(path) => table::run(context, &args.table, path, args.images.seed()),
        None => images::run(context, &args.images),
    }
}
