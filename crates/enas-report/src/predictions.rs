//! The part of a report that needs predictions of all images: classes, confusions, calibration, mistakes.

use std::time::Instant;

use enas_data::{Dataset, Split};
use enas_run::{ClassScore, Evaluation, Model, is_at_lower_bound, is_at_upper_bound};

use crate::chart::{Chart, ChartAxis, ChartSeries, Format, Mark};
use crate::curves::Figure;
use crate::occlusion::{self, GRID};
use crate::quality::{BINS, Calibration, Mistake, Predictions};
use crate::text::percent;
use crate::thumbnails::{EmbeddedImage, thumbnail};

/// A confusion matrix of more classes than this would not be readable; the most frequent confusions replace it.
const WIDEST_MATRIX: usize = 20;
/// Number of confusions listed if there is no matrix.
const PAIRS: usize = 20;
/// Number of mistakes shown.
const MISTAKES: usize = 24;
/// Number of mistakes for which an occlusion map is computed, worst first.
const LOOKED_INTO: usize = 6;
/// The fraction of the remaining time that occlusion maps may take.
const SHARE: f64 = 0.2;

/// The predictions of a network on images that it was not trained on.
#[derive(Clone, Debug)]
pub(crate) struct Predicted {
    pub(crate) evaluation: Evaluation,
    pub(crate) per_class: Vec<ClassScore>,
    pub(crate) confusion: Confusion,
    pub(crate) trust: Trust,
    pub(crate) mistakes: Vec<Shown>,
    /// Whether time was too short for all occlusion maps.
    pub(crate) hurried: bool,
    /// Total number of mistakes.
    pub(crate) wrong: u64,
    /// Relative frequency of the most frequent class: the accuracy of a constant prediction.
    pub(crate) most_frequent: f64,
}

/// The confusions of classes.
#[derive(Clone, Debug)]
pub(crate) enum Confusion {
    /// The confusion matrix.
    Matrix(Vec<Row>),
    /// The most frequent confusions of two different classes.
    Pairs(Vec<Pair>),
}

/// A row of the confusion matrix: the images of one class, by predicted class.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) label: String,
    pub(crate) cells: Vec<Cell>,
}

#[derive(Clone, Debug)]
pub(crate) struct Cell {
    pub(crate) count: u64,
    /// Fraction of the row's images, in CSS notation.
    pub(crate) share: String,
    pub(crate) right: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Pair {
    pub(crate) label: String,
    pub(crate) predicted: String,
    pub(crate) count: u64,
    /// Fraction of the images of class `label`.
    pub(crate) share: f64,
}

/// How well the probabilities are calibrated, before and after temperature scaling.
#[derive(Clone, Debug)]
pub(crate) struct Trust {
    pub(crate) figure: Figure,
    pub(crate) temperature: f64,
    pub(crate) before: Calibration,
    pub(crate) after: Calibration,
}

/// A wrong prediction with its image.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    pub(crate) image: EmbeddedImage,
    pub(crate) label: String,
    pub(crate) predicted: String,
    pub(crate) probability: String,
    pub(crate) file: String,
    /// The occlusion map, if there was time for it.
    pub(crate) map: Option<Map>,
}

/// An occlusion map that is laid over an image.
#[derive(Clone, Debug)]
pub(crate) struct Map {
    pub(crate) svg: String,
    pub(crate) description: String,
}

