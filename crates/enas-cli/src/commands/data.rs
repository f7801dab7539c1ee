//! `enas data`: downloads public data sets and checks data sets before a training.

use std::io::{self, Write};
use std::path::Path;

use anyhow::Result;
use clap::{Args, Subcommand};
use enas_data::Part;
use enas_data::check::{self, Case, ClassCount, Finding, Report, Severity, Sizes};

use enas_search::Kind;

use super::choices::{self, Asked};
use super::fetch::{self, Fetch};
use super::{Context, settings, shell_word, use_threads};
use crate::args::{Images, Settings, whole};
use crate::failure::{FAILED, SUCCESS};
use crate::output::{counted, grouped, sentence, visible};
use crate::terminal::stdout_paragraph;

/// Download public data sets, and check images before a training
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  enas data check photos
  enas data check photos.zip --json
  enas data fetch fashion-mnist")]
pub(crate) enum Data {
    Check(Check),
    Fetch(Fetch),
}

/// Report everything noteworthy about a data set, and what the program will do about it
///
/// Reads every image: broken and odd files, duplicates and near duplicates within and across splits, wrong and missing
/// labels, classes of very different sizes, sizes and proportions. Changes nothing. The settings are those of a
/// training: a run with the same seed makes the same splits where the folders define none.
///
/// Exit codes: 0 a run can start, 1 an error stops it, 2 bad usage.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  enas data check photos                       photos/<class>/*, or photos/{train,valid,test}/<class>/*
  enas data check photos.zip --examples 10
  enas data check photos --set data.image_size=32 --set data.resize=crop
  enas data check photos --json | jq '.findings[] | select(.kind == \"leakage\")'")]
pub(crate) struct Check {
    #[command(flatten)]
    images: Images,
    /// Cases to show of each finding; JSON has all of them
    #[arg(long, value_name = "N", default_value = "3", value_parser = whole(0, 1_000_000))]
    examples: usize,
    /// Threads to read with [default: all cores]
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = whole(1, 1024))]
    threads: Option<usize>,
    #[command(flatten)]
    settings: Settings,
}

/// Runs `enas data …`.
///
/// # Errors
/// A usage error for invalid settings; an error if there are no data.
pub(crate) fn run(context: &Context, command: &Data) -> Result<u8> {
    match command {
        Data::Check(args) => check(context, args),
        Data::Fetch(args) => fetch::run(context, args),
    }
}

fn check(context: &Context, args: &Check) -> Result<u8> {
    use_threads(args.threads)?;
    let config = settings::train(&args.settings, args.images.path(), None)?;
    let checking = context.console.activity("checking the images");
    let asked = Asked::of(&args.settings);
    // A run chooses open settings from the images, such as its shares of validation and test images.
    let as_a_run = |first: &Report| {
        let choices = asked.is_open(&config.data).then(|| asked.choose(first))?;
        let settings = choices::below(&choices, Kind::Train, &args.settings);
        settings::train(&settings, args.images.path(), None).ok().map(|config| config.data)
    };
    let report = check::check_revised(&config.data, config.run.seed(), as_a_run)?;
    drop(checking);
    context.out.print(&report, |out| write(&report, args.examples, out))?;
    Ok(if report.can_start { SUCCESS } else { FAILED })
}

/// A report in a few lines: errors and warnings, the verdict, and the command that shows all cases.
pub(crate) fn in_short(report: &Report) -> Vec<String> {
    let serious = report.findings.iter().filter(|finding| finding.severity != Severity::Note);
    let line = |Finding { severity, summary, consequence, .. }: &Finding| {
        format!("{}: {}. {}", name(*severity), visible(summary), sentence(consequence))
    };
    let cases = if report.findings.is_empty() {
        String::new()
    } else {
        format!("; the cases: enas data check {}", shell_word(Path::new(&report.path)))
    };
    serious.map(line).chain([format!("{}{cases}", verdict(report))]).collect()
}

fn write(report: &Report, examples: usize, out: &mut dyn Write) -> io::Result<()> {
    let Report { path, files, usable, classes, .. } = report;
    if !classes.is_empty() {
        let images = counted(*files as u64, "image");
        let classes_found = counted(classes.len() as u64, "class");
        let all = format!("{}: {images}, {} usable, {classes_found}", visible(path), grouped(*usable as u64));
        writeln!(out, "{}\n", stdout_paragraph("", &all))?;
        write_classes(classes, &report.drawn, out)?;
    }
    if let Some(sizes) = &report.sizes {
        write_sizes(sizes, out)?;
    }
    for finding in &report.findings {
        write_finding(finding, examples, out)?;
    }
    writeln!(out, "{}", stdout_paragraph("", &verdict(report)))
}

