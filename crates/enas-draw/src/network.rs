//! The drawing of a whole network: its layers from top to bottom, each with a row of a table next to it.

use enas_arc::{Arc, CellKind, MacroArc, MacroOp, Op};
use enas_child::{Child, Costs, Error, InputShape, LayerCost, MacroChild};

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
/// How far a wire that passes one layer extends to the left of it, in pixels.
const DETOUR: f64 = 30.0;
/// How much farther a wire extends for each additional layer that it passes, and how far at most, in pixels.
const FARTHER: (f64, f64) = (9.0, 120.0);
/// The auxiliary head: distance of its centre from the axis of the other layers, and width.
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
    /// A layer of the macro search space.
    Operation(MacroOp),
    /// The auxiliary head, right of the other layers, with its number of parameters.
    Aux(usize),
}

/// The data of a drawing, for a network of either search space.
pub(crate) struct Diagram {
    layers: Vec<Layer>,
    /// Wires that pass other layers on their way: indices `(from, to)` in `layers`.
    skips: Vec<(usize, usize)>,
    costs: Costs,
    params: usize,
    /// The line below the title.
    subtitle: String,
    /// A description for screen readers.
    description: String,
}

impl Diagram {
    /// The diagram of a network of cells.
    ///
    /// # Errors
    /// If the arc does not fit the network.
    pub(crate) fn of_cells(child: &Child, arc: &Arc) -> Result<Self, Error> {
        let costs = child.costs(arc)?;
        let layers = layers_of_cells(child, &costs);
        let trunk: Vec<usize> = trunk(&layers).collect();
        // Every cell reads the two layers before it; before the first cell there is only the stem.
        let reads_two = |three: &&[usize]| {
            matches!(layers[three[2]].look, Look::Cell(_)) && layers[three[0]].look != Look::End
        };
        let skips = trunk.windows(3).filter(reads_two).map(|three| (three[0], three[2])).collect();
        let cells = &child.layout().cells;
        let reductions = cells.iter().filter(|cell| cell.reduction).count();
        let n = cells.len();
        let subtitle = format!(
            "{n} cells, {reductions} of which halve height and width{}",
            sharing(child.arc().is_some())
        );
        let description = describe::network(child, &costs);
        Ok(Self { layers, skips, params: child.n_params(), subtitle, description, costs })
    }

    /// The diagram of a network of the macro search space.
    ///
    /// # Errors
    /// If the arc does not fit the network.
    pub(crate) fn of_layers(child: &MacroChild, arc: &MacroArc) -> Result<Self, Error> {
        let costs = child.costs(arc)?;
        let layers = layers_of_operations(child, arc, &costs);
        // An arc counts the stem as layer 0. The stem has index 1 in the drawing, after the images.
        let added = |(index, layer): (usize, &enas_arc::MacroLayer)| {
            layer.added().map(move |from| (from + 1, index + 2)).collect::<Vec<_>>()
        };
        let skips: Vec<(usize, usize)> = arc.layers().iter().enumerate().flat_map(added).collect();
        let reductions = child.config().reductions().len();
        let subtitle = format!(
            "{} layers, height and width halved {reductions} times, {} skip connections{}",
            arc.n_layers(),
            skips.len(),
            sharing(child.arc().is_some())
        );
        let description = describe::macro_network(child, &costs, skips.len());
        Ok(Self { layers, skips, params: child.n_params(), subtitle, description, costs })
    }
}

fn sharing(is_fixed: bool) -> &'static str {
    if is_fixed { "" } else { "; weights are shared by all architectures" }
}

/// Indices of the layers from images to classes, without the auxiliary head.
fn trunk(layers: &[Layer]) -> impl Iterator<Item = usize> {
    (0..layers.len()).filter(|i| !matches!(layers[*i].look, Look::Aux(_)))
}

/// The drawing of a network without background.
pub(crate) fn scene(diagram: &Diagram) -> Scene {
    let Diagram { layers, costs, description, .. } = diagram;
    let mut scene = Scene::new("Network".to_owned(), description.clone());
    let axis = axis(diagram);
    let columns = Columns::new(diagram, axis);
    heading(&mut scene, diagram, &columns);
    let middle = |row: usize| HEADING + PITCH * (row as f64 + 0.5);
    let rects: Vec<Rect> =
        layers.iter().enumerate().map(|(row, layer)| rect(layer, (axis, middle(row)))).collect();
    wires(&mut scene, diagram, &rects);
    for (layer, rect) in layers.iter().zip(&rects) {
        draw_layer(&mut scene, layer, *rect);
    }
    let most = Most::of(layers);
    for (row, layer) in layers.iter().enumerate() {
        numbers(&mut scene, layer, middle(row), (&columns, &most));
    }
    let end = HEADING + PITCH * layers.len() as f64;
    total(&mut scene, (diagram.params, costs), (&columns, end));
    scene.width = columns.right;
    scene.height = end + 46.0;
    scene
}

