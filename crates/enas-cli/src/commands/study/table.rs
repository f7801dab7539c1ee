//! `enas study --table`: evaluates a strategy on a tabular benchmark.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use enas_rng::Seed;
use enas_strategy::{
    Budget, Evolution, EvolutionSettings, Outcome, Reinforce, ReinforceSettings, Strategy, Table, TableRow,
    TableSpace, TableSummary, Uniform, UniformAmong, search,
};
use rayon::prelude::*;
use serde::Serialize;
use serde_json::Map;

use crate::args::whole;
use crate::commands::Context;
use crate::failure::{SUCCESS, usage};
use crate::output::{counted, grouped, visible};
use crate::terminal::stdout_paragraph;

/// Maximum number of rewards in one search.
const MOST_REWARDS: usize = 1_000_000;

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Table")]
pub(super) struct Args {
    /// A CSV or JSON file: one column per decision, then valid and test
    #[arg(long, value_name = "FILE", conflicts_with_all = ["data", "data_flag", "pool", "wide", "searches", "seeds",
        "train_images", "valid_images", "time", "out", "resume", "preset", "config", "set"])]
    pub(super) table: Option<PathBuf>,
    /// The strategy that proposes architectures
    #[arg(long, value_name = "NAME", default_value = "reinforce", requires = "table")]
    strategy: Name,
    /// Scores that each search may ask for
    #[arg(long, value_name = "N", default_value_t = 1000, allow_negative_numbers = true, requires = "table",
        value_parser = whole(1, MOST_REWARDS))]
    rewards: usize,
    /// Searches, each with other random numbers
    #[arg(long, value_name = "N", default_value_t = 10, allow_negative_numbers = true, requires = "table",
        value_parser = whole(1, 10_000))]
    repeats: usize,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Name {
    /// Draws any row: the control
    Uniform,
    /// An LSTM policy that learns from rewards, as in ENAS
    Reinforce,
    /// Regularised evolution: mutates the best, removes the oldest
    Evolution,
    /// Draws among cells that read only their inputs; for tables of ENAS arcs
    Wide,
}

impl Name {
    fn text(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Reinforce => "reinforce",
            Self::Evolution => "evolution",
            Self::Wide => "wide",
        }
    }

    fn strategy<'a>(
        self,
        table: &'a Table,
        wide: &[TableRow],
        seed: Seed,
    ) -> Result<Box<dyn Strategy<TableSpace<'a>> + 'a>> {
        let space = TableSpace(table);
        Ok(match self {
            Self::Uniform => Box::new(Uniform(space)),
            Self::Reinforce => Box::new(Reinforce::new(space, &ReinforceSettings::default(), seed)?),
            Self::Evolution => Box::new(Evolution::new(space, EvolutionSettings::default())),
            Self::Wide => Box::new(UniformAmong(wide.to_vec())),
        })
    }
}

/// The result of one search.
#[derive(Debug, Serialize)]
struct Repeat {
    percentile: f64,
    regret: f64,
    valid: f64,
    test: f64,
    /// Number of distinct architectures that were scored.
    distinct: usize,
    arch: Map<String, serde_json::Value>,
}

#[derive(Debug, Serialize)]
struct Document<'a> {
    #[serde(serialize_with = "crate::output::path")]
    table: &'a Path,
    architectures: usize,
    decisions: usize,
    best_test: f64,
    mean_test: f64,
    strategy: &'static str,
    rewards: usize,
    seed: u64,
    percentile: f64,
    percentile_sd: Option<f64>,
    percentile_interval: Option<[f64; 2]>,
    regret: f64,
    regret_sd: Option<f64>,
    regret_interval: Option<[f64; 2]>,
    repeats: &'a [Repeat],
}