/// Maximum number of classes shown. Of more classes, the first and the last ones are shown.
const SHOWN: usize = 24;

fn write_classes(classes: &[ClassCount], drawn: &[Part], out: &mut dyn Write) -> io::Result<()> {
    let names = classes.iter().map(|c| visible(&c.class).chars().count());
    let width = names.max().unwrap_or(0).max("class".len());
    writeln!(out, "{:width$}  {:>7}  {:>7}  {:>7}", "class", "train", "valid", "test")?;
    for (i, ClassCount { class, train, valid, test }) in classes.iter().enumerate() {
        if classes.len() <= SHOWN || i < SHOWN / 2 || i >= classes.len() - SHOWN / 2 {
            let class = visible(class);
            writeln!(out, "{class:width$}  {train:>7}  {valid:>7}  {test:>7}")?;
        } else if i == SHOWN / 2 {
            writeln!(out, "… {} more …", classes.len() - SHOWN)?;
        }
    }
    if !drawn.is_empty() {
        let parts: Vec<&str> = drawn.iter().map(|part| part.name()).collect();
        let made = format!("drawn at random from the seed: {}", parts.join(", "));
        writeln!(out, "{}", stdout_paragraph("", &made))?;
    }
    writeln!(out)
}

fn write_sizes(sizes: &Sizes, out: &mut dyn Write) -> io::Result<()> {
    let [w0, w, w1] = sizes.widths;
    let [h0, h, h1] = sizes.heights;
    let range = if sizes.distinct > 1 { format!(", {w0} x {h0} to {w1} x {h1}") } else { String::new() };
    let median = if sizes.distinct > 1 { " (median)" } else { "" };
    let sizes = format!("images are {w} x {h} pixels{median}{range}");
    writeln!(out, "{}\n", stdout_paragraph("", &sizes))
}

fn write_finding(finding: &Finding, examples: usize, out: &mut dyn Write) -> io::Result<()> {
    let Finding { severity, kind, summary, consequence, cases } = finding;
    let found = format!("{}  [{}]", visible(summary), kind.name());
    writeln!(out, "{}", stdout_paragraph(&format!("{:7}  ", name(*severity)), &found))?;
    for Case { paths, detail } in cases.iter().take(examples) {
        let paths = equal_paths(paths, examples);
        let between = if paths.is_empty() || detail.is_empty() { "" } else { ": " };
        let case = format!("{}{between}{}", visible(&paths), visible(detail));
        writeln!(out, "{}", stdout_paragraph("           ", &case))?;
    }
    if cases.len() > examples {
        writeln!(out, "           … {} more", cases.len() - examples)?;
    }
    writeln!(out, "{}\n", stdout_paragraph("         → ", consequence))
}

/// The paths of a case that belong together: as many as the examples, but at least two.
fn equal_paths(paths: &[String], examples: usize) -> String {
    let shown = examples.max(2).min(paths.len());
    let more =
        if shown < paths.len() { format!(" = … {} more", paths.len() - shown) } else { String::new() };
    format!("{}{more}", paths[..shown].join(" = "))
}

fn name(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    }
}

fn verdict(report: &Report) -> String {
    let count = |severity, one: &str, many: &str| {
        let n = report.findings.iter().filter(|finding| finding.severity == severity).count();
        format!("{n} {}", if n == 1 { one } else { many })
    };
    let errors = count(Severity::Error, "error", "errors");
    let warnings = count(Severity::Warning, "warning", "warnings");
    let notes = count(Severity::Note, "note", "notes");
    match report.can_start {
        true => format!("verdict: a run can start ({warnings}, {notes})"),
        false => format!("verdict: no run can start ({errors}, {warnings}, {notes})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_of_many_equal_pictures_names_a_few() {
        let paths: Vec<String> = (0..42).map(|i| format!("a/{i}.png")).collect();
        assert_eq!(equal_paths(&paths, 3), "a/0.png = a/1.png = a/2.png = … 39 more");
        assert_eq!(equal_paths(&paths[..2], 1), "a/0.png = a/1.png");
        assert_eq!(equal_paths(&paths, 100).matches(" = ").count(), 41);
        assert_eq!(equal_paths(&[], 3), "");
    }
}