/// How far to the left of the layers a wire extends. The auxiliary head, which stands to their right, does not count.
fn detour_of(layers: &[Layer], (from, to): (usize, usize)) -> f64 {
    let apart = trunk(layers).filter(|layer| (from + 1..=to).contains(layer)).count();
    let (farther, most) = FARTHER;
    (DETOUR + farther * apart.saturating_sub(2) as f64).min(most)
}

/// Horizontal centre of the layers. The wire that extends farthest fits between the margin and the layers.
fn axis(diagram: &Diagram) -> f64 {
    let longest = diagram.skips.iter().map(|skip| detour_of(&diagram.layers, *skip)).fold(DETOUR, f64::max);
    MARGIN + longest + WIDTHS.0 / 2.0 + 4.0
}

fn plain(name: &str, look: Look, halvings: usize, cost: Option<LayerCost>) -> Layer {
    Layer { name: name.to_owned(), look, halvings, cost }
}

/// The images and the stem.
fn first_layers(InputShape { channels, height, width }: InputShape, costs: &Costs) -> Vec<Layer> {
    let images = format!("pictures {channels} × {height} × {width}");
    vec![plain(&images, Look::End, 0, None), plain("stem", Look::Plain, 0, Some(costs.stem))]
}

/// The classifier and the classes.
fn last_layers(classes: usize, costs: &Costs) -> [Layer; 2] {
    [
        plain("mean, classifier", Look::Plain, usize::MAX, Some(costs.classifier)),
        plain(&format!("{classes} classes"), Look::End, usize::MAX, None),
    ]
}

fn layers_of_cells(child: &Child, costs: &Costs) -> Vec<Layer> {
    let mut layers = first_layers(child.input(), costs);
    let mut halvings = 0;
    for (i, (planned, cost)) in child.layout().cells.iter().zip(&costs.cells).enumerate() {
        let kind = if planned.reduction { CellKind::Reduction } else { CellKind::Normal };
        halvings += usize::from(planned.reduction);
        layers.push(plain(&format!("{kind} cell {i}"), Look::Cell(kind), halvings, Some(*cost)));
        if let (Some(params), true) = (costs.aux_params, child.layout().aux_after == Some(i)) {
            layers.push(plain("auxiliary head", Look::Aux(params), halvings, None));
        }
    }
    layers.extend(last_layers(child.n_classes(), costs));
    layers
}

fn layers_of_operations(child: &MacroChild, arc: &MacroArc, costs: &Costs) -> Vec<Layer> {
    let mut layers = first_layers(child.input(), costs);
    let (reductions, mut halvings) = (child.config().reductions(), 0);
    for (i, (layer, cost)) in arc.layers().iter().zip(&costs.cells).enumerate() {
        let halved = if reductions.contains(&i) { ", halved" } else { "" };
        let name = format!("{}: {}{halved}", i + 1, layer.op);
        layers.push(plain(&name, Look::Operation(layer.op), halvings, Some(*cost)));
        halvings += usize::from(reductions.contains(&i));
    }
    layers.extend(last_layers(child.n_classes(), costs));
    layers
}

/// The box of a layer. The lower the resolution of its feature maps, the narrower the box.
fn rect(layer: &Layer, (axis, middle): Point) -> Rect {
    let (full, less, least) = WIDTHS;
    match layer.look {
        Look::Aux(_) => Rect::around(axis + AUX.0, middle, AUX.1, BOX - 2.0),
        _ => Rect::around(axis, middle, (full - less * layer.halvings.min(99) as f64).max(least), BOX),
    }
}