/// Runs the searches in parallel.
///
/// # Errors
/// If the table cannot be read; a usage error if the strategy is not available for it.
pub(super) fn run(context: &Context, args: &Args, path: &Path, seed: u64) -> Result<u8> {
    let table = Table::open(path)?;
    let wide = match args.strategy {
        Name::Wide => wide_rows(&table, path)?,
        _ => vec![],
    };
    let repeat =
        |number: u64| repeat(&table, args, &wide, Seed::new(seed).stream("study/repeat", &[number]).seed());
    let repeats: Vec<Repeat> = (0..args.repeats as u64).into_par_iter().map(repeat).collect::<Result<_>>()?;
    let summary = |value: fn(&Repeat) -> f64| {
        let values: Vec<f64> = repeats.iter().map(value).collect();
        TableSummary::of(&values).context("there is at least one repeat")
    };
    let percentile = summary(|r| r.percentile)?;
    let regret = summary(|r| r.regret)?;
    let known = |summary: TableSummary| summary.sd.is_finite().then_some(summary);
    let document = Document {
        table: path,
        architectures: table.n_rows(),
        decisions: table.names().len(),
        best_test: table.best_test(),
        mean_test: table.mean_test(),
        strategy: args.strategy.text(),
        rewards: args.rewards,
        seed,
        percentile: percentile.mean,
        percentile_sd: known(percentile).map(|s| s.sd),
        percentile_interval: known(percentile).map(|s| possible([s.low, s.high], 100.0)),
        regret: regret.mean,
        regret_sd: known(regret).map(|s| s.sd),
        regret_interval: known(regret).map(|s| possible([s.low, s.high], f64::INFINITY)),
        repeats: &repeats,
    };
    context.out.print(&document, |out| print(out, &document))?;
    Ok(SUCCESS)
}

/// The part of an interval from 0 to `most`: Student's interval takes the values for unbounded.
fn possible(interval: [f64; 2], most: f64) -> [f64; 2] {
    interval.map(|bound| bound.clamp(0.0, most))
}

/// The rows that are wide arcs, whose nodes read only the inputs of their cell.
///
/// # Errors
/// A usage error if there are none.
fn wide_rows(table: &Table, path: &Path) -> Result<Vec<TableRow>> {
    let rows = table.wide_rows().unwrap_or_default();
    if rows.is_empty() {
        return Err(usage(format!(
            "--strategy wide: {} is not a table of ENAS arcs (8 columns per node, in the order of an arc's integers), or has no wide ones; use uniform, reinforce or evolution",
            visible(&path)
        )));
    }
    Ok(rows)
}

fn repeat(table: &Table, args: &Args, wide: &[TableRow], seed: Seed) -> Result<Repeat> {
    let mut strategy = args.strategy.strategy(table, wide, seed)?;
    let Ok(Outcome { best, scored }) =
        search(&TableSpace(table), &mut *strategy, &mut &*table, Budget::new(args.rewards), seed);
    let (row, valid) = best.context("a search has at least one reward")?;
    let distinct = scored.iter().map(|(row, _)| row).collect::<BTreeSet<_>>().len();
    let values = table.decisions(row).into_iter().map(Into::into);
    let arch = table.names().iter().cloned().zip(values).collect();
    let percentile = table.percentile(row);
    let regret = table.regret(row);
    Ok(Repeat { percentile, regret, valid, test: table.test(row), distinct, arch })
}

fn searches(n: usize) -> String {
    match n {
        1 => "1 search".to_owned(),
        n => format!("{} searches", grouped(n as u64)),
    }
}

fn print(out: &mut dyn Write, document: &Document) -> io::Result<()> {
    let rows = counted(document.architectures as u64, "architecture");
    let rewards = counted(document.rewards as u64, "reward");
    let decisions = counted(document.decisions as u64, "decision");
    writeln!(out, "{}: {rows} of {decisions}", visible(&document.table))?;
    writeln!(out, "{}: {} with {rewards} each", document.strategy, searches(document.repeats.len()))?;
    let interval = |interval: Option<[f64; 2]>, digits: usize| match interval {
        Some([low, high]) => format!("  [95 %: {low:.digits$} to {high:.digits$}]"),
        None => String::new(),
    };
    writeln!(out, "  percentile {:.2}{}", document.percentile, interval(document.percentile_interval, 2))?;
    writeln!(out, "  regret     {:.4}{}", document.regret, interval(document.regret_interval, 4))?;
    let meaning =
        "A random architecture has percentile 50, the best 100. Regret is the distance to the best.";
    writeln!(out, "{}", stdout_paragraph("", meaning))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_stay_within_what_is_possible() {
        assert_eq!(possible([94.47, 102.36], 100.0), [94.47, 100.0]);
        assert_eq!(possible([-0.54, 1.2], f64::INFINITY), [0.0, 1.2]);
    }
}
