//! The main numbers at the top of a report, and the references they are compared with.

use enas_run::{BalancedAccuracy, Kind, interval};

use crate::architecture::Network;
use crate::run::RunSummary;
use crate::search_choice::Random;
use crate::text::{bytes, duration, percent, short};

/// A main number with its label and a remark.
pub(crate) struct Headline {
    pub(crate) label: &'static str,
    pub(crate) value: String,
    pub(crate) remark: String,
}

/// A bar of the comparison.
pub(crate) struct Compared {
    pub(crate) label: String,
    pub(crate) value: String,
    /// Length as a fraction of the full width, in CSS notation.
    pub(crate) share: String,
    pub(crate) own: bool,
}

/// The main numbers of a run.
pub(crate) fn headlines(facts: &RunSummary) -> Vec<Headline> {
    let network = facts.architecture.as_ref().and_then(|a| a.network.as_ref());
    let time = match &facts.automatic {
        Some(auto) => headline("time used", Some(duration(auto.seconds)), auto.of_limit()),
        None => headline("wall time", facts.seconds.map(duration), String::new()),
    };
    let mut all = match facts.manifest.kind {
        Kind::Search => Vec::from(of_search(facts)),
        Kind::Train => {
            let share = |key: &str| facts.number(key).map(percent);
            vec![
                headline("test accuracy", facts.test_accuracy().map(percent), test_interval(facts)),
                headline("validation accuracy", share("valid_accuracy"), "of the kept weights".into()),
            ]
        }
    };
    if facts.manifest.kind == Kind::Train {
        all.push(network.and_then(|n| {
            headline("parameters", Some(short(n.params)), format!("{} on disk", bytes(n.bytes)))
        }));
    }
    // A search knows two networks: that of the search itself and that of a training. This number belongs to the former.
    all.push(match facts.manifest.kind {
        Kind::Train => network.and_then(|n| headline("multiply-adds", Some(short(n.macs)), speed(n))),
        Kind::Search => match &facts.finals {
            Some(finals) => {
                headline("multiply-adds", Some(short(finals.found.macs)), "per image, in that network".into())
            }
            None => {
                let macs = facts.number("macs").map(|n| short(n as u64));
                headline("multiply-adds", macs, "per image, in the search network".into())
            }
        },
    });
    all.push(time);
    all.into_iter().flatten().collect()
}

fn headline(label: &'static str, value: Option<String>, remark: String) -> Option<Headline> {
    value.map(|value| Headline { label, value, remark })
}

/// What a search found, and the size of its network or of the shared weights.
fn of_search(facts: &RunSummary) -> [Option<Headline>; 3] {
    let of_found = match facts.finals {
        Some(_) => "of the network found, after a short training alone",
        None => "of the best architecture, shared weights",
    };
    let best_random = |random: Random| {
        let how = if facts.finals.is_some() { "trained as long" } else { "with the same shared weights" };
        let remark = format!("of {}, {how}", random.count);
        headline("best random architecture", Some(percent(random.best)), remark)
    };
    let weights = match &facts.finals {
        Some(finals) => {
            let params = Some(short(finals.found.params as u64));
            headline("parameters", params, "of the network found, in its short training".into())
        }
        None => {
            let params = facts.number("params").map(|n| short(n as u64));
            headline("shared weights", params, "of all architectures together".into())
        }
    };
    [
        headline("validation accuracy", facts.number("valid_accuracy").map(percent), of_found.into()),
        random(facts).and_then(best_random),
        weights,
    ]
}

/// The random architectures that the one found is compared with.
fn random(facts: &RunSummary) -> Option<Random> {
    match &facts.finals {
        Some(finals) => finals.random,
        None => facts.choice.as_ref().and_then(|choice| choice.random),
    }
}

fn test_interval(facts: &RunSummary) -> String {
    facts.predicted.as_ref().map_or(String::new(), |p| {
        let (low, high) = interval(p.evaluation.correct(), p.evaluation.total());
        format!("95\u{a0}% interval {:.1} to {:.1}\u{a0}%", 100.0 * low, 100.0 * high)
    })
}

fn speed(network: &Network) -> String {
    network.speed.map_or("per image".into(), |speed| format!("{} per image", time_of(speed.batched)))
}

/// Formats a short time in µs, ms or s.
pub(crate) fn time_of(seconds: f64) -> String {
    match seconds {
        s if s < 1e-3 => format!("{:.0}\u{a0}µs", s * 1e6),
        s if s < 1.0 => format!("{:.2}\u{a0}ms", s * 1e3),
        s => format!("{s:.2}\u{a0}s"),
    }
}

/// Bars that compare the result with random architectures (search) or with chance (training).
pub(crate) fn comparison(facts: &RunSummary) -> Vec<Compared> {
    let compared = |label: &str, share: f64, own| Compared {
        label: label.into(),
        value: percent(share),
        share: format!("{:.4}", share.clamp(0.0, 1.0)),
        own,
    };
    match facts.manifest.kind {
        Kind::Search => {
            let Some((found, Random { mean, best, .. })) = facts.number("valid_accuracy").zip(random(facts))
            else {
                return vec![];
            };
            vec![
                compared("architecture found", found, true),
                compared("best random architecture", best, false),
                compared("mean random architecture", mean, false),
            ]
        }
        Kind::Train => {
            if let Some(balanced) = balanced(facts) {
                return vec![
                    compared("this network, mean over the classes", balanced.value, true),
                    compared("always naming one class", balanced.by_chance(), false),
                ];
            }
            let Some(test) = facts.test_accuracy() else { return vec![] };
            let other = match &facts.predicted {
                Some(p) => compared("always predicting the most frequent class", p.most_frequent, false),
                None => match chance(facts) {
                    Some(chance) => compared("guessing", chance, false),
                    None => return vec![],
                },
            };
            vec![compared("this network", test, true), other]
        }
    }
}

/// The balanced accuracy on the test split, if the run chose by macro-F1: then every class counts alike.
pub(crate) fn balanced(facts: &RunSummary) -> Option<BalancedAccuracy> {
    facts.settings.get("metric").filter(|metric| metric == "macro-f1")?;
    facts.predicted.as_ref().map(|p| p.evaluation.balanced())
}

/// The accuracy of uniform guessing, 0 to 1.
pub(crate) fn chance(facts: &RunSummary) -> Option<f64> {
    facts.split.as_ref().map(|split| 1.0 / split.classes.len().max(1) as f64)
}