/// Predicts the validation and the test split and evaluates the predictions.
///
/// `left` is the number of seconds that the whole report may take; `None` means no limit.
///
/// # Errors
/// Those of [`Model::split_probabilities`].
pub(crate) fn predicted(model: &Model, data: &Dataset, left: Option<f64>) -> enas_run::Result<Predicted> {
    let began = Instant::now();
    let rows = |split: &Split| -> enas_run::Result<Vec<f32>> {
        Ok(model.split_probabilities(split)?.flatten_all()?.to_vec1()?)
    };
    let valid = rows(&data.valid)?;
    let test = rows(&data.test)?;
    let classes = model.classes();
    let n_classes = classes.len();
    let on_valid = Predictions { rows: &valid, labels: data.valid.labels(), n_classes };
    let on_test = Predictions { rows: &test, labels: data.test.labels(), n_classes };
    let evaluation = on_test.evaluation(classes);
    let per_class = evaluation.per_class();
    let images = (data.valid.len() + data.test.len()).max(1);
    let looked_into = affordable(began.elapsed().as_secs_f64(), images, left);
    let most = per_class.iter().map(|class| class.support).max().unwrap_or(0);
    Ok(Predicted {
        confusion: Confusion::of(&evaluation),
        trust: Trust::of(on_valid, on_test)?,
        mistakes: mistakes(on_test, data, model, looked_into)?,
        hurried: looked_into < LOOKED_INTO,
        wrong: evaluation.total() - evaluation.correct(),
        most_frequent: most as f64 / evaluation.total().max(1) as f64,
        evaluation,
        per_class,
    })
}

/// The number of occlusion maps that are affordable, given that predicting `images` images took `spent` seconds.
///
/// `left` is the number of seconds for the whole report; `None` means no limit.
fn affordable(spent: f64, images: usize, left: Option<f64>) -> usize {
    let Some(left) = left else { return LOOKED_INTO };
    let each = spent / images as f64 * (GRID * GRID + 1) as f64;
    let budget = SHARE * (left - spent).max(0.0);
    ((budget / each.max(1e-9)) as usize).min(LOOKED_INTO)
}

fn mistakes(
    on: Predictions<'_>,
    data: &Dataset,
    model: &Model,
    looked_into: usize,
) -> enas_run::Result<Vec<Shown>> {
    let shape = [data.channels, data.height, data.width];
    let (split, classes): (&Split, _) = (&data.test, model.classes());
    let shown = |(i, mistake): (usize, &Mistake)| {
        let class = &classes[mistake.predicted];
        let map = if i < looked_into {
            let map = occlusion::sensitivity(model, split, mistake, shape)?;
            Some(Map { svg: map.svg(), description: map.description(class) })
        } else {
            None
        };
        Ok(Shown {
            image: thumbnail(split, mistake.index, shape)?,
            label: classes[mistake.label].clone(),
            predicted: class.clone(),
            probability: percent(f64::from(mistake.probability)),
            file: split.path(mistake.index).to_owned(),
            map,
        })
    };
    on.worst(MISTAKES).iter().enumerate().map(shown).collect()
}

impl Confusion {
    fn of(evaluation: &Evaluation) -> Self {
        let Evaluation { classes, confusion } = evaluation;
        if classes.len() > WIDEST_MATRIX {
            return Self::Pairs(pairs(evaluation));
        }
        let row = |(k, counts): (usize, &Vec<u64>)| {
            let sum = counts.iter().sum::<u64>().max(1) as f64;
            let cell = |(j, &count): (usize, &u64)| Cell {
                count,
                share: format!("{:.3}", count as f64 / sum),
                right: j == k,
            };
            Row { label: classes[k].clone(), cells: counts.iter().enumerate().map(cell).collect() }
        };
        Self::Matrix(confusion.iter().enumerate().map(row).collect())
    }
}

