//! The parts of a report that only an automatic run has: checks of the images, choices, plan and phases.

use enas_data::check::Severity;
use enas_run::{AutoPhase, AutoPlan, AutoRunReader, CheckedFinding, Choice, Kind, RunReader, SearchWhen};
use serde_json::Value;

use crate::curves::{self, Figure};
use crate::finals::{Finals, finals};
use crate::log::Log;
use crate::search_choice;
use crate::text::{counted, duration, grouped, percent};

/// What is known about an automatic run in addition to its final training.
#[derive(Clone, Debug)]
pub(crate) struct Automatic {
    /// Wall time so far, in seconds.
    pub(crate) seconds: f64,
    /// The time limit, in seconds.
    pub(crate) limit: Option<f64>,
    pub(crate) phases: Vec<Phase>,
    /// The planned time of all phases together.
    pub(crate) planned: Option<String>,
    /// Whether there was a search, and the reason.
    pub(crate) why: String,
    /// Whether the run was given the cell to train.
    is_cell_given: bool,
    /// How the size of the network was chosen.
    pub(crate) size: Option<String>,
    /// The phase whose model is the result.
    pub(crate) from: Option<AutoPhase>,
    /// The findings of the check of the images; `None` if the run did not record them.
    pub(crate) checked: Option<Checked>,
    pub(crate) choices: Vec<Choice>,
    /// The curves of the search.
    pub(crate) search_curves: Vec<Figure>,
    /// The selection among candidates at the end of the search.
    pub(crate) choice: Option<search_choice::MetricChoice>,
    /// The finals of the search.
    pub(crate) finals: Option<Finals>,
    pub(crate) command: String,
}

/// A phase: its planned time, its measured time and its result, as texts.
#[derive(Clone, Debug)]
pub(crate) struct Phase {
    pub(crate) name: &'static str,
    pub(crate) planned: String,
    pub(crate) took: String,
    pub(crate) result: String,
}

/// The findings of the check of the images.
#[derive(Clone, Debug)]
pub(crate) struct Checked {
    /// A sentence with the numbers of images.
    pub(crate) images: String,
    pub(crate) findings: Vec<CheckedFinding>,
}

const UNKNOWN: &str = "–";

impl Automatic {
    /// Reads the directory of an automatic run.
    ///
    /// `seconds` is the wall time so far; `None` takes the time that the directory records.
    pub(crate) fn gather(auto: &AutoRunReader, seconds: Option<f64>) -> Self {
        let plan = auto.plan();
        let seconds = seconds.unwrap_or_else(|| auto.seconds());
        let preparation = auto.preparation();
        let searches = plan.as_ref().is_none_or(|plan| plan.searches);
        let is_used = |choice: &Choice| searches || choice.only != Some(Kind::Search);
        let search = auto.phase(AutoPhase::Search);
        let log = search.as_ref().map(|search| Log::read(&search.metrics_path()));
        let nodes = search.as_ref().and_then(|search| search.best_arc().ok()).map(|arc| arc.n_nodes());
        let split = any_split(auto);
        let checked = preparation.check.map(|check| Checked {
            images: images(check.files, check.usable, split),
            findings: check.findings,
        });
        Self {
            seconds,
            limit: auto.limit().map(|limit| limit.as_secs_f64()),
            phases: phases(auto, plan.as_ref(), seconds),
            planned: plan.map(|plan| duration(plan.total() + auto.prepared_seconds().unwrap_or_default())),
            why: why(auto, plan.as_ref(), split),
            is_cell_given: auto.cell().is_some(),
            size: plan.and_then(|plan| plan.network).map(|network| {
                format!(
                    "Its size was chosen for the time there was: child.filters={} and child.layers={}.",
                    network.filters, network.layers
                )
            }),
            from: auto.best(),
            checked,
            choices: preparation.choices.into_iter().filter(is_used).collect(),
            search_curves: log.as_ref().map_or(Vec::new(), |log| curves::of_search(log, nodes)),
            choice: log.as_ref().and_then(search_choice::choice),
            finals: log.as_ref().and_then(finals),
            command: match preparation.command {
                command if command.is_empty() => "enas auto".into(),
                command => command,
            },
        }
    }

    /// What the run did, as the beginning of a sentence without the number of epochs.
    pub(crate) fn verb(&self) -> &'static str {
        match (self.from, self.search_curves.is_empty()) {
            (_, true) if self.is_cell_given => "A given cell was trained",
            (Some(AutoPhase::First), _) => {
                "A first model, of a random architecture, was trained and stayed the best,"
            }
            (_, true) => "A ready cell was trained",
            (_, false) => "An architecture was searched, then trained",
        }
    }

    /// A remark that compares the wall time with the limit.
    pub(crate) fn of_limit(&self) -> String {
        match self.limit {
            Some(limit) => {
                format!("of {} allowed, until this report was begun", duration(limit))
            }
            None => "until this report was begun; there was no time limit".into(),
        }
    }
}

/// Numbers of training, validation and test images.
type Counts = [usize; 3];

fn any_split(auto: &AutoRunReader) -> Option<Counts> {
    let phases = [AutoPhase::Train, AutoPhase::Search, AutoPhase::First];
    let split = phases.into_iter().find_map(|phase| auto.phase(phase)?.split().ok())?;
    Some([&split.train, &split.valid, &split.test].map(|part| part.len()))
}

