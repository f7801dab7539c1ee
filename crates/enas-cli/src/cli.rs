//! The command line: all commands, and the flags that each of them has.

use std::io::{self, IsTerminal};

use clap::{Parser, Subcommand};

use crate::args::Shown;
use crate::commands;

/// Searches, trains and uses small image classifiers (ENAS micro search).
#[derive(Debug, Parser)]
#[command(name = "enas", version, arg_required_else_help = true, after_help = TOP_EXAMPLES)]
#[command(max_term_width = longest_help_line())]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) shown: Shown,
}

const TOP_EXAMPLES: &str = "\
Examples:
  enas auto photos --time 2h                   from images to a model, in one command
  enas data check photos                       check your images first
  enas search                                  find an architecture for the built-in digits
  enas train --run runs/digits-search-1        train the architecture that was found
  enas predict --run runs/digits-train-1 photo.png
  enas runs                                    compare the results of all runs

Results go to stdout, progress and messages to stderr.
Exit codes: 0 done, 1 the work failed, 2 bad usage or configuration, 130 or 143 interrupted (state saved).";

/// The longest line of a help text, in columns: at most 100 on a terminal. Zero means that there is no such bound, for
/// programs that read the text and set `COLUMNS`.
fn longest_help_line() -> usize {
    if io::stdout().is_terminal() { 100 } else { 0 }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Auto(commands::auto::Auto),
    Search(commands::search::Search),
    Train(commands::train::Train),
    Eval(commands::eval::Eval),
    Predict(commands::predict::Predict),
    #[cfg(feature = "export")]
    Export(commands::export::Export),
    #[command(subcommand)]
    Arc(commands::arc::ArcCommand),
    Augment(commands::augment::Augment),
    #[command(subcommand)]
    Data(commands::data::Data),
    #[command(subcommand)]
    Config(commands::config::Config),
    Bench(commands::bench::Bench),
    Completions(commands::shell::Completions),
    Man(commands::shell::Man),
    Prove(commands::prove::Args),
    Report(commands::report::Args),
    Runs(commands::runs::Args),
    Study(commands::study::Args),
    #[cfg(feature = "watch")]
    Watch(commands::watch::Args),
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_description_of_the_arguments_is_consistent() {
        Cli::command().debug_assert();
    }
}
