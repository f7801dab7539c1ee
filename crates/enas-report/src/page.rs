//! Converts the facts about a run to the texts of a page. The layout is in `templates/`.

use std::borrow::Borrow;

use askama::Template;
use enas_run::{BalancedAccuracy, CheckedFinding, Choice, Kind};

use crate::architecture::Architecture;
use crate::auto::severity;
use crate::chart;
use crate::curves::Figure;
use crate::headlines::{Compared, Headline, balanced, chance, comparison, headlines, time_of};
use crate::machine::{self, InferenceSpeed};
use crate::predictions::Confusion;
use crate::run::RunSummary;
use crate::style::STYLE;
use crate::text;
use crate::text::{breakable, breakable_key, bytes, counted, duration, grouped, now, percent, short};

/// The report.
#[derive(Template)]
#[template(path = "report.html")]
pub(crate) struct Page<'a> {
    facts: &'a RunSummary,
    title: String,
    style: String,
    /// What was done and on which data.
    done: String,
    /// The result in words.
    outcome: String,
    figures: Vec<Headline>,
    comparison: Vec<Compared>,
    network: Vec<Fact>,
    provenance: Vec<Fact>,
    written: String,
}

/// A name with its value.
struct Fact {
    name: &'static str,
    value: String,
}

fn fact(name: &'static str, value: impl Into<String>) -> Fact {
    Fact { name, value: value.into() }
}

impl<'a> Page<'a> {
    pub(crate) fn new(facts: &'a RunSummary) -> Self {
        let verb = match (&facts.automatic, facts.manifest.kind) {
            (Some(_), _) => "Automatic run",
            (None, Kind::Search) => "Search",
            (None, Kind::Train) => "Training",
        };
        Self {
            title: format!("{verb} on {}", facts.manifest.data),
            style: format!("{}\n{}", chart::STYLE, STYLE),
            done: done(facts),
            outcome: outcome(facts),
            figures: headlines(facts),
            comparison: comparison(facts),
            network: network_facts(facts),
            provenance: provenance(facts),
            written: now(),
            facts,
        }
    }

    fn is_search(&self) -> bool {
        self.facts.manifest.kind == Kind::Search
    }

    fn percent(&self, share: impl Borrow<f64>) -> String {
        percent(*share.borrow())
    }

    fn grouped(&self, n: impl Borrow<u64>) -> String {
        grouped(*n.borrow())
    }

    fn short(&self, n: impl Borrow<u64>) -> String {
        short(*n.borrow())
    }

    /// Whether the class names above the confusion matrix are so long that they are rotated.
    fn has_long_names(&self) -> bool {
        let classes = self.facts.predicted.as_ref().map(|p| &p.evaluation.classes);
        classes.is_some_and(|classes| classes.iter().any(|name| name.chars().count() > 4))
    }
}

/// What was done and on which data, as a sentence.
fn done(facts: &RunSummary) -> String {
    let verb = match (&facts.automatic, facts.manifest.kind) {
        (Some(auto), Kind::Train) => auto.verb(),
        (_, Kind::Search) => "An architecture was searched",
        (None, Kind::Train) => "A network was trained",
    };
    let epochs = facts.number("epochs").map_or(String::new(), |n| {
        // `epochs` is the planned number while a run is not finished; the log has the number done.
        let done = facts.last_epoch.as_ref().and_then(|e| e["epoch"].as_u64());
        let n = if facts.result.is_some() { n as u64 } else { done.unwrap_or(n as u64) };
        // A search without shared weights has no epochs.
        if n == 0 { String::new() } else { format!(" for {}", counted(n, "epoch", "epochs")) }
    });
    let files = counted(facts.manifest.fingerprint.files as u64, "image", "images");
    let classes = facts.split.as_ref().map_or(String::new(), |split| {
        format!(" of {}", counted(split.classes.len() as u64, "class", "classes"))
    });
    format!("{verb}{epochs} on {}: {files}{classes}.", facts.manifest.data)
}

/// The result in one sentence.
fn outcome(facts: &RunSummary) -> String {
    if facts.result.is_none() {
        return "The run is not finished yet; this is its current state.".into();
    }
    match facts.manifest.kind {
        Kind::Search => searched(facts),
        Kind::Train => trained(facts),
    }
}

fn searched(facts: &RunSummary) -> String {
    let found = facts.number("valid_accuracy").map_or("–".into(), percent);
    if let Some(finals) = &facts.finals {
        return format!(
            "After a short training alone, the network found recognises {found} of the {} that no choice used.",
            counted(finals.images as u64, "validation image", "validation images")
        );
    }
    let verdict = facts.choice.as_ref().map_or(String::new(), |choice| format!(" {}", choice.verdict));
    format!(
        "With the shared weights, the architecture found recognises {found} of the validation images.{verdict}"
    )
}

fn trained(facts: &RunSummary) -> String {
    let test = facts.test_accuracy().map_or("–".into(), percent);
    let beside = facts.predicted.as_ref().map_or_else(
        || chance(facts).map_or(String::new(), |share| format!("; guessing would reach {}", percent(share))),
        |p| format!("; always predicting the most frequent class would reach {}", percent(p.most_frequent)),
    );
    format!(
        "The network recognises {test} of the test images, which were not used before{beside}.{}",
        balanced(facts).map_or(String::new(), in_words)
    )
}

/// A balanced accuracy in words.
fn in_words(balanced: BalancedAccuracy) -> String {
    let BalancedAccuracy { value, low, high, .. } = balanced;
    format!(
        " With every class counted alike it reaches {} (balanced accuracy, 95\u{a0}% interval {:.1} to {:.1}); always \
         naming one class reaches {}.",
        percent(value),
        100.0 * low,
        100.0 * high,
        percent(balanced.by_chance())
    )
}

