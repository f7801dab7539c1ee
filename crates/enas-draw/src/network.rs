//! The drawing of a whole network: its layers from top to bottom, each with a row of a table next to it.

use enas_arc::{Arc, CellKind};
use enas_child::{Child, Costs, Error, InputShape, LayerCost};

use crate::describe::{self, grouped};
use crate::dot::Dot;
use crate::route::HEAD;
use crate::scene::{Point, Rect, Scene, Step, Stroke, Style};
use crate::text;
use crate::theme::Ink;

const MARGIN: f64 = 24.0;
/// Height of the heading above the first layer, in pixels.
const HEADING: f64 = 104.0;
/// Vertical distance between the centres of two layers.
const PITCH: f64 = 48.0;
/// Height of a layer's box.
const BOX: f64 = 30.0;
/// Widths of boxes: at full resolution, reduction per halving of the resolution, minimum.
const WIDTHS: (f64, f64, f64) = (196.0, 22.0, 136.0);
/// How far a wire that passes a layer extends to the left of it.
const DETOUR: f64 = 30.0;
/// Horizontal centre of the layers.
const AXIS: f64 = MARGIN + DETOUR + WIDTHS.0 / 2.0 + 4.0;
/// The auxiliary head: distance of its centre from [`AXIS`], and width.
const AUX: (f64, f64) = (98.0, 124.0);
/// Length of the longest bar, and the gap between a number and its bar.
const BAR: f64 = 84.0;
const BAR_GAP: f64 = 10.0;
/// Gap between columns.
const COLUMN_GAP: f64 = 28.0;
const NORMAL: f64 = 12.0;

/// A row of the drawing.
struct Layer {
    name: String,
    look: Look,
    /// How many reductions have halved height and width of the input.
    halvings: usize,
    cost: Option<LayerCost>,
}

#[derive(Clone, Copy, PartialEq)]
enum Look {
    /// The input images or the classes.
    End,
    /// Stem or classifier.
    Plain,
    Cell(CellKind),
    /// The auxiliary head, right of the other layers, with its number of parameters.
    Aux(usize),
}

/// The drawing of a network without background.
///
/// # Errors
/// If the arc does not fit the network.
pub(crate) fn scene(child: &Child, arc: &Arc) -> Result<Scene, Error> {
    let costs = child.costs(arc)?;
    let layers = layers(child, &costs);
    let mut scene = Scene::new("Network".to_owned(), describe::network(child, &costs));
    let columns = Columns::new(&layers, child, &costs);
    heading(&mut scene, child, &columns);
    let middle = |row: usize| HEADING + PITCH * (row as f64 + 0.5);
    let rects: Vec<Rect> = layers.iter().enumerate().map(|(row, layer)| rect(layer, middle(row))).collect();
    wires(&mut scene, &layers, &rects);
    for (layer, rect) in layers.iter().zip(&rects) {
        draw_layer(&mut scene, layer, *rect);
    }
    let most = Most::of(&layers);
    for (row, layer) in layers.iter().enumerate() {
        numbers(&mut scene, layer, middle(row), (&columns, &most));
    }
    let end = HEADING + PITCH * layers.len() as f64;
    total(&mut scene, child, &costs, (&columns, end));
    scene.width = columns.right;
    scene.height = end + 46.0;
    Ok(scene)
}

