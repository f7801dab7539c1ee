//! `enas config`: prints the effective settings, checks a file, lists the presets.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand, ValueEnum};
use enas_search::{ConfigBuilder, SMALL_FILE, SearchConfig, Settings, TrainConfig, presets, read_text};
use serde::Serialize;

use super::{Context, settings};
use crate::args;
use crate::failure::{OrUsage, SUCCESS};
use crate::output::visible;
use crate::terminal::stdout_paragraph;

/// Show, check and list settings
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  enas config presets
  enas config show --preset mnist --set run.epochs=20 > my.toml
  enas config check my.toml")]
pub(crate) enum Config {
    Show(ConfigShow),
    Check(ConfigCheck),
    /// List the presets
    Presets,
}

/// Print the effective settings after preset or file, --set and flags, as TOML
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  enas config show
  enas config show --for train --preset mnist --set run.epochs=20 > my.toml")]
pub(crate) struct ConfigShow {
    /// Which command the settings are for
    #[arg(long = "for", value_enum, value_name = "COMMAND", default_value_t = Job::Search)]
    pub(crate) job: Job,
    #[command(flatten)]
    pub(crate) settings: args::Settings,
}

/// Check a file of settings without running anything
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  enas config check my.toml
  enas config check my.toml --set child.filters=16")]
pub(crate) struct ConfigCheck {
    /// The TOML file
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Which command the settings are for [default: derived from the file]
    #[arg(long = "for", value_enum, value_name = "COMMAND")]
    pub(crate) job: Option<Job>,
    /// One setting on top of the file; repeatable
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
}

/// The command that settings are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Job {
    Search,
    Train,
}

impl Job {
    /// The name of the command.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Search => "search",
            Self::Train => "train",
        }
    }
}

/// Runs `enas config …`.
///
/// # Errors
/// A usage error for invalid settings.
pub(crate) fn run(context: &Context, command: &Config) -> Result<u8> {
    match command {
        Config::Show(args) => show(context, args),
        Config::Check(args) => check(context, args),
        Config::Presets => list(context),
    }?;
    Ok(SUCCESS)
}

fn show(context: &Context, args: &ConfigShow) -> Result<()> {
    match args.job {
        Job::Search => print(context, &settings::search(&args.settings, None, None)?),
        Job::Train => print(context, &settings::train(&args.settings, None, None)?),
    }
}

fn print(context: &Context, config: &impl Settings) -> Result<()> {
    let text = toml::to_string(config).context("settings that TOML cannot express")?;
    context.out.print(config, |out| out.write_all(text.as_bytes()))
}

fn check(context: &Context, args: &ConfigCheck) -> Result<()> {
    let layers = args.set.iter().fold(ConfigBuilder::file(&args.file), |layers, set| layers.set(set));
    let job = match args.job {
        Some(job) => job,
        None => job_of(&args.file)?,
    };
    match job {
        Job::Search => checked(context, args, job, &layers.load::<SearchConfig>().or_usage()?),
        Job::Train => checked(context, args, job, &layers.load::<TrainConfig>().or_usage()?),
    }
}

fn checked(context: &Context, args: &ConfigCheck, job: Job, config: &impl Settings) -> Result<()> {
    context
        .out
        .print(config, |out| writeln!(out, "{}: ok, settings for `enas {}`", visible(&args.file), job.name()))
}

/// The command that a file is for: only files for a search have these tables. The check reports files that do not
/// parse.
fn job_of(file: &std::path::Path) -> Result<Job> {
    let text =
        read_text(file, SMALL_FILE).with_context(|| format!("cannot read {}", visible(&file))).or_usage()?;
    let search_only = ["strategy", "controller", "reward", "select"];
    let table = text.parse::<toml::Table>().unwrap_or_default();
    let is_train = !table.is_empty() && !search_only.iter().any(|key| table.contains_key(*key));
    Ok(if is_train { Job::Train } else { Job::Search })
}

fn list(context: &Context) -> Result<()> {
    #[derive(Serialize)]
    struct Listed {
        name: &'static str,
        about: &'static str,
    }
    let listed: Vec<Listed> = presets().iter().map(|p| Listed { name: p.name, about: p.about }).collect();
    let width = listed.iter().map(|p| p.name.len()).max().unwrap_or(0);
    let row = |p: &Listed| stdout_paragraph(&format!("{:width$}  ", p.name), p.about);
    context.out.print(&listed, |out| listed.iter().try_for_each(|p| writeln!(out, "{}", row(p))))
}