fn network_facts(facts: &RunSummary) -> Vec<Fact> {
    let Some(Architecture { network: Some(network), .. }) = &facts.architecture else { return vec![] };
    let input = network.input;
    let trains = facts.manifest.kind == Kind::Train;
    let (params, macs) = if trains {
        ("Parameters", "Multiply-adds per image")
    } else {
        ("Parameters, trained alone at the size of the search", "Multiply-adds per image of that network")
    };
    let colours = if input.channels == 1 { "grey" } else { "colour" };
    let mut all = vec![
        fact("Input", format!("{}\u{a0}×\u{a0}{} pixels, {colours}", input.width, input.height)),
        fact(params, grouped(network.params)),
        fact(macs, grouped(network.macs)),
        fact(if trains { "Model file" } else { "Size of its weights" }, bytes(network.bytes)),
    ];
    all.extend(network.speed.iter().flat_map(speed_facts));
    all
}

/// The latency of single images and the throughput of batches.
fn speed_facts(speed: &InferenceSpeed) -> [Fact; 2] {
    let [single, p95, batched] = [speed.single, speed.single_p95, speed.batched].map(time_of);
    let batch = machine::BATCH;
    [
        fact("Time per image, one at a time", format!("{single}, 95\u{a0}% of them within {p95}")),
        fact(
            "Time per image, in batches",
            format!("{batched}, batches of {batch}, measured on {}", machine::name()),
        ),
    ]
}

fn provenance(facts: &RunSummary) -> Vec<Fact> {
    let manifest = &facts.manifest;
    let mut all = vec![
        fact("Program", format!("enas {}, revision {}", manifest.version, manifest.revision)),
        fact(
            "Machine",
            format!("{}, {}", manifest.device, counted(manifest.threads as u64, "thread", "threads")),
        ),
        fact("Seed", facts.settings.get("run.seed").unwrap_or_else(|| "unknown".into())),
        fact("Data", facts.settings.get("data.path").unwrap_or_else(|| manifest.data.clone())),
        fact(
            "Data fingerprint",
            format!(
                "{} files, SHA-256 {}",
                grouped(manifest.fingerprint.files as u64),
                manifest.fingerprint.sha256
            ),
        ),
    ];
    if let Some(split) = &facts.split {
        let [train, valid, test] =
            [&split.train, &split.valid, &split.test].map(|part| grouped(part.len() as u64));
        all.push(fact("Split", format!("{train} training, {valid} validation, {test} test images")));
    }
    all
}

impl Page<'_> {
    fn duration(&self, seconds: &f64) -> String {
        duration(*seconds)
    }

    fn severity(&self, found: &CheckedFinding) -> &'static str {
        severity(found.severity)
    }

    /// HTML of a file name or key with possible line breaks after slashes, dots and the like, but not in its
    /// extension.
    fn breakable(&self, name: &str) -> String {
        breakable(name)
    }

    /// Which phase a choice is for, if another one has the same key.
    fn whose(&self, choice: &Choice) -> &'static str {
        let all = self.facts.automatic.as_ref().map_or(&[][..], |auto| &auto.choices);
        let is_twice = all.iter().filter(|other| other.key == choice.key).count() > 1;
        match choice.only.filter(|_| is_twice) {
            Some(Kind::Search) => "the search: ",
            Some(Kind::Train) => "the training: ",
            None => "",
        }
    }

    /// HTML of a key with possible line breaks after its dots.
    fn breakable_key(&self, key: &str) -> String {
        breakable_key(key)
    }

    fn search_curves(&self) -> &[Figure] {
        self.facts.automatic.as_ref().map_or(&[], |auto| &auto.search_curves)
    }

    /// A remark on whether a repetition of the run gives the same bytes.
    fn repeatable(&self) -> &'static str {
        let limit = self.facts.automatic.as_ref().and_then(|auto| auto.limit);
        let limited =
            limit.is_some() || self.facts.settings.get("run.time").is_some_and(|time| time != "off");
        if limited {
            "The run had a time limit: its number of steps depends on the speed of the machine, and so does its result."
        } else if self.facts.manifest.device == "cpu" {
            "The same revision, settings and images give the same bytes, whatever the number of threads."
        } else {
            "The same revision, settings and images give the same bytes on the same kind of device."
        }
    }

    fn temperature(&self) -> String {
        self.facts.predicted.as_ref().map_or(String::new(), |p| format!("{:.3}", p.trust.temperature))
    }

    fn nll(&self, nats: &f64) -> String {
        format!("{nats:.4}")
    }

    fn curves(&self) -> &[Figure] {
        &self.facts.curves
    }

    fn matrix(&self) -> Option<&[crate::predictions::Row]> {
        match &self.facts.predicted.as_ref()?.confusion {
            Confusion::Matrix(rows) => Some(rows),
            Confusion::Pairs(_) => None,
        }
    }

    fn pairs(&self) -> Option<&[crate::predictions::Pair]> {
        match &self.facts.predicted.as_ref()?.confusion {
            Confusion::Pairs(pairs) => Some(pairs),
            Confusion::Matrix(_) => None,
        }
    }

    fn counted_images(&self, n: impl Borrow<u64>) -> String {
        text::counted(*n.borrow(), "image", "images")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_balanced_accuracy_stands_beside_what_a_constant_reaches() {
        let said = in_words(BalancedAccuracy { value: 0.85, low: 0.7, high: 1.0, classes: 2 });
        assert!(
            said.contains("85.00\u{a0}% (balanced accuracy, 95\u{a0}% interval 70.0 to 100.0)"),
            "{said}"
        );
        assert!(said.ends_with("always naming one class reaches 50.00\u{a0}%."), "{said}");
    }
}
