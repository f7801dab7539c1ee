//! `enas study`: how good searches are.

mod images;
mod watcher;

use anyhow::Result;

use super::Context;

/// Measure whether a search finds anything better than chance
///
/// Searches several times, trains what was found alone, and beside it random architectures, random wide ones and random
/// ones of the same size and cost, all by one recipe. Tells by how many points the search is above each of them, with 95 %
/// intervals, and whether a short training ranks architectures as a whole one does. "better" is said only where the
/// interval excludes zero. Every finished training is kept: a study that was stopped goes on where it was.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  enas study                                          the built-in digits: takes hours
  enas study photos --time 8h                         over night; says what is missing
  enas study photos --pool 20 --wide 6 --searches 3   fewer of each
  enas study photos --set train.run.epochs=5          a shorter recipe for every training
  enas study --resume runs/photos-study-1 --time 8h   the next night
  enas study --resume runs/photos-study-1 --pool 60   more of them

Settings are those of `enas search`; train.KEY is a setting of the recipe. The recipe trains the network of the search for
10 epochs, without variations of the images, with a learning rate that falls to 0, and takes the last weights.
Accuracies are those of the test images, at which nothing else looks; take a data set with a thousand of them or more. The
directory has trials.jsonl (every training), study.json, study.md and study.html.")]
pub(crate) struct Args {
    #[command(flatten)]
    images: images::Args,
}

/// Runs `enas study`.
///
/// # Errors
/// Usage if what was asked for cannot be; if the work fails.
pub(crate) fn run(context: &Context, args: &Args) -> Result<u8> {
    images::run(context, &args.images)
}
