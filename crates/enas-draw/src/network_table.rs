//! The table next to the layers of a network: output shapes, parameters and multiply-adds, with bars.

use enas_child::LayerCost;

use crate::describe::{self, grouped};
use crate::diagram::{Diagram, Layer, LayerKind};
use crate::drawing::{Drawing, Rect, TextStyle};
use crate::text;
use crate::theme::ColourRole;

/// Distance from the border to the contents, in pixels.
pub(crate) const MARGIN: f64 = 24.0;
/// Font size of the names and numbers, in pixels.
pub(crate) const NORMAL: f64 = 12.0;
/// Length of the longest bar, and the gap between a number and its bar.
const BAR: f64 = 84.0;
const BAR_GAP: f64 = 10.0;
/// Gap between columns.
const COLUMN_GAP: f64 = 28.0;

const TITLES: [&str; 3] = ["channels × height × width", "parameters", "multiply-adds"];
const TRAINING: &str = "in training only";

/// The right edges of the columns of numbers, and the width of the drawing.
struct Columns {
    output: f64,
    params: f64,
    macs: f64,
    right: f64,
}

impl Columns {
    /// Makes each column as wide as its widest text.
    fn new(Diagram { layers, costs, params: total, .. }: &Diagram, layers_right: f64) -> Columns {
        let widest = |column: usize, texts: &[String]| {
            let titled = texts.iter().map(String::as_str).chain(TITLES.get(column).copied());
            // Measured in bold, as the totals are bold.
            titled.map(|line| text::width(line, NORMAL, true)).fold(0.0, f64::max).ceil()
        };
        let all = |text: &dyn Fn(&LayerCost) -> String| -> Vec<String> {
            layers.iter().filter_map(|layer| layer.cost.as_ref()).map(text).collect()
        };
        let mut params = all(&|cost| grouped(cost.params as u64));
        params.extend([*total, costs.aux_params.unwrap_or(0)].map(|n| grouped(n as u64)));
        let mut macs = all(&|cost| grouped(cost.macs));
        macs.extend([grouped(costs.macs()), TRAINING.to_owned()]);
        // The title of the first column may extend over the layers; its numbers may not.
        let outputs = widest(TITLES.len(), &all(&describe::size));
        let left = layers_right + COLUMN_GAP / 2.0;
        let output = (left + outputs).max(MARGIN + widest(0, &[]));
        let params = output + COLUMN_GAP + widest(1, &params);
        let macs = params + BAR_GAP + BAR + COLUMN_GAP + widest(2, &macs);
        Columns { output, params, macs, right: macs + BAR_GAP + BAR + MARGIN }
    }
}

/// The values that a bar of full length represents: the largest of all layers.
struct BarScale {
    params: usize,
    macs: u64,
}

impl BarScale {
    fn of(layers: &[Layer]) -> BarScale {
        let costs = || layers.iter().filter_map(|layer| layer.cost);
        BarScale {
            params: costs().map(|cost| cost.params).max().unwrap_or(1).max(1),
            macs: costs().map(|cost| cost.macs).max().unwrap_or(1).max(1),
        }
    }
}

/// The columns of a network's table and the scale of its bars.
pub(crate) struct NetworkTable {
    columns: Columns,
    scale: BarScale,
}

impl NetworkTable {
    /// The table of a network whose layers end at `layers_right` pixels from the left.
    pub(crate) fn new(diagram: &Diagram, layers_right: f64) -> NetworkTable {
        NetworkTable { columns: Columns::new(diagram, layers_right), scale: BarScale::of(&diagram.layers) }
    }

    /// The width of the drawing with its right margin.
    pub(crate) fn right(&self) -> f64 {
        self.columns.right
    }

    /// Draws the column titles on the baseline `y`.
    pub(crate) fn titles(&self, drawing: &mut Drawing, y: f64) {
        let style = TextStyle::plain(NORMAL, ColourRole::Muted);
        let ends = [self.columns.output, self.columns.params, self.columns.macs];
        for (title, x) in TITLES.into_iter().zip(ends) {
            drawing.text(title, (x, y), style.right_aligned());
        }
    }

    /// Draws a horizontal rule over the whole width.
    pub(crate) fn rule(&self, drawing: &mut Drawing, y: f64) {
        let rule = Rect { x: MARGIN, y, w: self.columns.right - 2.0 * MARGIN, h: 1.0 };
        drawing.rect(rule, 0.0, ColourRole::Frame, None);
    }

    /// Draws the numbers and bars of a layer, vertically centred at `middle`.
    pub(crate) fn row(&self, drawing: &mut Drawing, layer: &Layer, middle: f64) {
        let columns = &self.columns;
        let y = middle + 0.36 * NORMAL;
        let style = TextStyle::plain(NORMAL, ColourRole::Text).right_aligned();
        if let LayerKind::Aux(params) = layer.kind {
            let muted = TextStyle { colour: ColourRole::Muted, ..style };
            drawing.text(grouped(params as u64), (columns.params, y), muted);
            drawing.text(TRAINING, (columns.macs, y), muted);
        }
        let Some(cost) = layer.cost else { return };
        drawing.text(describe::size(&cost), (columns.output, y), style);
        drawing.text(grouped(cost.params as u64), (columns.params, y), style);
        drawing.text(grouped(cost.macs), (columns.macs, y), style);
        for (x, share) in [
            (columns.params, cost.params as f64 / self.scale.params as f64),
            (columns.macs, cost.macs as f64 / self.scale.macs as f64),
        ] {
            let rect = Rect { x: x + BAR_GAP, y: middle - 6.0, w: (BAR * share).max(1.5), h: 12.0 };
            drawing.rect(rect, 2.0, ColourRole::Bar, None);
        }
    }

    /// Draws the sums below a rule at `y`.
    pub(crate) fn total(&self, drawing: &mut Drawing, diagram: &Diagram, y: f64) {
        self.rule(drawing, y);
        let Diagram { params, costs, .. } = diagram;
        let y = y + 24.0;
        let style = TextStyle::bold(NORMAL, ColourRole::Text);
        let name = if costs.aux_params.is_some() { "total, without the auxiliary head" } else { "total" };
        drawing.text(name, (MARGIN, y), style);
        drawing.text(grouped(*params as u64), (self.columns.params, y), style.right_aligned());
        drawing.text(grouped(costs.macs()), (self.columns.macs, y), style.right_aligned());
    }
}
