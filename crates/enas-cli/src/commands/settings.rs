//! Builds a checked configuration from flags.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use enas_search::{ConfigBuilder, RunConfig, SearchConfig, Settings, TrainConfig};

use crate::args::{self, Extent};
use crate::failure::{OrUsage, usage};
use crate::output::visible;

/// The preset for the built-in digits.
const QUICK: &str = "quick";
/// The preset for a user's own images.
const FOLDER: &str = "folder";

/// The settings of a search: preset or file, then `--set`, then the other flags.
///
/// # Errors
/// A usage error that names the source, the key and what is allowed.
pub(crate) fn search(
    settings: &args::Settings,
    data: Option<&Path>,
    extent: Option<&Extent>,
) -> Result<SearchConfig> {
    let data = meant(data);
    let data = data.as_deref();
    let mut config: SearchConfig = layers(settings, default_preset(data, settings)).load().or_usage()?;
    apply(&mut config.run, &mut config.data, settings, data, extent)?;
    Ok(config)
}

/// The settings of a training; see [`search`].
///
/// # Errors
/// A usage error that names the source, the key and what is allowed.
pub(crate) fn train(
    settings: &args::Settings,
    data: Option<&Path>,
    extent: Option<&Extent>,
) -> Result<TrainConfig> {
    train_on(settings, meant(data).as_deref(), extent)
}

/// Resolves the name of a data set as a user types it. The data of a resumed run are resolved already.
fn meant(data: Option<&Path>) -> Option<PathBuf> {
    data.map(enas_data::resolve_path)
}

fn train_on(settings: &args::Settings, data: Option<&Path>, extent: Option<&Extent>) -> Result<TrainConfig> {
    let mut config: TrainConfig = layers(settings, default_preset(data, settings)).load().or_usage()?;
    apply(&mut config.run, &mut config.data, settings, data, extent)?;
    Ok(config)
}

/// The settings of a training after a search: it uses the search's images and splits unless the flags say otherwise.
///
/// # Errors
/// A usage error that names the source, the key and what is allowed.
pub(crate) fn train_after(
    searched: &SearchConfig,
    settings: &args::Settings,
    data: Option<&Path>,
    extent: Option<&Extent>,
) -> Result<TrainConfig> {
    let data = meant(data).unwrap_or_else(|| searched.data.path.clone());
    let inherited = inherited(searched, settings)?;
    let settings = args::Settings {
        set: inherited.into_iter().chain(settings.set.iter().cloned()).collect(),
        seed: settings.seed.or(Some(searched.run.seed)),
        ..settings.clone()
    };
    train_on(&settings, Some(&data), extent)
}

/// Assignments that a training inherits from its search. There are none if a preset or a file is named.
///
/// # Errors
/// None in practice: settings are plain data.
pub(crate) fn inherited(searched: &SearchConfig, settings: &args::Settings) -> Result<Vec<String>> {
    let named = settings.preset.is_some() || settings.config.is_some();
    if named { Ok(Vec::new()) } else { how_images_are_read(&searched.data) }
}

/// The settings of a resumed run: its own with `--set` on top, or those of a preset or file instead.
///
/// The caller checks whether the run accepts them.
///
/// # Errors
/// A usage error that names the source, the key and what is allowed.
pub(crate) fn beside<C: Settings>(
    own: ConfigBuilder,
    settings: &args::Settings,
    data: Option<&Path>,
    extent: Option<&Extent>,
) -> Result<C> {
    let mut config: C = over(base(settings).unwrap_or(own), settings).load().or_usage()?;
    let (of_run, images) = config.parts_mut();
    apply(of_run, images, settings, meant(data).as_deref(), extent)?;
    Ok(config)
}

/// Assignments that repeat how `data` reads images. Each command has its own settings for augmentation.
fn how_images_are_read(data: &enas_data::Config) -> Result<Vec<String>> {
    let table = toml::Table::try_from(data).context("settings that TOML cannot express")?;
    let inherited = table.iter().filter(|(key, value)| *key != "path" && !value.is_table());
    Ok(inherited.map(|(key, value)| format!("data.{key}={value}")).collect())
}

/// The preset or file with the `--set` assignments on top.
fn layers(settings: &args::Settings, default_preset: &str) -> ConfigBuilder {
    over(base(settings).unwrap_or_else(|| ConfigBuilder::preset(default_preset)), settings)
}

/// The named preset or file; `None` if there is none.
fn base(settings: &args::Settings) -> Option<ConfigBuilder> {
    match (&settings.config, &settings.preset) {
        (Some(file), _) => Some(ConfigBuilder::file(file)),
        (None, Some(name)) => Some(ConfigBuilder::preset(name)),
        (None, None) => None,
    }
}

/// `base` with the `--set` assignments on top.
fn over(base: ConfigBuilder, settings: &args::Settings) -> ConfigBuilder {
    settings.set.iter().fold(base, |layers, assignment| layers.set(assignment))
}

/// The preset that is used if none is named. It depends on the images, from DATA or `data.path`.
fn default_preset(data: Option<&Path>, settings: &args::Settings) -> &'static str {
    let mut set = settings.set.iter().filter_map(|assignment| assignment.split_once('='));
    let set = set.rfind(|(key, _)| key.trim() == "data.path");
    let set = set.map(|(_, path)| enas_data::resolve_path(Path::new(path.trim().trim_matches(['"', '\'']))));
    let digits = data.or(set.as_deref()).is_none_or(|path| path.as_os_str() == enas_data::DIGITS);
    if digits { QUICK } else { FOLDER }
}

/// Lets `--memory` override the settings.
pub(crate) fn limit_memory(run: &mut RunConfig, args: args::Memory) {
    run.memory = args.memory.unwrap_or(run.memory);
}

fn apply(
    run: &mut RunConfig,
    images: &mut enas_data::Config,
    settings: &args::Settings,
    data: Option<&Path>,
    extent: Option<&Extent>,
) -> Result<()> {
    run.seed = settings.seed.unwrap_or(run.seed);
    if let Some(path) = data {
        if path.to_str().is_none() {
            // A run stores its settings as text and must find its images again.
            return Err(usage(format!(
                "--data {}: this path is not valid UTF-8; rename the folder, or go there and give the rest of the path",
                visible(&path)
            )));
        }
        images.path = path.to_owned();
    }
    if settings.set.iter().any(|assignment| assignment.starts_with("data.path=")) {
        images.path = enas_data::resolve_path(&images.path);
    }
    if let Some(extent) = extent {
        run.epochs = extent.epochs.unwrap_or(run.epochs);
        run.time = extent.time.unwrap_or(run.time);
    }
    Ok(())
}