fn heading(scene: &mut Scene, diagram: &Diagram, columns: &Columns) {
    scene.words("Network", (MARGIN, 32.0), Style::bold(15.0, Ink::Text));
    scene.words(diagram.subtitle.as_str(), (MARGIN, 50.0), Style::plain(NORMAL, Ink::Muted));
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
fn wires(scene: &mut Scene, Diagram { layers, skips, .. }: &Diagram, rects: &[Rect]) {
    for &(from, to) in skips {
        detour(scene, (rects[from], rects[to]), detour_of(layers, (from, to)));
    }
    let trunk: Vec<usize> = trunk(layers).collect();
    for two in trunk.windows(2) {
        let (from, to) = (rects[two[0]], rects[two[1]]);
        let x = from.centre().0;
        let steps = vec![Step::Move((x, from.bottom())), Step::Line((x, to.y - HEAD + 1.0))];
        scene.line(steps, Stroke::solid(Ink::Wire, 1.6));
        head(scene, (x, to.y), false);
    }
    for (i, layer) in layers.iter().enumerate() {
        if let Look::Aux(_) = layer.look {
            to_the_side(scene, rects[i - 1], rects[i]);
        }
    }
}

/// Draws a wire that passes layers on their left, `distance` pixels from the widest box plus a fixed gap.
fn detour(scene: &mut Scene, (from, to): (Rect, Rect), distance: f64) {
    let (y0, y1) = (from.centre().1 + 5.0, to.centre().1 - 5.0);
    let x = from.centre().0 - WIDTHS.0 / 2.0 - 6.0 - distance;
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
        Look::Operation(op) => {
            let op = nearest(op);
            (Ink::Op(op), Ink::OpEdge(op), Ink::OpText(op))
        }
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
    fn new(Diagram { layers, costs, params: total, .. }: &Diagram, axis: f64) -> Columns {
        let widest = |column: usize, words: &[String]| {
            let titled = words.iter().map(String::as_str).chain(TITLES.get(column).copied());
            // Measured in bold, as the totals are bold.
            titled.map(|word| text::width(word, NORMAL, true)).fold(0.0, f64::max).ceil()
        };
        let all = |word: &dyn Fn(&LayerCost) -> String| -> Vec<String> {
            layers.iter().filter_map(|layer| layer.cost.as_ref()).map(word).collect()
        };
        let mut params = all(&|cost| grouped(cost.params as u64));
        params.extend([*total, costs.aux_params.unwrap_or(0)].map(|n| grouped(n as u64)));
        let mut macs = all(&|cost| grouped(cost.macs));
        macs.extend([grouped(costs.macs()), TRAINING.to_owned()]);
        // The title of the first column may extend over the layers; its numbers may not.
        let outputs = widest(TITLES.len(), &all(&describe::size));
        let beside = axis + AUX.0 + AUX.1 / 2.0 + COLUMN_GAP / 2.0;
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

fn total(scene: &mut Scene, (params, costs): (usize, &Costs), (columns, y): (&Columns, f64)) {
    let rule = Rect { x: MARGIN, y, w: columns.right - 2.0 * MARGIN, h: 1.0 };
    scene.rect(rule, 0.0, Ink::Frame, None);
    let y = y + 24.0;
    let style = Style::bold(NORMAL, Ink::Text);
    let name = if costs.aux_params.is_some() { "total, without the auxiliary head" } else { "total" };
    scene.words(name, (MARGIN, y), style);
    scene.words(grouped(params as u64), (columns.params, y), style.to_the_left());
    scene.words(grouped(costs.macs()), (columns.macs, y), style.to_the_left());
}

/// A whole network as a graph in the DOT language, for Graphviz's `dot`.
///
/// # Errors
/// If the arc does not fit the network.
pub fn network_dot(child: &Child, arc: &Arc) -> Result<String, Error> {
    Ok(dot(&Diagram::of_cells(child, arc)?))
}

/// A network of the macro search space as a graph in the DOT language, for Graphviz's `dot`.
///
/// # Errors
/// If the arc does not fit the network.
pub fn macro_network_dot(child: &MacroChild, arc: &MacroArc) -> Result<String, Error> {
    Ok(dot(&Diagram::of_layers(child, arc)?))
}

fn dot(Diagram { layers, skips, .. }: &Diagram) -> String {
    let mut dot = Dot::begin("network");
    let mut last = None;
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
        if let Some(last) = last {
            dot.line(1, &format!("l{last} -> l{i};"));
        }
        for (from, _) in skips.iter().filter(|(_, to)| *to == i) {
            dot.line(1, &format!("l{from} -> l{i} [constraint=false];"));
        }
        if !matches!(layer.look, Look::Aux(_)) {
            last = Some(i);
        }
    }
    dot.end()
}

/// DOT attributes with the light colours of a layer, where they differ from the default.
fn colours(look: Look) -> String {
    let filled = |inks: [Ink; 3]| {
        let [fill, edge, text] = inks.map(|ink| ink.colours()[0]);
        format!(", fillcolor=\"#{fill:06x}\", color=\"#{edge:06x}\", fontcolor=\"#{text:06x}\"")
    };
    match look {
        Look::Cell(kind) => filled([Ink::Layer(kind), Ink::LayerEdge(kind), Ink::LayerText(kind)]),
        Look::Operation(op) => {
            let op = nearest(op);
            filled([Ink::Op(op), Ink::OpEdge(op), Ink::OpText(op)])
        }
        Look::Aux(_) => ", style=\"rounded,dashed\"".to_owned(),
        Look::End | Look::Plain => String::new(),
    }
}

/// The micro operation with the colours of a macro operation. Full and separable convolutions of the same kernel size
/// share colours.
fn nearest(op: MacroOp) -> Op {
    match op {
        MacroOp::Conv3x3 | MacroOp::SepConv3x3 => Op::SepConv3x3,
        MacroOp::Conv5x5 | MacroOp::SepConv5x5 => Op::SepConv5x5,
        MacroOp::AvgPool3x3 => Op::AvgPool3x3,
        MacroOp::MaxPool3x3 => Op::MaxPool3x3,
    }
}
