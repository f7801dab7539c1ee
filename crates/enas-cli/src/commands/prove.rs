//! `enas prove`: repeats the claim of a search with other seeds.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use enas_search::{MemoryPlan, RunReader, SearchConfig};
use enas_study::{Replication, ReplicationCounts, SearchClaim};
use serde::Serialize;

use super::{Context, settings, use_threads};
use crate::args::{Machine, Memory, RunPlace, whole};
use crate::failure::{FAILED, SUCCESS, usage};
use crate::interrupt::Interrupt;
use crate::output::{counted, path, percent, visible};
use crate::terminal::{paragraph, stdout_width, strong};
use crate::{device, locate};

/// Repeat the claim of a search with other seeds; exit code 1 if it does not hold
///
/// A search claims that the architecture found is better than random architectures with the same training. This command
/// trains the architecture found again with other seeds. It also trains random architectures as long and with the same
/// settings: those of the search, and newly drawn ones. The claim holds if the 95 % interval of the difference on the
/// test images, which the search never used, lies above zero. A search that found no measurable difference makes no
/// claim, and there is nothing to prove.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  enas prove runs/digits-search-1
  enas prove --run runs/photos-search-1 --seeds 5 --random 12

Exit codes: 0 the claim holds, or nothing is claimed; 1 it does not hold.")]
pub(crate) struct Args {
    #[command(flatten)]
    place: RunPlace,
    /// Where the images of the run are now
    #[arg(long, value_name = "PATH")]
    data: Option<PathBuf>,
    /// Trainings of the architecture found, each with another seed
    #[arg(long, value_name = "N", default_value_t = 4, allow_negative_numbers = true, value_parser = whole(2, 1000))]
    seeds: usize,
    /// Random architectures, each trained once
    #[arg(long, value_name = "N", default_value_t = 8, allow_negative_numbers = true, value_parser = whole(2, 1000))]
    random: usize,
    #[command(flatten)]
    machine: Machine,
    #[command(flatten)]
    memory: Memory,
}

/// Runs `enas prove`.
///
/// # Errors
/// A usage error if the directory is not a finished search; errors of images and network.
pub(crate) fn run(context: &Context, args: &Args) -> Result<u8> {
    use_threads(args.machine.threads)?;
    let gpu = device::gpu(args.machine.device)?;
    let dir = args.place.path().ok_or_else(|| usage("no run given: enas prove RUN, or --run DIR"))?;
    let record = RunReader::open(&locate::search(dir)?)?;
    let mut config: SearchConfig = record.config()?;
    settings::limit_memory(&mut config.run, args.memory);
    if let Some(path) = &args.data {
        config.data.path = enas_data::resolve_path(path);
    }
    let Some(claim) = SearchClaim::of(&record)? else {
        return nothing(context, dir);
    };
    let interrupt = Interrupt::listen()?;
    let working = context.console.activity("reading the images");
    let plan = MemoryPlan::for_search(&config, gpu.is_some())?;
    record.find_images(&config.data)?;
    let data =
        record.load_data(&config.data, config.run.seed(), Some(&plan)).context("the images of the run")?;
    let counts = ReplicationCounts { seeds: args.seeds as u64, random: args.random };
    let steps = counted(claim.steps, "step");
    let mut goes_on = |done: usize, total: usize, share: f64| {
        let percent = 100.0 * share;
        working.say(&format!("training {} of {total} ({steps}): {percent:.0} %", done + 1));
        !interrupt.asked()
    };
    let proof = claim.replicate(&config, &data, gpu.as_ref(), Some(&plan), counts, &mut goes_on)?;
    drop(working);
    let Some(proof) = proof else {
        let _ = writeln!(io::stderr(), "interrupted; partial results are not kept, start the command again");
        return Ok(interrupt.code());
    };
    let document = Document { run: dir, claims: true, proof: Some(&proof) };
    context.out.print(&document, |out| write_proof(out, &proof))?;
    Ok(if proof.holds { SUCCESS } else { FAILED })
}

/// The JSON document. Its keys are part of the interface.
#[derive(Serialize)]
struct Document<'a> {
    #[serde(serialize_with = "path")]
    run: &'a Path,
    claims: bool,
    #[serde(flatten)]
    proof: Option<&'a Replication>,
}

fn nothing(context: &Context, dir: &Path) -> Result<u8> {
    let document = Document { run: dir, claims: false, proof: None };
    context.out.print(&document, |out| {
        let text = format!(
            "{} makes no claim: its search had no random architectures to compare with, or found no measurable difference. `enas study` measures whether such searches find anything.",
            visible(&dir)
        );
        writeln!(out, "{}", paragraph("", &text, stdout_width()))
    })?;
    Ok(SUCCESS)
}

fn write_proof(out: &mut dyn Write, proof: &Replication) -> io::Result<()> {
    let said = if proof.holds { "The claim holds." } else { "The claim does not hold." };
    writeln!(out, "{}\n", strong(said))?;
    let line = |points: f64, low: f64, high: f64| {
        format!("{points:+.2} points over random architectures, 95 % interval {low:+.2} to {high:+.2}")
    };
    let claimed = line(proof.claim.gain.points, proof.claim.gain.low, proof.claim.gain.high);
    let gain = proof.gain_points;
    let again = format!("{}: {}", line(gain.mean, gain.low, gain.high), proof.comparison);
    let mean = |values: &[f64]| percent(values.iter().sum::<f64>() / values.len().max(1) as f64);
    let accuracies = format!(
        "mean {} of the architecture found ({}), {} of {}; {} each, on {}",
        mean(&proof.found),
        counted(proof.found.len() as u64, "seed"),
        mean(&proof.random),
        counted(proof.random.len() as u64, "random architecture"),
        counted(proof.claim.steps, "step"),
        counted(proof.images as u64, "test image")
    );
    for (label, text) in [("claimed", &claimed), ("again", &again), ("accuracy", &accuracies)] {
        writeln!(out, "{}", paragraph(&format!("{label:<16}"), text, stdout_width()))?;
    }
    Ok(())
}