fn pairs(evaluation: &Evaluation) -> Vec<Pair> {
    let Evaluation { classes, confusion } = evaluation;
    let mut all: Vec<(u64, usize, usize)> = confusion
        .iter()
        .enumerate()
        .flat_map(|(k, row)| row.iter().enumerate().map(move |(j, &count)| (count, k, j)))
        .filter(|&(count, k, j)| count > 0 && k != j)
        .collect();
    all.sort_by(|a, b| b.0.cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    let pair = |&(count, k, j): &(u64, usize, usize)| Pair {
        label: classes[k].clone(),
        predicted: classes[j].clone(),
        count,
        share: count as f64 / confusion[k].iter().sum::<u64>() as f64,
    };
    all.iter().take(PAIRS).map(pair).collect()
}

impl Trust {
    fn of(on_valid: Predictions<'_>, on_test: Predictions<'_>) -> enas_run::Result<Self> {
        let temperature = on_valid.temperature()?;
        let before = on_test.calibration(1.0);
        let after = on_test.calibration(temperature);
        Ok(Self { figure: reliability(&before, &after), temperature, before, after })
    }

    /// The meaning of the temperature in words, and whether scaling improves the calibration on the test split.
    pub(crate) fn remark(&self) -> String {
        let t = self.temperature;
        if is_at_lower_bound(t) {
            return "The temperature is at the lower bound of its range: the validation split has too few mistakes to \
                    measure overconfidence. Predictions stay unchanged."
                .into();
        }
        if is_at_upper_bound(t) {
            return "The temperature is at the upper bound of its range: the network is equally sure when it is right \
                    and when it is wrong, so its probabilities say almost nothing. Train it longer, or on more images."
                .into();
        }
        let says = if t > 1.0 {
            "above 1: the network is surer than it"
        } else {
            "below 1: the network is less sure than it"
        };
        let helps = match (self.after.ece < self.before.ece, self.after.nll < self.before.nll) {
            (true, true) => "On the test split, too, scaling makes its probabilities better.",
            (false, false) => {
                "On the test split scaling does not help; the validation split may be too small to tell."
            }
            _ => {
                "On the test split the two measures disagree on whether scaling helps; it may be too small to tell."
            }
        };
        format!("The temperature is {says} should be on the validation split. {helps}")
    }
}

fn reliability(before: &Calibration, after: &Calibration) -> Figure {
    let width = 1.0 / BINS as f64;
    let bars = before.bins.iter().enumerate().filter(|(_, bin)| bin.count > 0);
    let bars = bars.map(|(i, bin)| [(i as f64 + 0.5) * width, bin.accuracy]).collect();
    let dots =
        after.bins.iter().filter(|bin| bin.count > 0).map(|bin| [bin.confidence, bin.accuracy]).collect();
    let mut chart = Chart {
        title: "Reliability".into(),
        description: format!(
            "Accuracy of predictions by their confidence. Expected calibration error {} as trained, {} after scaling.",
            percent(before.ece),
            percent(after.ece)
        ),
        x: ChartAxis::new("confidence: probability of the predicted class", Format::Percent).within(0.0, 1.0),
        y: ChartAxis::new("share of right predictions", Format::Percent).within(0.0, 1.0),
        series: vec![
            ChartSeries::line("as trained", 1, bars).with(Mark::Bars(width)),
            ChartSeries::line("after temperature scaling", 2, dots).with(Mark::Dots),
            ChartSeries::line("honest", 6, vec![[0.0, 0.0], [1.0, 1.0]]).with(Mark::Faint),
        ],
        rules: Vec::new(),
    };
    let svg = chart.svg("reliability");
    chart.title = "Predictions of the test split by confidence".into();
    let mut table = chart.table(BINS);
    table.head = ["confidence", "images", "mean confidence", "right"].map(str::to_owned).to_vec();
    table.rows =
        before.bins.iter().enumerate().filter(|(_, bin)| bin.count > 0).map(|(i, bin)| row(i, bin)).collect();
    let caption = "A calibrated network is right in nine of ten cases where it says 90\u{a0}%: its bars end on the \
                   diagonal. Bars of few images are mostly chance; the numbers say how many images each has.";
    Figure { id: "reliability".into(), title: "Reliability".into(), caption: caption.into(), svg, table }
}

fn row(i: usize, bin: &crate::quality::Bin) -> Vec<String> {
    let edge = |i: usize| format!("{:.0}", 100.0 * i as f64 / BINS as f64);
    vec![
        format!("{}–{}\u{a0}%", edge(i), edge(i + 1)),
        bin.count.to_string(),
        percent(bin.confidence),
        percent(bin.accuracy),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_looked_into_as_far_as_there_is_time() {
        assert_eq!(affordable(1e6, 10, None), LOOKED_INTO);
        // Each map needs 65 predictions of 10 ms: 0.65 s. A fifth of the remaining time may be spent.
        assert_eq!(affordable(1.0, 100, Some(100.0)), LOOKED_INTO);
        assert_eq!(affordable(1.0, 100, Some(8.0)), 2);
        assert_eq!([affordable(1.0, 100, Some(2.0)), affordable(1.0, 100, Some(-5.0))], [0, 0]);
    }
}
