//! `cargo xtask bench`: times of single steps, compared with the same steps in PyTorch or as one dimension grows.
//!
//! This code starts programs and arranges their output. `enas bench` and `benches/peer/enas_torch.py` measure the
//! times.

mod chart;
mod configurations;
mod peer;
mod point;
mod program;
mod sweep;
mod table;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::repo;
use configurations::Configuration;
use peer::Peer;
use program::Program;
use table::{Row, Setting};

/// Time single steps of searching, training and predicting, compared with the same steps in PyTorch.
///
/// Builds `enas` and runs `enas bench` and `benches/peer/enas_torch.py` in turn, with the same arguments. The
/// result is a Markdown table on standard output. The peer is left out where no Python with PyTorch is found.
///
/// With --sweep DIR, PyTorch is not needed: one search step is timed while its batch, filters, layers, image size or
/// threads grow. DIR gets a CSV file and an SVG chart for each.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask bench                                    the whole table; about four minutes on two cores
  cargo xtask bench --only S3 --rounds 3               two rows, three times each
  cargo xtask bench --python V/bin/python --out t.md   the peer in a virtual environment; table also in a file
  cargo xtask bench --device cuda                      both on the first GPU; needs nvcc, and PyTorch for CUDA
  cargo xtask bench --sweep charts --only batch        charts/batch.csv and charts/batch.svg

Configurations for --only: a name or its beginning.
  S1-search S1-reward S2-search S2-reward S3-search S3-reward controller F1-step F1-infer F2-step F2-infer
With --sweep: batch filters layers size threads

A Python for the peer:
  python3 -m venv V && V/bin/pip install -r benches/peer/requirements.txt

Timings mean little while the machine does anything else. Ratios from one run are worth more than milliseconds;
with --rounds, the ratio is the median of the rounds' own ratios.")]
pub(crate) struct Args {
    /// Time only these (may be repeated)
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Steps that are timed, each run
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    iters: u32,
    /// Untimed warm-up steps, each run
    #[arg(long, value_name = "N", default_value_t = 3)]
    warmup: u32,
    /// Runs of each program, in turn; medians over them are shown
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Threads of both programs; with --sweep, of all axes but threads
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..))]
    threads: u32,
    /// Where both programs compute: cpu, cuda or cuda:N; with cuda, `enas` is built with its kernels
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    device: String,
    /// Use this `enas` instead of building one
    #[arg(long, value_name = "PATH")]
    enas: Option<PathBuf>,
    /// A Python that can import torch [default: python3, if it can]
    #[arg(long, value_name = "PATH", conflicts_with_all = ["no_peer", "sweep"])]
    python: Option<PathBuf>,
    /// Time only ours
    #[arg(long)]
    no_peer: bool,
    /// Also write the table to this file
    #[arg(long, value_name = "FILE", conflicts_with = "sweep")]
    out: Option<PathBuf>,
    /// Time one step while the work grows; write CSV and SVG files into this folder
    #[arg(long, value_name = "DIR", conflicts_with = "rounds")]
    sweep: Option<PathBuf>,
}

/// Runs the comparison or the sweep.
pub(crate) fn run(args: &Args) -> Result<()> {
    match &args.sweep {
        Some(folder) => sweep(args, folder),
        None => compare(args),
    }
}

fn sweep(args: &Args, folder: &Path) -> Result<()> {
    let axes = sweep::chosen(&args.only)?;
    let ours = ours(args)?;
    fs::create_dir_all(folder).with_context(|| format!("cannot create the folder {}", folder.display()))?;
    for axis in axes {
        sweep::run(axis, &ours, &common(args), folder)?;
    }
    Ok(())
}

fn compare(args: &Args) -> Result<()> {
    let configurations = configurations::chosen(&args.only)?;
    let peer = if args.no_peer { None } else { peer::find(args.python.as_deref())? };
    let ours = ours(args)?;
    let mut rows = Vec::new();
    for configuration in &configurations {
        rows.push(row(args, configuration, &ours, peer.as_ref())?);
    }
    let setting = Setting {
        iters: args.iters,
        warmup: args.warmup,
        rounds: args.rounds,
        threads: args.threads,
        device: args.device.clone(),
        processor: processor(),
        peer: peer.map(|peer| peer.described()),
    };
    let text = table::markdown(&rows, &setting);
    print!("{text}");
    if let Some(file) = &args.out {
        fs::write(file, &text).with_context(|| format!("cannot write the table to {}", file.display()))?;
    }
    Ok(())
}

/// Runs both programs alternately. Every second round swaps their order, so that no program always runs on a machine
/// that the other one has warmed up.
fn row(args: &Args, configuration: &Configuration, ours: &Program, peer: Option<&Peer>) -> Result<Row> {
    let mut arguments = configuration.arguments()?;
    arguments.extend(common(args));
    let mut row = Row::new(configuration);
    for round in 0..args.rounds {
        let mut programs = vec![(ours, &mut row.ours)];
        programs.extend(peer.map(|peer| (&peer.program, &mut row.peer)));
        if round % 2 == 1 {
            programs.reverse();
        }
        for (program, measurements) in programs {
            let measurement = program.bench(&arguments)?;
            eprintln!("{:<10} {:<8} {:>9.1} ms", configuration.name, program.name, measurement.median_ms);
            measurements.push(measurement);
        }
    }
    Ok(row)
}

/// The arguments that all runs share.
fn common(args: &Args) -> Vec<String> {
    let numbers = [("--iters", args.iters), ("--warmup", args.warmup), ("--threads", args.threads)];
    let mut common: Vec<String> =
        numbers.iter().flat_map(|(flag, number)| [(*flag).to_owned(), number.to_string()]).collect();
    common.extend(["--device".to_owned(), args.device.clone()]);
    common
}

fn ours(args: &Args) -> Result<Program> {
    let path = match &args.enas {
        Some(path) => fs::canonicalize(path).with_context(|| {
            format!("--enas: no program {}; leave the flag out to build one", path.display())
        })?,
        None if args.device.starts_with("cuda") => repo::release_binary(&["--features", "cuda"])?,
        None => repo::release_binary(&[])?,
    };
    Ok(Program { name: "enas", path, before: Vec::new(), environment: Vec::new() })
}

/// The name of the processor, if the system provides it.
fn processor() -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let (_, name) = text.lines().find(|line| line.starts_with("model name"))?.split_once(':')?;
    Some(name.trim().to_owned())
}
