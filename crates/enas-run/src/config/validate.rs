//! The allowed values of every setting.

use enas_arc::SpaceKind;
use enas_child::MacroConfig;
use enas_child::schedule::Schedule;

use super::class_weights::ClassWeights;
use super::kind::Kind;
use super::presets::{DEFAULT_SEARCH, DEFAULT_TRAIN, Preset};
use super::run::{MOST, RunConfig};
use super::search::SearchConfig;
use super::settings::{InvalidSetting, Settings};
use super::strategy::{EvolutionConfig, StrategyConfig};
use super::train::{Keep, TrainConfig};
use super::tta::Tta;

impl Settings for SearchConfig {
    const KIND: Kind = Kind::Search;

    fn defaults() -> &'static str {
        DEFAULT_SEARCH
    }

    fn of_preset(preset: &Preset) -> &'static str {
        preset.search
    }

    fn run(&self) -> &RunConfig {
        &self.run
    }

    fn data(&self) -> &enas_data::Config {
        &self.data
    }

    fn parts_mut(&mut self) -> (&mut RunConfig, &mut enas_data::Config) {
        (&mut self.run, &mut self.data)
    }

    fn validate(&self) -> Result<(), InvalidSetting> {
        self.run.validate()?;
        trainings_alone(&self.run)?;
        data(&self.data)?;
        not_balanced_twice(&self.run, &self.data)?;
        child(&self.child)?;
        schedule(&self.schedule)?;
        controller(&self.controller)?;
        within("controller.steps", self.controller.steps as u64, 1, MOST)?;
        strategy(&self.strategy)?;
        at_least("reward.batch_size", self.reward.batch_size as u64, 1)?;
        within("select.samples", self.select.samples as u64, 1, MOST_ARCS)?;
        within("select.random", self.select.random as u64, 0, MOST_ARCS)?;
        macro_net(self.macro_net.as_ref())?;
        space(self)?;
        phases(self)
    }
}

/// Refuses settings that only searches for cells support.
fn space(config: &SearchConfig) -> Result<(), InvalidSetting> {
    if config.space == SpaceKind::Micro {
        return Ok(());
    }
    let wide = matches!(config.strategy, StrategyConfig::Wide {});
    let refused = [
        ("finals.steps", config.finals.are_wanted(), "finals train cells only; set finals.steps=0"),
        ("limits", !config.limits.is_empty(), "only finals apply limits, and finals train cells only"),
        ("strategy.kind", wide, "\"wide\" is a kind of cells; choose reinforce, evolution or uniform"),
    ];
    match refused.into_iter().find(|(_, is_set, _)| *is_set) {
        Some((key, _, why)) => {
            Err(InvalidSetting { key: key.into(), problem: format!("{key} with space = \"macro\": {why}") })
        }
        None => Ok(()),
    }
}

/// Validates the sizes of evolution.
fn strategy(config: &StrategyConfig) -> Result<(), InvalidSetting> {
    let StrategyConfig::Evolution(EvolutionConfig { population, sample }) = *config else { return Ok(()) };
    within("strategy.population", population as u64, 1, MOST_ARCS)?;
    within("strategy.sample", sample as u64, 1, MOST_ARCS)
}