fn layers(child: &Child, costs: &Costs) -> Vec<Layer> {
    let InputShape { channels, height, width } = child.input();
    let plain = |name: &str, look, halvings, cost| Layer { name: name.to_owned(), look, halvings, cost };
    let pictures = format!("pictures {channels} × {height} × {width}");
    let mut layers =
        vec![plain(&pictures, Look::End, 0, None), plain("stem", Look::Plain, 0, Some(costs.stem))];
    let mut halvings = 0;
    for (i, (planned, cost)) in child.plan().cells.iter().zip(&costs.cells).enumerate() {
        let kind = if planned.reduction { CellKind::Reduction } else { CellKind::Normal };
        halvings += usize::from(planned.reduction);
        layers.push(Layer {
            name: format!("{kind} cell {i}"),
            look: Look::Cell(kind),
            halvings,
            cost: Some(*cost),
        });
        if let (Some(params), true) = (costs.aux_params, child.plan().aux_after == Some(i)) {
            layers.push(plain("auxiliary head", Look::Aux(params), halvings, None));
        }
    }
    layers.push(plain("mean, classifier", Look::Plain, usize::MAX, Some(costs.classifier)));
    layers.push(plain(&format!("{} classes", child.n_classes()), Look::End, usize::MAX, None));
    layers
}

/// The box of a layer. The lower the resolution of its feature maps, the narrower the box.
fn rect(layer: &Layer, middle: f64) -> Rect {
    let (full, less, least) = WIDTHS;
    match layer.look {
        Look::Aux(_) => Rect::around(AXIS + AUX.0, middle, AUX.1, BOX - 2.0),
        _ => Rect::around(AXIS, middle, (full - less * layer.halvings.min(99) as f64).max(least), BOX),
    }
}

fn heading(scene: &mut Scene, child: &Child, columns: &Columns) {
    scene.words("Network", (MARGIN, 32.0), Style::bold(15.0, Ink::Text));
    let cells = &child.plan().cells;
    let reductions = cells.iter().filter(|cell| cell.reduction).count();
    let weights = if child.arc().is_some() { "" } else { "; weights are shared by all architectures" };
    let text = format!("{} cells, {reductions} of which halve height and width{weights}", cells.len());
    scene.words(text, (MARGIN, 50.0), Style::plain(NORMAL, Ink::Muted));
    let style = Style::plain(NORMAL, Ink::Muted);
    let y = HEADING - 18.0;
    let ends = [columns.output, columns.params, columns.macs];
    for (title, x) in TITLES.into_iter().zip(ends) {
        scene.words(title, (x, y), style.to_the_left());
    }
    let rule = Rect { x: MARGIN, y: HEADING - 8.0, w: columns.right - 2.0 * MARGIN, h: 1.0 };
    scene.rect(rule, 0.0, Ink::Frame, None);
}

/// Draws the connections between layers.
fn wires(scene: &mut Scene, layers: &[Layer], rects: &[Rect]) {
    let trunk: Vec<usize> = (0..layers.len()).filter(|i| !matches!(layers[*i].look, Look::Aux(_))).collect();
    // Every cell reads the two layers before it; before the first cell there is only the stem.
    for three in trunk.windows(3) {
        if matches!(layers[three[2]].look, Look::Cell(_)) && layers[three[0]].look != Look::End {
            detour(scene, rects[three[0]], rects[three[2]]);
        }
    }
    for two in trunk.windows(2) {
        let (from, to) = (rects[two[0]].bottom(), rects[two[1]].y);
        let steps = vec![Step::Move((AXIS, from)), Step::Line((AXIS, to - HEAD + 1.0))];
        scene.line(steps, Stroke::solid(Ink::Wire, 1.6));
        head(scene, (AXIS, to), false);
    }
    for (i, layer) in layers.iter().enumerate() {
        if let Look::Aux(_) = layer.look {
            to_the_side(scene, rects[i - 1], rects[i]);
        }
    }
}

/// Draws a wire that passes one layer on its left.
fn detour(scene: &mut Scene, from: Rect, to: Rect) {
    let (y0, y1) = (from.centre().1 + 5.0, to.centre().1 - 5.0);
    let x = MARGIN - 2.0;
    let steps = vec![Step::Move((from.x, y0)), Step::Cubic((x, y0), (x, y1), (to.x - HEAD + 1.0, y1))];
    scene.line(steps.clone(), Stroke::solid(Ink::Paper, 5.0));
    scene.line(steps, Stroke::solid(Ink::Wire, 1.2));
    head(scene, (to.x, y1), true);
}

