//! The facts that a report states about a run, read from its files. Any part may be missing; a note gives the reason.

use std::path::Path;
use std::time::Instant;

use enas_arc::Arch;
use enas_data::{Dataset, SplitFile};
use enas_rng::Seed;
use enas_run::{AutoRunReader, Kind, Manifest, Model, RunReader};
use serde_json::Value;

use crate::architecture::{Architecture, CellDrawings, Network, built};
use crate::auto::Automatic;
use crate::curves::{self, Figure};
use crate::finals::{Finals, finals};
use crate::log::Log;
use crate::options::ReportOptions;
use crate::predictions::{Predicted, predicted};
use crate::repeat::{self, Related};
use crate::search_choice::{self, MetricChoice};
use crate::settings::RunSettings;
use crate::text::{counted, percent};
use crate::thumbnails::{self, Views};

/// A note on the time per picture, if it was not measured.
const NOT_TIMED: &str =
    "The time per image was not measured, as time was short: enas report writes this page again with it.";
/// The name of the file of the measured network.
const MEASURED: &str = "measured.safetensors";

/// What is known about a run.
#[derive(Debug)]
pub(crate) struct RunSummary {
    pub(crate) name: String,
    pub(crate) manifest: Manifest,
    pub(crate) settings: RunSettings,
    /// The names of the images in each split, and the classes.
    pub(crate) split: Option<SplitFile>,
    /// The event `result`, with which the log of a finished run ends.
    pub(crate) result: Option<Value>,
    pub(crate) last_epoch: Option<Value>,
    pub(crate) seconds: Option<f64>,
    pub(crate) curves: Vec<Figure>,
    pub(crate) choice: Option<MetricChoice>,
    pub(crate) finals: Option<Finals>,
    pub(crate) architecture: Option<Architecture>,
    pub(crate) predicted: Option<Predicted>,
    /// Training images with their augmented variants.
    pub(crate) views: Vec<Views>,
    pub(crate) related: Vec<Related>,
    pub(crate) command: String,
    /// The automatic run that this run is a phase of, if the report covers all of it.
    pub(crate) automatic: Option<Automatic>,
    /// What is missing, and why; and other remarks.
    pub(crate) notes: Vec<String>,
}

impl RunSummary {
    /// Reads the run, predicts its validation and test images, and measures the speed of its network.
    pub(crate) fn gather(record: &RunReader, options: &ReportOptions<'_>, out: &Path) -> Self {
        let began = Instant::now();
        let manifest = record.manifest().clone();
        let settings = RunSettings::read(&record.config_path());
        let log = Log::read(&record.metrics_path());
        let mut notes: Vec<String> = log.of("collapse").filter_map(collapse).collect();
        let split = noted(&mut notes, "The split of the images cannot be read", record.split());
        let arch = record.best_arch().ok().or_else(|| manifest.arc.clone()).or_else(|| likeliest(&log));
        let model = (manifest.kind == Kind::Train)
            .then(|| noted(&mut notes, "The model cannot be read", Model::load(&record.measured_path())))
            .flatten();
        notes.extend(refit_note(&log));
        let architecture = arch.map(|arch| {
            let path = record.model_path();
            let network = match &model {
                Some(model) => Network::of_model(model, &path, options.left),
                None => {
                    let built = built(&settings, &arch, split.as_ref());
                    noted(&mut notes, "The network cannot be built again", built)
                        .and_then(|built| Network::of_built(&built, &path, options.left))
                }
            };
            Architecture { cells: arch.micro().map(CellDrawings::new), network, arch }
        });
        let network = architecture.as_ref().and_then(|architecture| architecture.network.as_ref());
        notes.extend(network.filter(|network| network.hurried).map(|_| NOT_TIMED.to_owned()));
        let left = options.left.map(|left| left - began.elapsed().as_secs_f64());
        let options = &ReportOptions { left, ..*options };
        let (predicted, views) = match model {
            Some(model) => looked_at(record, options, &settings, model, &mut notes),
            None => (None, Vec::new()),
        };
        let nodes = architecture.as_ref().and_then(|a| Some(a.arch.micro()?.n_nodes()));
        Self {
            name: record.dir().file_name().unwrap_or(record.dir().as_os_str()).to_string_lossy().into_owned(),
            curves: curves::curves(&log, steps_per_epoch(&log, &settings, split.as_ref()), nodes),
            choice: search_choice::choice(&log),
            finals: finals(&log),
            result: log.last("result").cloned(),
            last_epoch: log.last("epoch").cloned(),
            seconds: log.seconds(),
            related: repeat::related(record, out),
            command: repeat::command(record, &settings),
            automatic: None,
            manifest,
            settings,
            split,
            architecture,
            predicted,
            views,
            notes,
        }
    }

    /// The same facts as part of an automatic run, which has taken `seconds` so far.
    pub(crate) fn of(self, auto: &AutoRunReader, seconds: Option<f64>) -> Self {
        let mut automatic = Automatic::gather(auto, seconds);
        let name = auto.dir().file_name().unwrap_or(auto.dir().as_os_str()).to_string_lossy().into_owned();
        let command = automatic.command.clone();
        let choice = automatic.choice.take().or(self.choice);
        let finals = automatic.finals.take().or(self.finals);
        Self { name, command, choice, finals, automatic: Some(automatic), ..self }
    }

