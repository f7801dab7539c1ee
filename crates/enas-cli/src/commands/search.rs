//! `enas search`: finds an architecture and prints it beside what luck would have found.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Result;
use enas_arc::Arc;
use enas_data::Dataset;
use enas_kernels::gpu::Gpu;
use enas_search::{Candidate, Kind, MemoryPlan, Run, SearchConfig, SearchOutcome};
use serde::Serialize;

use super::subject::FinalNetwork;
use super::{Context, interrupted, report, settings, shell_word, use_threads};
use crate::failure::SUCCESS;
use crate::interrupt::Interrupt;
use crate::output::{cost, counted, duration, grouped, images, path, percent};
use crate::progress::Watcher;
use crate::standing::Standing;
use crate::terminal::{command, paragraph, stdout_width, strong};
use crate::{args, device};

/// How many candidates the human ranking shows; JSON has them all.
const RANKED: usize = 5;

/// Runs `enas search`.
///
/// # Errors
/// Usage for bad settings; whatever data, network and disk report.
pub(crate) fn run(context: &Context, args: &args::Search) -> Result<u8> {
    use_threads(args.machine.threads)?;
    let gpu = device::open(args.machine.device)?;
    let interrupt = Interrupt::listen()?;
    let (config, mut run, data) = match &args.extent.resume {
        Some(dir) => resumed(args, dir, gpu.as_ref())?,
        None => started(args, gpu.as_ref())?,
    };
    if let Some(gpu) = gpu {
        run.use_gpu(gpu)?;
    }
    context.console.note(&images(&data));
    let mut watcher = Watcher::new(&context.console, &interrupt);
    match enas_search::search(&config, &data, &mut run, &mut watcher) {
        Ok(found) => {
            // Whoever reads the result may be gone by now; the report is written all the same.
            let preset = args.settings.preset.as_deref();
            let printed =
                print(context, &found, (preset, FinalNetwork::of(&config, preset, &found.arc, &data)), &data);
            report::at_the_end(&found.run, &data, None);
            printed.map(|()| SUCCESS)
        }
        Err(error) => {
            drop(watcher);
            interrupted(error, Kind::Search, &interrupt)
        }
    }
}

fn started(args: &args::Search, gpu: Option<&Gpu>) -> Result<(SearchConfig, Run, Dataset)> {
    let mut config = settings::search(&args.settings, args.images.path(), Some(&args.extent))?;
    settings::limit_memory(&mut config.run, args.memory);
    config.run.check_device(gpu)?;
    let plan = MemoryPlan::for_search(&config, gpu.is_some())?;
    let data = plan.load(&config.data, config.run.seed(), None)?;
    let mut run = Run::for_search(args.out.as_deref(), &config, &data)?;
    run.set_memory(plan)?;
    Ok((config, run, data))
}

fn resumed(args: &args::Search, dir: &Path, gpu: Option<&Gpu>) -> Result<(SearchConfig, Run, Dataset)> {
    let mut run = Run::resume(dir)?;
    let own = run.record().layers::<SearchConfig>()?;
    let mut config: SearchConfig =
        settings::beside(own, &args.settings, args.images.path(), Some(&args.extent))?;
    settings::limit_memory(&mut config.run, args.memory);
    run.accepts(&config)?;
    config.run.check_device(gpu)?;
    run.find_pictures(&config.data)?;
    let plan = MemoryPlan::for_search(&config, gpu.is_some())?;
    let data = run.load_planned(&config.data, config.run.seed(), &plan)?;
    run.adopt(&config)?;
    run.set_memory(plan)?;
    Ok((config, run, data))
}

/// The promised document.
#[derive(Serialize)]
struct Found<'a> {
    #[serde(serialize_with = "path")]
    run: &'a PathBuf,
    arc: &'a Arc,
    valid_accuracy: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    valid_macro_f1: Option<f64>,
    random_valid_accuracy: Option<f64>,
    random_best_valid_accuracy: Option<f64>,
    epochs: u64,
    seconds: f64,
    params: usize,
    macs: u64,
    /// What `enas train` would build of the architecture; none if it could not.
    final_network: Option<FinalNetwork>,
    candidates: &'a [Candidate],
    random: &'a [Candidate],
    #[serde(skip)]
    standing: Standing,
}

fn print(
    context: &Context,
    found: &SearchOutcome,
    (preset, final_network): (Option<&str>, Option<FinalNetwork>),
    data: &Dataset,
) -> Result<()> {
    let random = &found.selection.random;
    let document = Found {
        final_network,
        standing: Standing::on(&data.valid, found.valid_accuracy),
        run: &found.run,
        arc: &found.arc,
        valid_accuracy: found.valid_accuracy,
        valid_macro_f1: found.valid_macro_f1,
        random_valid_accuracy: found.random_valid_accuracy,
        random_best_valid_accuracy: random.iter().map(|c| c.valid_accuracy).reduce(f64::max),
        epochs: found.epochs,
        seconds: found.seconds,
        params: found.params,
        macs: found.macs,
        candidates: &found.selection.candidates,
        random,
    };
    context.out.print(&document, |out| document.write(out, preset))
}