/// Validates warm-up, finals and limits.
fn phases(config: &SearchConfig) -> Result<(), InvalidSetting> {
    let SearchConfig { warmup, finals, limits, .. } = config;
    within("warmup.updates", warmup.updates, 0, MOST)?;
    share("warmup.fair", warmup.fair)?;
    share("warmup.collapse", warmup.collapse)?;
    let counts = [
        ("finals.policy", finals.policy),
        ("finals.wide", finals.wide),
        ("finals.random", finals.random),
        ("finals.mutants", finals.mutants),
        ("finals.controls", finals.controls),
    ];
    counts.into_iter().try_for_each(|(key, n)| within(key, n as u64, 0, MOST_ARCS))?;
    within("finals.steps", finals.steps, 0, MOST)?;
    let sizes = [("finals.filters", finals.filters), ("finals.layers", finals.layers)];
    sizes.into_iter().try_for_each(|(key, n)| n.map_or(Ok(()), |n| within(key, n as u64, 1, MOST)))?;
    let needs_finals = |key: &str| InvalidSetting {
        key: key.into(),
        problem: format!(
            "{key} needs finals: set finals.steps, and finals.wide or finals.random, to 1 or more"
        ),
    };
    match limits.latency_ms {
        Some(ms) if !(ms > 0.0 && ms.is_finite()) => {
            let problem = format!("limits.latency_ms = {ms} is out of range; allowed: above 0");
            Err(InvalidSetting { key: "limits.latency_ms".into(), problem })
        }
        _ if !limits.is_empty() && !finals.are_wanted() => Err(needs_finals("limits")),
        _ => Ok(()),
    }
}

impl Settings for TrainConfig {
    const KIND: Kind = Kind::Train;

    fn defaults() -> &'static str {
        DEFAULT_TRAIN
    }

    fn of_preset(preset: &Preset) -> &'static str {
        preset.train
    }

    fn run(&self) -> &RunConfig {
        &self.run
    }

    fn data(&self) -> &enas_data::Config {
        &self.data
    }

    fn parts_mut(&mut self) -> (&mut RunConfig, &mut enas_data::Config) {
        (&mut self.run, &mut self.data)
    }

    fn validate(&self) -> Result<(), InvalidSetting> {
        self.run.validate()?;
        data(&self.data)?;
        not_balanced_twice(&self.run, &self.data)?;
        child(&self.child)?;
        macro_net(self.macro_net.as_ref())?;
        refit(self)?;
        schedule(&self.schedule)
    }
}

/// Refuses values out of range and combinations that the refit does not support.
fn refit(training: &TrainConfig) -> Result<(), InvalidSetting> {
    let refit = &training.refit;
    let wrong = |key: &str, problem: &str| {
        let key = format!("refit.{key}");
        Err(InvalidSetting { problem: format!("{key} {problem}"), key })
    };
    if !(refit.share > 0.0 && refit.share < 1.0) {
        return wrong("share", &format!("= {}: between 0 and 1, such as 0.5", refit.share));
    }
    if !(refit.lr > 0.0 && refit.lr <= 1.0) {
        return wrong("lr", &format!("= {}: above 0 and at most 1, such as 0.5", refit.lr));
    }
    if refit.is_wanted() && training.keep != Keep::Last {
        return wrong(
            "images",
            "goes on from the last epoch: set keep = \"last\", or refit.images = \"none\"",
        );
    }
    if refit.is_wanted() && training.data.augment.copies() > 1 {
        return wrong(
            "images",
            "needs images that are augmented in each epoch: set data.augment.when = \"each-epoch\", or refit.images = \
             \"none\"",
        );
    }
    Ok(())
}

impl RunConfig {
    fn validate(&self) -> Result<(), InvalidSetting> {
        within("run.epochs", self.epochs, 1, MOST)?;
        within("run.passes", self.passes, 1, MOST)?;
        at_least("run.batch_size", self.batch_size as u64, 1)?;
        at_least("run.eval_batch", self.eval_batch as u64, 1)?;
        let key = "run.class_weights";
        self.class_weights
            .check()
            .map_err(|problem| InvalidSetting { key: key.into(), problem: format!("{key}: {problem}") })?;
        at_least("run.log_every", self.log_every, 1)?;
        share("run.label_smoothing", self.label_smoothing)?;
        share("run.ema_decay", self.ema_decay)?;
        within("run.bn_reestimate", self.bn_reestimate, 0, MOST)?;
        within("run.patience", self.patience, 0, MOST)?;
        if self.ema_decay > 0.0 && self.bn_reestimate == 0 {
            let problem = "run.ema_decay needs run.bn_reestimate = 1 or more: averaged weights need statistics of their \
                           own";
            return Err(InvalidSetting { key: "run.ema_decay".into(), problem: problem.into() });
        }
        Ok(())
    }
}