    /// Accuracy on the test split, 0 to 1, of the network whose predictions the page shows: after a refit, of the one
    /// before it.
    pub(crate) fn test_accuracy(&self) -> Option<f64> {
        let before =
            self.result.as_ref().and_then(|result| result["refit"]["measured_test_accuracy"].as_f64());
        before.or_else(|| self.number("test_accuracy"))
    }

    /// A number of the result, or of the last epoch if there is no result yet.
    pub(crate) fn number(&self, key: &str) -> Option<f64> {
        let of = |event: &Option<Value>| event.as_ref()?[key].as_f64();
        of(&self.result).or_else(|| of(&self.last_epoch))
    }
}

/// A note on a collapsed policy that was reset, from the event of the search.
fn collapse(event: &Value) -> Option<String> {
    let epoch = event["epoch"].as_u64()?;
    let what = event["what"].as_str()?;
    Some(format!("Epoch {epoch}: {what}. The strategy restarted after an epoch of uniform sampling."))
}

/// A note on which network the page describes, if training continued (refit) after the measurement.
fn refit_note(log: &Log) -> Option<String> {
    let result = log.last("result")?;
    let refit = result.get("refit")?;
    let fitted = refit["fitted"].as_u64()?;
    let epochs = refit["epochs"].as_u64()?;
    let more = counted(epochs, "more epoch", "more epochs");
    let delivered = match (refit["images"].as_str(), result["test_accuracy"].as_f64()) {
        (Some("validation"), Some(test)) => {
            format!(" The network afterwards recognises {} of the test images.", percent(test))
        }
        _ => String::new(),
    };
    Some(format!(
        "Once it was measured, the network learned for {more} from {} in all. Accuracies, confusions and mistakes on \
         this page are those of the network before.{delivered}",
        counted(fitted, "image", "images")
    ))
}

/// The value of a result; an error becomes a note.
fn noted<T, E: std::fmt::Display>(notes: &mut Vec<String>, what: &str, result: Result<T, E>) -> Option<T> {
    result.map_err(|e| notes.push(format!("{what}: {e}."))).ok()
}

/// The most probable arc of the policy in the last epoch, for a search that has not selected one yet.
fn likeliest(log: &Log) -> Option<Arch> {
    log.last("epoch")?.pointer("/policy/greedy")?.as_str()?.parse().ok()
}

/// The predictions of the model, and training images with their augmented variants.
fn looked_at(
    record: &RunReader,
    options: &ReportOptions<'_>,
    settings: &RunSettings,
    mut model: Model,
    notes: &mut Vec<String>,
) -> (Option<Predicted>, Vec<Views>) {
    let loaded;
    let data = match options.data {
        Some(data) => data,
        None => match load(record, settings) {
            Ok(data) => {
                loaded = data;
                &loaded
            }
            Err(e) => {
                notes.push(format!(
                    "The images of the run cannot be loaded, so classes, confusions, calibration, mistakes and \
                     varied images are left out: {e}."
                ));
                return (None, Vec::new());
            }
        },
    };
    if model.refit().is_some() {
        notes.push(format!(
            "The network that was measured ({MEASURED}) is missing. The one beside it learned from validation or test \
             images afterwards, so its predictions would say nothing: classes, confusions, calibration and mistakes \
             are left out."
        ));
        let views = noted(notes, "The images of the run cannot be read any more", thumbnails::views(data));
        return (None, views.unwrap_or_default());
    }
    let placed = options.place.map_or(Ok(()), |place| place(&mut model));
    let result = placed.and_then(|()| predicted(&model, data, options.left));
    let found = noted(notes, "The model cannot predict the images of the run", result);
    let views = noted(notes, "The images of the run cannot be read any more", thumbnails::views(data));
    (found, views.unwrap_or_default())
}

fn load(record: &RunReader, settings: &RunSettings) -> Result<Dataset, String> {
    let config: enas_data::Config = settings.section("data")?;
    let seed = Seed::new(settings.number("run.seed").unwrap_or(0));
    record.load_data(&config, seed, None).map_err(|e| e.to_string())
}

/// Training steps per epoch: as planned, but at least the highest number in the log.
fn steps_per_epoch(log: &Log, settings: &RunSettings, split: Option<&SplitFile>) -> u64 {
    planned_steps(settings, split.map_or(0, |split| split.train.len())).max(log.steps("step"))
}

/// Training steps per epoch over `images` training images, as the settings say; 0 if they do not.
pub fn planned_steps(settings: &RunSettings, images: usize) -> u64 {
    let copies = match settings.get("data.augment.when").as_deref() {
        Some("once") => settings.number("data.augment.n_aug").unwrap_or(1),
        _ => 1,
    };
    let images = images as u64 * copies * settings.number("run.passes").unwrap_or(1);
    settings.number("run.batch_size").map_or(0, |batch| images / batch.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collapse_is_told_in_the_words_of_the_search() {
        let event =
            serde_json::json!({"kind": "collapse", "epoch": 3, "what": "the policy chose max-pool-3x3 only"});
        let told = collapse(&event).unwrap();
        assert!(told.starts_with("Epoch 3: the policy chose max-pool-3x3 only. "), "{told}");
        assert_eq!(collapse(&serde_json::json!({"kind": "collapse"})), None);
    }
}