/// Draws the wire from the right side of a layer to the top of the auxiliary head.
fn to_the_side(scene: &mut Scene, from: Rect, to: Rect) {
    let (start, end) = ((from.right(), from.centre().1), (to.centre().0, to.y));
    let corner = (end.0, start.1);
    let steps = vec![Step::Move(start), Step::Cubic(corner, corner, (end.0, end.1 - HEAD + 1.0))];
    scene.line(steps, Stroke::solid(Ink::Wire, 1.6));
    head(scene, end, false);
}

/// Draws an arrow head that points to the right or down.
fn head(scene: &mut Scene, (x, y): Point, right: bool) {
    let (a, b) = if right {
        ((x - HEAD, y - 4.0), (x - HEAD, y + 4.0))
    } else {
        ((x - 4.0, y - HEAD), (x + 4.0, y - HEAD))
    };
    scene.filled(vec![Step::Move((x, y)), Step::Line(a), Step::Line(b), Step::Close], Ink::Wire);
}

fn draw_layer(scene: &mut Scene, layer: &Layer, rect: Rect) {
    let (fill, edge, text) = match layer.look {
        Look::End => (Ink::Paper, Ink::CardEdge, Ink::Text),
        Look::Plain => (Ink::State, Ink::StateEdge, Ink::Text),
        Look::Cell(kind) => (Ink::Layer(kind), Ink::LayerEdge(kind), Ink::LayerText(kind)),
        Look::Aux(_) => (Ink::Paper, Ink::StateEdge, Ink::Text),
    };
    let stroke = Stroke { ink: edge, width: 1.2, dashed: matches!(layer.look, Look::Aux(_)) };
    let radius = if layer.look == Look::End { rect.h / 2.0 } else { 7.0 };
    scene.rect(rect, radius, fill, Some(stroke));
    scene.centred(layer.name.as_str(), rect.centre(), Style::plain(NORMAL, text));
}

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
    fn new(layers: &[Layer], child: &Child, costs: &Costs) -> Columns {
        let widest = |column: usize, words: &[String]| {
            let titled = words.iter().map(String::as_str).chain(TITLES.get(column).copied());
            // Measured in bold, as the totals are bold.
            titled.map(|word| text::width(word, NORMAL, true)).fold(0.0, f64::max).ceil()
        };
        let all = |word: &dyn Fn(&LayerCost) -> String| -> Vec<String> {
            layers.iter().filter_map(|layer| layer.cost.as_ref()).map(word).collect()
        };
        let mut params = all(&|cost| grouped(cost.params as u64));
        params.extend([child.n_params(), costs.aux_params.unwrap_or(0)].map(|n| grouped(n as u64)));
        let mut macs = all(&|cost| grouped(cost.macs));
        macs.extend([grouped(describe::macs(costs)), TRAINING.to_owned()]);
        // The title of the first column may extend over the layers; its numbers may not.
        let outputs = widest(TITLES.len(), &all(&describe::size));
        let beside = AXIS + AUX.0 + AUX.1 / 2.0 + COLUMN_GAP / 2.0;
        let output = (beside + outputs).max(MARGIN + widest(0, &[]));
        let params = output + COLUMN_GAP + widest(1, &params);
        let macs = params + BAR_GAP + BAR + COLUMN_GAP + widest(2, &macs);
        Columns { output, params, macs, right: macs + BAR_GAP + BAR + MARGIN }
    }
}

/// The values that a bar of full length represents: the largest of all layers.
struct Most {
    params: usize,
    macs: u64,
}

impl Most {
    fn of(layers: &[Layer]) -> Most {
        let costs = || layers.iter().filter_map(|layer| layer.cost);
        Most {
            params: costs().map(|cost| cost.params).max().unwrap_or(1).max(1),
            macs: costs().map(|cost| cost.macs).max().unwrap_or(1).max(1),
        }
    }
}