fn images(files: usize, usable: usize, split: Option<Counts>) -> String {
    let found = counted(files as u64, "image file", "image files");
    let usable = match files - usable.min(files) {
        0 if files == 1 => "It is usable".to_owned(),
        0 => "All of them are usable".to_owned(),
        left_out => format!("{} usable, {} left out", grouped(usable as u64), grouped(left_out as u64)),
    };
    let parts = split.map_or(String::new(), |parts| {
        let [train, valid, test] = parts.map(|n| grouped(n as u64));
        format!(": {train} to train on, {valid} to choose by, {test} to test with")
    });
    format!("{found}. {usable}{parts}.")
}

/// Whether there was a search, and the reason.
fn why(auto: &AutoRunReader, plan: Option<&AutoPlan>, split: Option<Counts>) -> String {
    let Some(plan) = plan else { return "There is no plan yet.".into() };
    let steps = plan.possible_steps.filter(|steps| steps.is_finite());
    let most = |n: u64, one, more| counted(n, one, more);
    let images = SearchWhen::IMAGES as u64;
    let needed = SearchWhen::STEPS as u64;
    match (plan.searches, auto.search_when()) {
        (true, SearchWhen::IfItPays) => {
            let steps = steps.map_or(String::new(), |steps| {
                format!(" and time for about {} of the final network", most(steps as u64, "training step", "training steps"))
            });
            let train = split.map_or(String::new(), |[train, ..]| {
                format!(", as there were {}{steps}", most(train as u64, "training image", "training images"))
            });
            format!("An architecture was searched{train}.")
        }
        (true, _) => "An architecture was searched, as asked for.".into(),
        (false, _) if auto.cell().is_some() => {
            "No architecture was searched: the cell was given (--cell) and trained for the whole time.".into()
        }
        (false, SearchWhen::Never) => {
            "No architecture was searched, as asked for (--search never): a ready cell was trained for the whole time."
                .into()
        }
        (false, _) => {
            let few_images = split.filter(|[train, ..]| (*train as u64) < images).map(|[train, ..]| {
                format!(
                    "There were {}; below {} the differences between architectures are smaller than chance.",
                    most(train as u64, "training image", "training images"),
                    grouped(images)
                )
            });
            let few_steps = steps.filter(|steps| *steps < SearchWhen::STEPS).map(|steps| {
                format!(
                    "There was time for about {} of the final network; below {} the weights that architectures share \
                     are trained too little to tell good ones from bad ones.",
                    most(steps as u64, "training step", "training steps"),
                    grouped(needed)
                )
            });
            let reasons: Vec<String> = few_images.into_iter().chain(few_steps).collect();
            let reasons = if reasons.is_empty() {
                format!(
                    "A search needs at least {} training images and time for {} training steps.",
                    grouped(images),
                    grouped(needed)
                )
            } else {
                reasons.join(" ")
            };
            format!("No architecture was searched; a ready cell was trained for the whole time. {reasons}")
        }
    }
}

fn phases(auto: &AutoRunReader, plan: Option<&AutoPlan>, seconds: f64) -> Vec<Phase> {
    let time = |seconds: Option<f64>| seconds.map_or(UNKNOWN.to_owned(), duration);
    let mut rows = vec![Phase {
        name: "Check, load and plan",
        planned: UNKNOWN.into(),
        took: time(auto.prepared_seconds()),
        result: String::new(),
    }];
    let mut known = auto.prepared_seconds();
    let planned = |of: fn(&AutoPlan) -> f64| plan.map(of).filter(|seconds| *seconds > 0.0);
    for (phase, name, planned) in [
        (AutoPhase::First, "First model", planned(|plan| plan.first)),
        (AutoPhase::Search, "Search", planned(|plan| plan.search)),
        (AutoPhase::Train, "Training", planned(|plan| plan.train)),
    ] {
        let log = auto.phase(phase).map(|run| (Log::read(&run.metrics_path()), run));
        if log.is_none() && planned.is_none() {
            continue;
        }
        let took = log.as_ref().and_then(|(log, _)| log.seconds());
        known = known.zip(Some(took.unwrap_or_default())).map(|(all, own)| all + own);
        let result = log.map_or_else(|| "not begun".to_owned(), |(log, run)| result(&log, &run));
        rows.push(Phase { name, planned: time(planned), took: time(took), result });
    }
    let rest = known.map(|known| seconds - known).filter(|rest| *rest > 0.05);
    rows.push(Phase {
        name: "Afterwards",
        planned: time(planned(|plan| plan.finish)),
        took: time(rest),
        result: "until this report was begun; model file, report and ONNX file".into(),
    });
    rows
}

/// The result of a phase in words.
fn result(log: &Log, run: &RunReader) -> String {
    let Some(result) = log.last("result") else { return "not finished".into() };
    let share = |key: &str| result.get(key).and_then(Value::as_f64).map(percent);
    // A search without shared weights has no epochs.
    let epochs = result["epochs"].as_u64().filter(|n| *n > 0).map(|n| counted(n, "epoch", "epochs"));
    let valid = share("valid_accuracy").map(|valid| match run.manifest().kind {
        enas_run::Kind::Search if log.of("finalist").next().is_some() => {
            format!("{valid} of the validation images that report, after a short training alone")
        }
        enas_run::Kind::Search => format!("{valid} of the validation images with shared weights"),
        enas_run::Kind::Train => format!("{valid} of the validation images"),
    });
    [epochs, valid].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// The word for a severity that precedes a finding.
pub(crate) fn severity(of: Severity) -> &'static str {
    match of {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    }
}