impl Found<'_> {
    fn write(&self, out: &mut dyn Write, preset: Option<&str>) -> io::Result<()> {
        writeln!(out, "validation      {}", strong(&self.standing.line()))?;
        writeln!(
            out,
            "                with the shared weights, the best of {} candidates",
            self.candidates.len()
        )?;
        if let Some(f1) = self.valid_macro_f1 {
            writeln!(out, "macro-F1        {}", percent(f1))?;
        }
        if let Some(line) = self.beside_random() {
            writeln!(out, "{}", paragraph("random          ", &line, stdout_width()))?;
        }
        let (params, macs) = (grouped(self.params as u64), grouped(self.macs));
        writeln!(out, "search network  {params} parameters shared by all architectures;")?;
        writeln!(out, "                {macs} multiply-adds per image with this one")?;
        if let Some(FinalNetwork { params, macs }) = self.final_network {
            writeln!(out, "final network   {}", cost(params, macs))?;
        }
        writeln!(out, "time            {} for {}", duration(self.seconds), counted(self.epochs, "epoch"))?;
        writeln!(out, "run             {}\n", self.run.display())?;
        self.write_ranking(out)?;
        writeln!(out, "\nbest architecture:\n{}", self.arc.readable())?;
        let preset = preset.map_or(String::new(), |name| format!(" --preset {name}"));
        let next = format!("enas train --run {}{preset}", shell_word(self.run));
        writeln!(out, "next: {}", command(&next))
    }

    /// The best candidates, by their places alone: as integers they are in the report and in JSON.
    fn write_ranking(&self, out: &mut dyn Write) -> io::Result<()> {
        let metric = if self.valid_macro_f1.is_some() { "macro-F1" } else { "accuracy" };
        writeln!(out, "ranking (validation {metric} with the shared weights; all of it in report.html):")?;
        for (place, candidate) in (1..).zip(self.candidates.iter().take(RANKED)) {
            let Candidate { macs, .. } = candidate;
            let score = percent(candidate.score());
            writeln!(out, "  {place}. {score:>8}  {:>12} multiply-adds", grouped(*macs))?;
        }
        Ok(())
    }

    /// The random architectures, and what they say about the search, favourable or not.
    fn beside_random(&self) -> Option<String> {
        let (mean, best) = (self.random_valid_accuracy?, self.random_best_valid_accuracy?);
        let n = self.random.len();
        let as_good = self.random.iter().filter(|c| c.valid_accuracy >= self.valid_accuracy).count();
        let verdict = if as_good == 0 {
            "the search beats them all".to_owned()
        } else if self.valid_accuracy > mean {
            format!("the search beats their mean, but {as_good} of them are as good or better")
        } else {
            "the search did not beat random choice; try more epochs or more pictures".to_owned()
        };
        Some(format!("mean {}, best {} of {n} random architectures: {verdict}", percent(mean), percent(best)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use enas_search::Origin;

    fn verdict(found: f64, random: &[f64]) -> String {
        let arc: Arc = "0 4 1 4 1 3 1 4".parse().unwrap();
        let candidate = |&valid_accuracy: &f64| Candidate {
            arc: arc.clone(),
            origin: Origin::Random,
            valid_accuracy,
            valid_macro_f1: None,
            macs: 1,
        };
        let random: Vec<Candidate> = random.iter().map(candidate).collect();
        let run = PathBuf::from("runs/x");
        let mean = random.iter().map(|c| c.valid_accuracy).sum::<f64>() / random.len() as f64;
        let best = random.iter().map(|c| c.valid_accuracy).reduce(f64::max);
        Found {
            run: &run,
            arc: &arc,
            valid_accuracy: found,
            valid_macro_f1: None,
            random_valid_accuracy: best.map(|_| mean),
            random_best_valid_accuracy: best,
            epochs: 1,
            seconds: 1.0,
            params: 1,
            macs: 1,
            final_network: None,
            candidates: &[],
            random: &random,
            standing: Standing::of(&enas_search::Evaluation::new(&[])),
        }
        .beside_random()
        .unwrap_or_default()
    }

    #[test]
    fn a_search_that_wins_says_so() {
        assert!(verdict(0.9, &[0.5, 0.8]).ends_with("the search beats them all"));
    }

    #[test]
    fn a_search_that_luck_equals_says_so() {
        assert!(verdict(0.8, &[0.5, 0.8]).contains("but 1 of them are as good or better"));
        assert!(verdict(0.5, &[0.5, 0.8]).contains("did not beat random choice"));
    }

    #[test]
    fn without_random_architectures_nothing_is_claimed() {
        assert_eq!(verdict(0.8, &[]), "");
    }
}
