//! `enas search --repeat N`: the same search with several seeds, and the agreement of the results.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;
use enas_arc::Arc;
use enas_kernels::gpu::Gpu;
use enas_rng::Seed;
use enas_search::{Gain, Kind, SearchOutcome};
use serde::Serialize;

use super::args::Search;
use super::start::{first_line, started};
use crate::args;
use crate::commands::{Context, interrupted, report, settings, shell_word};
use crate::failure::SUCCESS;
use crate::interrupt::Interrupt;
use crate::output::{grouped, path, percent, visible};
use crate::progress::Watcher;
use crate::terminal::{command, stdout_paragraph};

/// Number of pairs of random architectures from which the agreement by chance is estimated.
const CHANCE_PAIRS: u64 = 1000;

/// Runs `times` searches one after the other.
///
/// # Errors
/// Those of a single search.
pub(super) fn run(
    context: &Context,
    args: &Search,
    times: usize,
    gpu: Option<Gpu>,
    interrupt: &Interrupt,
) -> Result<u8> {
    let config = settings::search(&args.settings(), args.images.path(), Some(&args.extent))?;
    config.must_be_of_cells("--repeat")?;
    let first_seed = config.run.seed;
    let mut members = Vec::with_capacity(times);
    for number in 0..times {
        let seed = first_seed.wrapping_add(number as u64);
        context.console.note(&format!("search {} of {times}, seed {seed}", number + 1));
        let one = Search {
            repeat: None,
            out: args.out.as_ref().map(|dir| dir.join(format!("seed-{seed}"))),
            settings: args::Settings { seed: Some(seed), ..args.settings.clone() },
            ..args.clone()
        };
        let loading = context.console.activity("reading the images");
        let held = context.console.hold();
        let (config, mut run, data) = started(context, &one, gpu.as_ref(), Instant::now())?;
        report::reserve(&mut run, &data, config.run.time);
        drop(loading);
        held.first(&first_line(&data, &config));
        if let Some(gpu) = &gpu {
            run.use_gpu(gpu.clone())?;
        }
        let mut watcher = Watcher::new(&context.console, interrupt).waiting("preparing the search");
        match enas_search::search(&config, &data, &mut run, &mut watcher) {
            Ok(found) => {
                drop(watcher);
                let writing = context.console.activity("writing the report");
                report::at_the_end(&found.run, &data, None, report::left(&run, config.run.time));
                drop(writing);
                members.push(Member::of(seed, found));
            }
            Err(error) => {
                drop(watcher);
                return interrupted(error, Kind::Search, interrupt);
            }
        }
    }
    let document = Document::of(members);
    context.out.print(&document, |out| document.write(out))?;
    Ok(SUCCESS)
}

/// The result of one search.
#[derive(Serialize)]
struct Member {
    seed: u64,
    #[serde(serialize_with = "path")]
    run: PathBuf,
    arc: Arc,
    valid_accuracy: f64,
    macs: u64,
    gain: Option<Gain>,
}

impl Member {
    fn of(seed: u64, found: SearchOutcome) -> Self {
        let finals = found.finals.as_ref();
        Self {
            seed,
            macs: finals.map_or(found.macs, |finals| finals.balanced().macs),
            gain: finals.and_then(|finals| finals.gain),
            run: found.run,
            arc: found.arc,
            valid_accuracy: found.valid_accuracy,
        }
    }
}

/// The results of all searches.
#[derive(Serialize)]
struct Document {
    runs: Vec<Member>,
    valid_accuracy_mean: f64,
    valid_accuracy_sd: f64,
    /// Mean fraction of branches that two of the architectures have in common, 0 to 1.
    agreement: f64,
    /// The same for random architectures.
    agreement_by_chance: f64,
}

impl Document {
    fn of(runs: Vec<Member>) -> Self {
        let n = runs.len() as f64;
        let mean = runs.iter().map(|run| run.valid_accuracy).sum::<f64>() / n;
        let squares: f64 = runs.iter().map(|run| (run.valid_accuracy - mean).powi(2)).sum();
        let arcs: Vec<&Arc> = runs.iter().map(|run| &run.arc).collect();
        let nodes = arcs[0].n_nodes();
        let random = |i| Arc::random(nodes, &mut Seed::new(0).stream("repeat/chance", &[i]));
        let by_chance = (0..CHANCE_PAIRS).map(|i| common(&random(2 * i), &random(2 * i + 1)));
        Self {
            valid_accuracy_mean: mean,
            valid_accuracy_sd: (squares / (n - 1.0).max(1.0)).sqrt(),
            agreement: agreement(&arcs),
            agreement_by_chance: by_chance.sum::<f64>() / CHANCE_PAIRS as f64,
            runs,
        }
    }

    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        for run in &self.runs {
            let gain = run.gain.map_or(String::new(), |gain| {
                format!("  {:+.1} points over random ({:+.1} to {:+.1})", gain.points, gain.low, gain.high)
            });
            let valid = percent(run.valid_accuracy);
            let macs = grouped(run.macs);
            let line =
                format!("validation {valid:>8}  {macs:>12} multiply-adds{gain}  {}", visible(&run.run));
            writeln!(out, "{}", stdout_paragraph(&format!("seed {:<4} ", run.seed), &line))?;
        }
        let mean = format!(
            "mean {} ± {:.2} points (standard deviation over searches)",
            percent(self.valid_accuracy_mean),
            100.0 * self.valid_accuracy_sd
        );
        writeln!(out, "\n{}", stdout_paragraph("", &mean))?;
        let common = format!(
            "on average two of the architectures share {:.0} % of their branches; random ones {:.0} %",
            100.0 * self.agreement,
            100.0 * self.agreement_by_chance
        );
        writeln!(out, "{}", stdout_paragraph("", &common))?;
        let best = self.runs.iter().max_by(|a, b| a.valid_accuracy.total_cmp(&b.valid_accuracy));
        let Some(best) = best else { return Ok(()) };
        writeln!(out, "next: {}", command(&format!("enas train --run {}", shell_word(&best.run))))
    }
}

/// Mean fraction of common branches over all pairs.
fn agreement(arcs: &[&Arc]) -> f64 {
    let pairs: Vec<f64> =
        arcs.iter().enumerate().flat_map(|(i, a)| arcs[i + 1..].iter().map(move |b| common(a, b))).collect();
    pairs.iter().sum::<f64>() / pairs.len().max(1) as f64
}

/// Fraction of equal branches of two architectures. The order of the two branches of a node does not matter.
fn common(a: &Arc, b: &Arc) -> f64 {
    let a = a.canonical().to_ints();
    let b = b.canonical().to_ints();
    let alike = a.chunks(2).zip(b.chunks(2)).filter(|(x, y)| x == y).count();
    2.0 * alike as f64 / a.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_architectures_have_everything_in_common() {
        let (a, b): (Arc, Arc) = ("0 0 1 4  0 1 1 4".parse().unwrap(), "1 4 0 0  0 1 1 3".parse().unwrap());
        assert_eq!((common(&a, &a), common(&a, &b)), (1.0, 0.75), "sides do not count");
        assert_eq!(agreement(&[&a, &a, &b]), (1.0 + 0.75 + 0.75) / 3.0);
    }
}
