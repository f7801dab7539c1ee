//! Tasks for developers of the project; `cargo xtask --help` lists them. They are not part of an installation.
#![forbid(unsafe_code)]
// A command-line program prints to standard output.
#![allow(clippy::print_stdout)]

mod bench;
mod ci;
mod cuda;
mod deny;
mod fashion_small;
mod fetch;
mod fuzz;
mod package;
mod process;
mod python;
mod quality;
mod repo;
mod sanitize;
mod smoke;
mod static_build;
mod tidy;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Tasks of the enas project: data sets, continuous integration, project rules, benchmarks.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    FetchData(fetch::Args),
    FashionSmall(fashion_small::Args),
    Ci(ci::Args),
    Tidy(tidy::Args),
    Bench(bench::Args),
    CudaCheck(cuda::Args),
    Deny(deny::Args),
    Fuzz(fuzz::Args),
    Quality(quality::Args),
    Sanitize(sanitize::Args),
    StaticBuild(static_build::Args),
}

fn main() -> ExitCode {
    let done = match Cli::parse().task {
        Task::FetchData(args) => fetch::run(&args),
        Task::FashionSmall(args) => fashion_small::run(&args),
        Task::Ci(args) => ci::run(&args),
        Task::Tidy(args) => tidy::run(&args),
        Task::Bench(args) => bench::run(&args),
        Task::CudaCheck(args) => cuda::run(&args),
        Task::Deny(args) => deny::run(&args),
        Task::Fuzz(args) => fuzz::run(&args),
        Task::Quality(args) => quality::run(&args),
        Task::Sanitize(args) => sanitize::run(&args),
        Task::StaticBuild(args) => static_build::run(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
