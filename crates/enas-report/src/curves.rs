//! The figures of a run: which curves there are, with titles and captions.

use askama::Template;
use enas_arc::{ArcSpace, Op};

use crate::chart::{Chart, ChartAxis, ChartSeries, ChartTable, Format, Mark, Rule};
use crate::error::Result;
use crate::log::Log;

/// A chart with title, caption and table.
#[derive(Clone, Debug)]
pub struct Figure {
    /// Its id in a page.
    pub id: String,
    /// Its title.
    pub title: String,
    /// The text below the chart.
    pub caption: String,
    /// The chart as an SVG element.
    pub svg: String,
    /// Its numbers as a table.
    pub table: ChartTable,
}

/// A figure without a page around it.
#[derive(Template)]
#[template(source = "{% import \"figure.html\" as parts %}{{ parts::figure(figure) }}", ext = "html")]
struct Alone<'a> {
    figure: &'a Figure,
}

impl Figure {
    /// The ids of all figures that [`curves`] and [`choice`](crate::choice) can make, in the order of a page.
    pub const IDS: [&'static str; 8] =
        ["candidates", "loss", "accuracy", "reward", "entropy", "ops-normal", "ops-reduction", "lr"];

    /// The figure as an HTML element, with its title, caption and table.
    ///
    /// # Errors
    /// If the template cannot be rendered, which does not happen in practice.
    pub fn html(&self) -> Result<String> {
        Ok(Alone { figure: self }.render()?)
    }
}

/// Maximum number of rows of the table that accompanies a chart.
const ROWS: usize = 20;

/// The curves of a run.
///
/// `steps` is the number of training steps per epoch, `n_nodes` the number of nodes in a cell.
pub fn curves(log: &Log, steps: u64, n_nodes: Option<usize>) -> Vec<Figure> {
    let updates = log.steps("controller");
    let all = [
        loss(log, steps),
        accuracies(log),
        reward(log, updates),
        n_nodes.and_then(|n| entropy(log, updates, n)),
        operations(log, 0),
        operations(log, 1),
        learning_rate(log, steps),
    ];
    all.into_iter().flatten().collect()
}

/// The curves of a search that are shown with an automatic run, in addition to those of its training.
///
/// Their ids differ from those of the training's curves.
pub(crate) fn of_search(log: &Log, n_nodes: Option<usize>) -> Vec<Figure> {
    let updates = log.steps("controller");
    let accuracies = accuracies_as("search-accuracy", "Accuracy during the search", log);
    let all = [
        accuracies,
        reward(log, updates),
        n_nodes.and_then(|n| entropy(log, updates, n)),
        operations(log, 0),
        operations(log, 1),
    ];
    all.into_iter().flatten().collect()
}

pub(crate) fn figure(id: &str, chart: Chart, caption: impl Into<String>) -> Option<Figure> {
    let chart =
        Chart { series: chart.series.into_iter().filter(|s| !s.points.is_empty()).collect(), ..chart };
    let chart = Chart { description: described(&chart), ..chart };
    (!chart.series.is_empty()).then(|| Figure {
        id: id.into(),
        title: chart.title.clone(),
        caption: caption.into(),
        svg: chart.svg(id),
        table: chart.table(ROWS),
    })
}

/// A description for screen readers: the first and the last value of each line.
fn described(chart: &Chart) -> String {
    let format = chart.y.format;
    let line = |series: &ChartSeries| {
        let ends = (series.points.first()?[1], series.points.last()?[1]);
        Some(format!("{}: from {} to {}.", series.name, format.value(ends.0), format.value(ends.1)))
    };
    chart.series.iter().filter(|s| s.mark == Mark::Line).filter_map(line).collect::<Vec<_>>().join(" ")
}

/// The axis of epochs. It reaches to the last epoch, as steps are logged only up to shortly before its end.
fn epochs(log: &Log) -> ChartAxis {
    let last = log.of("epoch").filter_map(|event| event["epoch"].as_f64()).next_back();
    ChartAxis { to: last, ..ChartAxis::new("epoch", Format::Whole) }
}

fn loss(log: &Log, steps: u64) -> Option<Figure> {
    let chart = Chart {
        title: "Training loss".into(),
        x: epochs(log),
        y: ChartAxis::new("cross entropy, nats", Format::Number),
        series: vec![
            ChartSeries::line("single steps", 1, log.curve("step", "/loss", steps)).with(Mark::Faint),
            ChartSeries::line("mean of the epoch", 1, log.curve("epoch", "/loss", 1)),
        ],
        ..Chart::default()
    };
    figure("loss", chart, "How far predictions on training images are from their labels.")
}

fn accuracies(log: &Log) -> Option<Figure> {
    accuracies_as("accuracy", "Accuracy", log)
}

fn accuracies_as(id: &str, title: &str, log: &Log) -> Option<Figure> {
    let searches = log.last("epoch").is_some_and(|event| event.get("policy").is_some());
    let (valid, caption) = if searches {
        (
            "validation, likeliest arc",
            "With the shared weights: each training step on its own batch, the policy's likeliest architecture on the \
             full validation split, and sampled architectures on single minibatches.",
        )
    } else {
        ("validation", "Each training step on its own batch, and the full validation split after each epoch.")
    };
    let chart = Chart {
        title: title.into(),
        x: epochs(log),
        y: ChartAxis::new("share recognised", Format::Percent),
        series: vec![
            ChartSeries::line("training", 1, log.curve("epoch", "/train_accuracy", 1)),
            ChartSeries::line("best so far", 3, log.curve("epoch", "/best_valid_accuracy", 1)),
            ChartSeries::line("sampled arcs", 4, log.curve("epoch", "/policy/accuracy", 1)),
            ChartSeries::line(valid, 2, log.curve("epoch", "/valid_accuracy", 1)),
        ],
        ..Chart::default()
    };
    figure(id, chart, caption)
}

fn learning_rate(log: &Log, steps: u64) -> Option<Figure> {
    let points = match log.curve("step", "/lr", steps) {
        none if none.is_empty() => log.curve("epoch", "/lr", 1),
        points => points,
    };
    let chart = Chart {
        title: "Learning rate".into(),
        x: epochs(log),
        y: ChartAxis::new("learning rate", Format::Number),
        series: vec![ChartSeries::line("learning rate", 1, points)],
        ..Chart::default()
    };
    figure("lr", chart, "As the schedule sets it, epoch by epoch.")
}

fn reward(log: &Log, updates: u64) -> Option<Figure> {
    let chart = Chart {
        title: "Reward".into(),
        x: epochs(log),
        y: ChartAxis::new("reward", Format::Number),
        series: vec![
            ChartSeries::line("update", 1, log.curve("controller", "/reward", updates)).with(Mark::Faint),
            ChartSeries::line("mean of the epoch", 1, log.curve("epoch", "/policy/reward", 1)),
            ChartSeries::line("baseline", 2, log.curve("controller", "/baseline", updates)),
        ],
        ..Chart::default()
    };
    figure(
        "reward",
        chart,
        "Mean reward of the arcs of each controller update, and the moving baseline it is compared with.",
    )
}

fn entropy(log: &Log, updates: u64, n_nodes: usize) -> Option<Figure> {
    let most = ArcSpace { n_nodes }.max_entropy();
    let points = log.curve("controller", "/entropy", updates);
    let end = points.last().map(|p| p[1] / most);
    let chart = Chart {
        title: "Entropy of the policy".into(),
        x: epochs(log),
        y: ChartAxis::new("nats", Format::Number).within(0.0, most * 1.12),
        series: vec![ChartSeries::line("entropy", 1, points)],
        rules: vec![Rule { label: format!("uniform choice: {most:.1}"), y: most }],
        ..Chart::default()
    };
    let end = end.map_or(String::new(), |share| {
        format!(" Its last value is {:.1}\u{a0}% of the maximum.", 100.0 * share)
    });
    let caption = format!(
        "How undecided the policy is: {most:.1} nats when all architectures are equally likely, 0 when only one is left.{end}"
    );
    figure("entropy", chart, caption)
}

fn operations(log: &Log, cell: usize) -> Option<Figure> {
    // Networks of the macro search space have no cells.
    if log.curve("epoch", "/policy/op_frequencies/1/0", 1).is_empty() {
        return None;
    }
    let name = ["normal", "reduction"][cell];
    let line = |op: &Op| {
        let pointer = format!("/policy/op_frequencies/{cell}/{}", op.id());
        ChartSeries::line(op.name(), op.id() + 1, log.curve("epoch", &pointer, 1))
    };
    let chart = Chart {
        title: format!("Operations in {name} cells"),
        x: epochs(log),
        y: ChartAxis::new("share of choices", Format::Percent),
        series: Op::ALL.iter().map(line).collect(),
        rules: vec![Rule { label: "uniform choice".into(), y: 1.0 / Op::ALL.len() as f64 }],
        ..Chart::default()
    };
    let caption = format!("How often the policy samples each operation in {name} cells.");
    figure(&format!("ops-{name}"), chart, caption)
}
