//! The choice at the end of a search: its chart, and what it says compared with random architectures.

use enas_run::PairedDifference;
use serde_json::Value;

use crate::chart::{ChartAxis, DotPlot, DotRow, Format};
use crate::curves::Figure;
use crate::log::Log;
use crate::text::percent;

/// The selection at the end of a search.
#[derive(Clone, Debug)]
pub struct MetricChoice {
    /// All candidates with their accuracies.
    pub figure: Figure,
    /// The result of the comparison with random architectures.
    pub verdict: String,
    /// The best candidates of the policy, best first.
    pub ranking: Vec<Ranked>,
    /// The accuracies of random architectures, if any were measured.
    pub random: Option<Random>,
}

/// The random architectures that the candidates are compared with.
#[derive(Clone, Copy, Debug)]
pub struct Random {
    /// How many there are.
    pub count: usize,
    /// Mean of their accuracies, 0 to 1.
    pub mean: f64,
    /// The highest of their accuracies, 0 to 1.
    pub best: f64,
}

/// A row of the ranking.
#[derive(Clone, Debug)]
pub struct Ranked {
    /// The rank, from 1.
    pub place: usize,
    /// Accuracy on the validation split with the shared weights, 0 to 1.
    pub accuracy: f64,
    /// Multiply-adds per image.
    pub macs: u64,
    /// How the search found it.
    pub origin: String,
    /// The arc as integers.
    pub arc: String,
}

/// Number of candidates shown in the ranking.
const RANKED: usize = 8;

/// The selection among the candidates in the log; `None` if there are none yet.
pub fn choice(log: &Log) -> Option<MetricChoice> {
    let accuracy = |event: &Value| event["valid_accuracy"].as_f64();
    let is_random = |event: &&Value| event["origin"] == "random";
    let random: Vec<f64> = log.of("candidate").filter(is_random).filter_map(accuracy).collect();
    let mut policy: Vec<&Value> =
        log.of("candidate").filter(|e| !is_random(e) && accuracy(e).is_some()).collect();
    let key = |event: &Value| (accuracy(event).unwrap_or(0.0), event["macs"].as_u64().unwrap_or(u64::MAX));
    // The search ranks in the same way: higher accuracy first, then fewer multiply-adds.
    policy.sort_by(|a, b| {
        let ((a, a_macs), (b, b_macs)) = (key(a), key(b));
        b.total_cmp(&a).then(a_macs.cmp(&b_macs))
    });
    let best = accuracy(policy.first()?)?;
    let plot = DotPlot {
        title: "Candidates of the final choice".into(),
        description:
            "Each dot is an architecture, scored with the shared weights on the whole validation split."
                .into(),
        x: ChartAxis::new("validation accuracy with shared weights", Format::Percent),
        rows: vec![
            DotRow {
                name: "from the policy".into(),
                values: policy.iter().copied().filter_map(accuracy).collect(),
                chosen: Some(best),
                colour: 1,
            },
            DotRow { name: "uniformly random".into(), values: random.clone(), chosen: None, colour: 2 },
        ],
    };
    let caption = "Each dot is an architecture, scored with the shared weights on the whole validation split. A line \
                   marks the mean, a ring the chosen one.";
    let figure = Figure {
        id: "candidates".into(),
        title: plot.title.clone(),
        caption: caption.into(),
        svg: plot.svg("candidates"),
        table: plot.table(),
    };
    let random = Random::of(&random);
    let result = log.of("result").last();
    let difference = result.and_then(|event| serde_json::from_value(event["difference"].clone()).ok());
    let ranking =
        (1..).zip(policy.iter().take(RANKED)).map(|(place, event)| Ranked::of(place, event)).collect();
    Some(MetricChoice { figure, verdict: verdict(random, difference), ranking, random })
}

impl Random {
    fn of(accuracies: &[f64]) -> Option<Self> {
        let count = accuracies.len();
        (count > 0).then(|| Self {
            count,
            mean: accuracies.iter().sum::<f64>() / count as f64,
            best: accuracies.iter().copied().fold(0.0, f64::max),
        })
    }
}

/// The comparison with the best random architecture in words.
///
/// "Better" and "worse" require a confidence interval that excludes zero.
fn verdict(random: Option<Random>, difference: Option<PairedDifference>) -> String {
    let Some(Random { count, mean, best, .. }) = random else {
        return "No random architectures were scored to compare with.".into();
    };
    let figures = format!(
        "Of {count} random architectures with the same weights, the mean is {} and the best {}.",
        percent(mean),
        percent(best)
    );
    let compared = difference.map_or(String::new(), |difference| {
        let PairedDifference { points, low, high } = difference;
        format!(
            " Compared with the best of them, on the same images: {points:+.1} points, 95\u{a0}% interval {low:+.1} to \
             {high:+.1}: {}.",
            difference.verdict().words()
        )
    });
    format!("{figures}{compared} These are not accuracies of trained networks.")
}

impl Ranked {
    fn of(place: usize, event: &Value) -> Self {
        let text = |key: &str| event[key].as_str().unwrap_or_default().to_owned();
        Self {
            place,
            accuracy: event["valid_accuracy"].as_f64().unwrap_or(0.0),
            macs: event["macs"].as_u64().unwrap_or(0),
            origin: text("origin"),
            arc: text("arc"),
        }
    }
}