/// Refuses settings of trainings that a search would ignore.
fn trainings_alone(run: &RunConfig) -> Result<(), InvalidSetting> {
    let settings = [
        ("run.ema_decay", run.ema_decay.to_string(), run.ema_decay != 0.0),
        ("run.bn_reestimate", run.bn_reestimate.to_string(), run.bn_reestimate != 0),
        ("run.patience", run.patience.to_string(), run.patience != 0),
        ("run.tta", "\"flip\"".to_owned(), run.tta != Tta::None),
    ];
    match settings.into_iter().find(|(_, _, is_set)| *is_set) {
        Some((key, value, _)) => {
            let problem = format!("{key} = {value} is for trainings; leave it off for a search");
            Err(InvalidSetting { key: key.into(), problem })
        }
        None => Ok(()),
    }
}

/// Requires a number in [0, 1).
fn share(key: &str, value: f32) -> Result<(), InvalidSetting> {
    if (0.0..1.0).contains(&value) {
        return Ok(());
    }
    let problem = format!("{key} = {value} is out of range; allowed: 0 or more and below 1");
    Err(InvalidSetting { key: key.to_owned(), problem })
}

/// Refuses balancing by class weights and by sampling at the same time.
fn not_balanced_twice(run: &RunConfig, data: &enas_data::Config) -> Result<(), InvalidSetting> {
    if run.class_weights != ClassWeights::Balanced || data.sampling != enas_data::Sampling::Balanced {
        return Ok(());
    }
    let problem = "run.class_weights = \"balanced\" together with data.sampling = \"balanced\" would make rare classes \
                   count more than the others; choose one of them";
    Err(InvalidSetting { key: "run.class_weights".into(), problem: problem.into() })
}

/// Maximum number of arcs that are scored at the end of a search.
const MOST_ARCS: u64 = 1_000_000;

fn within(key: &str, value: u64, low: u64, high: u64) -> Result<(), InvalidSetting> {
    at_least(key, value, low)?;
    if value <= high {
        return Ok(());
    }
    let problem = format!("{key} = {value} is out of range; allowed: {high} or less");
    Err(InvalidSetting { key: key.to_owned(), problem })
}

fn at_least(key: &str, value: u64, low: u64) -> Result<(), InvalidSetting> {
    if value >= low {
        return Ok(());
    }
    let problem = format!("{key} = {value} is out of range; allowed: {low} or more");
    Err(InvalidSetting { key: key.to_owned(), problem })
}

fn data(config: &enas_data::Config) -> Result<(), InvalidSetting> {
    config.check().map_err(|e| {
        let key = match &e {
            enas_data::Error::Config { key, .. } => format!("data.{key}"),
            _ => "data".to_owned(),
        };
        InvalidSetting { key, problem: e.to_string() }
    })
}

fn controller(config: &enas_controller::Config) -> Result<(), InvalidSetting> {
    config.validate().map_err(|e| {
        let key = match &e {
            enas_controller::Error::Config { key, .. } => format!("controller.{key}"),
            _ => "controller".to_owned(),
        };
        InvalidSetting { key, problem: e.to_string() }
    })
}

fn child(config: &enas_child::Config) -> Result<(), InvalidSetting> {
    config.validate().map_err(of_child)
}

fn macro_net(config: Option<&MacroConfig>) -> Result<(), InvalidSetting> {
    config.map_or(Ok(()), |config| config.validate().map_err(of_child))
}

fn schedule(schedule: &Schedule) -> Result<(), InvalidSetting> {
    schedule.validate().map_err(of_child)
}

fn of_child(error: enas_child::Error) -> InvalidSetting {
    let key = match &error {
        enas_child::Error::Config { key, .. } => (*key).to_owned(),
        _ => "child".to_owned(),
    };
    InvalidSetting { key, problem: error.to_string() }
}
