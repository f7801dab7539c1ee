//! `enas`: searches, trains and uses small image classifiers from the command line.
//!
//! This crate parses arguments and prints progress and results. The algorithms are in `enas-search` and the crates
//! below it.
#![forbid(unsafe_code)]

mod arcs;
mod args;
mod cli;
mod commands;
mod device;
mod failure;
mod fonts;
mod interrupt;
mod locate;
mod logging;
mod messages;
mod output;
mod progress;
mod standing;
mod terminal;
mod tips;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use cli::{Cli, Command};
use commands::Context;
use messages::Console;
use output::Output;

fn main() -> ExitCode {
    enas_kernels::tune_allocator();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return print_instead(&tips::explained(error)),
    };
    match run(cli) {
        Ok(code) => code.into(),
        Err(error) if failure::is_broken_pipe(&error) => failure::SUCCESS.into(),
        Err(error) => {
            // If stderr is closed the message is lost, but the exit code still reports the error.
            let message = tips::with_setting(failure::message(&error));
            let _ = writeln!(io::stderr(), "{} {message}", terminal::error_word());
            failure::exit_code(&error).into()
        }
    }
}

/// Prints what parsing gives instead of a command, a help text, the version or an error, and returns the exit code.
fn print_instead(error: &clap::Error) -> ExitCode {
    match error.print().and_then(|()| io::stdout().flush()) {
        Err(problem) if !error.use_stderr() && problem.kind() != io::ErrorKind::BrokenPipe => {
            let _ = writeln!(io::stderr(), "{} cannot write to stdout: {problem}", terminal::error_word());
            failure::FAILED.into()
        }
        _ => ExitCode::from(error.exit_code() as u8),
    }
}

/// Runs the command and returns its exit code.
fn run(cli: Cli) -> anyhow::Result<u8> {
    let console = Console::new(cli.shown.quiet);
    logging::start(cli.shown, &console);
    let context = Context { out: Output { json: cli.shown.json }, console };
    match cli.command {
        Command::Auto(args) => commands::auto::run(&context, &args),
        Command::Search(args) => commands::search::run(&context, &args),
        Command::Train(args) => commands::train::run(&context, &args),
        Command::Eval(args) => commands::eval::run(&context, &args),
        Command::Predict(args) => commands::predict::run(&context, &args),
        #[cfg(feature = "export")]
        Command::Export(args) => commands::export::run(&context, &args),
        Command::Arc(args) => commands::arc::run(&context, &args),
        Command::Augment(args) => commands::augment::run(&context, &args),
        Command::Data(args) => commands::data::run(&context, &args),
        Command::Config(args) => commands::config::run(&context, &args),
        Command::Bench(args) => commands::bench::run(&context, &args),
        Command::Completions(args) => commands::shell::completions(&args, Cli::command()),
        Command::Man(args) => commands::shell::man(&context, &args, Cli::command()),
        Command::Prove(args) => commands::prove::run(&context, &args),
        Command::Report(args) => commands::report::run(&context, &args),
        Command::Runs(args) => commands::runs::run(&context, &args),
        Command::Study(args) => commands::study::run(&context, &args),
        #[cfg(feature = "watch")]
        Command::Watch(args) => commands::watch::run(&context, &args),
    }
}