fn numbers(scene: &mut Scene, layer: &Layer, middle: f64, (columns, most): (&Columns, &Most)) {
    let y = middle + 0.36 * NORMAL;
    let style = Style::plain(NORMAL, Ink::Text).to_the_left();
    if let Look::Aux(params) = layer.look {
        let muted = Style { ink: Ink::Muted, ..style };
        scene.words(grouped(params as u64), (columns.params, y), muted);
        scene.words(TRAINING, (columns.macs, y), muted);
    }
    let Some(cost) = layer.cost else { return };
    scene.words(describe::size(&cost), (columns.output, y), style);
    scene.words(grouped(cost.params as u64), (columns.params, y), style);
    scene.words(grouped(cost.macs), (columns.macs, y), style);
    for (x, share) in [
        (columns.params, cost.params as f64 / most.params as f64),
        (columns.macs, cost.macs as f64 / most.macs as f64),
    ] {
        let rect = Rect { x: x + BAR_GAP, y: middle - 6.0, w: (BAR * share).max(1.5), h: 12.0 };
        scene.rect(rect, 2.0, Ink::Bar, None);
    }
}

fn total(scene: &mut Scene, child: &Child, costs: &Costs, (columns, y): (&Columns, f64)) {
    let rule = Rect { x: MARGIN, y, w: columns.right - 2.0 * MARGIN, h: 1.0 };
    scene.rect(rule, 0.0, Ink::Frame, None);
    let y = y + 24.0;
    let style = Style::bold(NORMAL, Ink::Text);
    let name = if costs.aux_params.is_some() { "total, without the auxiliary head" } else { "total" };
    scene.words(name, (MARGIN, y), style);
    scene.words(grouped(child.n_params() as u64), (columns.params, y), style.to_the_left());
    scene.words(grouped(describe::macs(costs)), (columns.macs, y), style.to_the_left());
}

/// A whole network as a graph in the DOT language, for Graphviz's `dot`.
///
/// # Errors
/// If the arc does not fit the network.
pub fn network_dot(child: &Child, arc: &Arc) -> Result<String, Error> {
    let costs = child.costs(arc)?;
    let layers = layers(child, &costs);
    let mut dot = Dot::begin("network");
    let mut before: Vec<usize> = Vec::new();
    for (i, layer) in layers.iter().enumerate() {
        let numbers = match (layer.cost, layer.look) {
            (Some(cost), _) => format!(
                "\\n{}\\n{} parameters\\n{} multiply-adds",
                describe::size(&cost),
                grouped(cost.params as u64),
                grouped(cost.macs)
            ),
            (None, Look::Aux(params)) => {
                format!("\\n{} parameters\\nin training only", grouped(params as u64))
            }
            (None, _) => String::new(),
        };
        dot.line(1, &format!("l{i} [label=\"{}{numbers}\"{}];", layer.name, colours(layer.look)));
        let newest_first: Vec<usize> = before.iter().rev().copied().collect();
        if let Some(last) = newest_first.first() {
            dot.line(1, &format!("l{last} -> l{i};"));
        }
        if let (Look::Cell(_), Some(second)) = (layer.look, newest_first.get(1).filter(|second| **second > 0))
        {
            dot.line(1, &format!("l{second} -> l{i} [constraint=false];"));
        }
        if !matches!(layer.look, Look::Aux(_)) {
            before.push(i);
        }
    }
    Ok(dot.end())
}

/// DOT attributes with the light colours of a layer, where they differ from the default.
fn colours(look: Look) -> String {
    match look {
        Look::Cell(kind) => {
            let inks = [Ink::Layer(kind), Ink::LayerEdge(kind), Ink::LayerText(kind)];
            let [fill, edge, text] = inks.map(|ink| ink.colours()[0]);
            format!(", fillcolor=\"#{fill:06x}\", color=\"#{edge:06x}\", fontcolor=\"#{text:06x}\"")
        }
        Look::Aux(_) => ", style=\"rounded,dashed\"".to_owned(),
        Look::End | Look::Plain => String::new(),
    }
}
