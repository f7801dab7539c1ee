//! The drawing of a whole network: its layers from top to bottom, each with a row of a table next to it.

use crate::diagram::{Diagram, Layer, LayerKind, micro_op, trunk};
use crate::drawing::{Drawing, PathCommand, Point, Rect, Stroke, TextStyle};
use crate::network_table::{MARGIN, NORMAL, NetworkTable};
use crate::route::ARROW_HEAD;
use crate::theme::ColourRole;

/// Height of the heading above the first layer, in pixels.
const HEADING: f64 = 104.0;
/// Vertical distance between the centres of two layers.
const PITCH: f64 = 48.0;
/// Height of a layer's box.
const BOX: f64 = 30.0;
/// Widths of boxes: at full resolution, reduction per halving of the resolution, minimum.
const WIDTHS: (f64, f64, f64) = (196.0, 22.0, 136.0);
/// How far an edge that passes one layer extends to the left of it, in pixels.
const DETOUR: f64 = 30.0;
/// How much farther an edge extends for each additional layer that it passes, and how far at most, in pixels.
const FARTHER: (f64, f64) = (9.0, 120.0);
/// The auxiliary head: distance of its centre from the axis of the other layers, and width.
const AUX: (f64, f64) = (98.0, 124.0);

/// The drawing of a network without background.
pub(crate) fn drawing(diagram: &Diagram) -> Drawing {
    let Diagram { layers, description, .. } = diagram;
    let mut drawing = Drawing::new("Network".to_owned(), description.clone());
    let axis = axis(diagram);
    let table = NetworkTable::new(diagram, axis + AUX.0 + AUX.1 / 2.0);
    heading(&mut drawing, diagram, &table);
    let middle = |row: usize| HEADING + PITCH * (row as f64 + 0.5);
    let rects: Vec<Rect> =
        layers.iter().enumerate().map(|(row, layer)| rect(layer, (axis, middle(row)))).collect();
    edges(&mut drawing, diagram, &rects);
    for (layer, rect) in layers.iter().zip(&rects) {
        draw_layer(&mut drawing, layer, *rect);
    }
    for (row, layer) in layers.iter().enumerate() {
        table.row(&mut drawing, layer, middle(row));
    }
    let end = HEADING + PITCH * layers.len() as f64;
    table.total(&mut drawing, diagram, end);
    drawing.width = table.right();
    drawing.height = end + 46.0;
    drawing
}

/// How far to the left of the layers an edge extends. The auxiliary head, which stands to their right, does not count.
fn detour_of(layers: &[Layer], from: usize, to: usize) -> f64 {
    let apart = trunk(layers).filter(|layer| (from + 1..=to).contains(layer)).count();
    let (farther, most) = FARTHER;
    (DETOUR + farther * apart.saturating_sub(2) as f64).min(most)
}

/// Horizontal centre of the layers. The edge that extends farthest fits between the margin and the layers.
fn axis(diagram: &Diagram) -> f64 {
    let longest =
        diagram.skips.iter().map(|&(from, to)| detour_of(&diagram.layers, from, to)).fold(DETOUR, f64::max);
    MARGIN + longest + WIDTHS.0 / 2.0 + 4.0
}

/// The box of a layer. The lower the resolution of its feature maps, the narrower the box.
fn rect(layer: &Layer, (axis, middle): Point) -> Rect {
    let (full, less, least) = WIDTHS;
    match layer.kind {
        LayerKind::Aux(_) => Rect::around(axis + AUX.0, middle, AUX.1, BOX - 2.0),
        _ => Rect::around(axis, middle, (full - less * layer.halvings.min(99) as f64).max(least), BOX),
    }
}

fn heading(drawing: &mut Drawing, diagram: &Diagram, table: &NetworkTable) {
    drawing.text("Network", (MARGIN, 32.0), TextStyle::bold(15.0, ColourRole::Text));
    drawing.text(diagram.subtitle.as_str(), (MARGIN, 50.0), TextStyle::plain(NORMAL, ColourRole::Muted));
    table.titles(drawing, HEADING - 18.0);
    table.rule(drawing, HEADING - 8.0);
}

/// Draws the connections between layers.
fn edges(drawing: &mut Drawing, Diagram { layers, skips, .. }: &Diagram, rects: &[Rect]) {
    for &(from, to) in skips {
        detour(drawing, rects[from], rects[to], detour_of(layers, from, to));
    }
    let trunk: Vec<usize> = trunk(layers).collect();
    for two in trunk.windows(2) {
        let from = rects[two[0]];
        let to = rects[two[1]];
        let x = from.centre().0;
        let commands =
            vec![PathCommand::Move((x, from.bottom())), PathCommand::Line((x, to.y - ARROW_HEAD + 1.0))];
        drawing.line(commands, Stroke::solid(ColourRole::Edge, 1.6));
        arrow_head(drawing, (x, to.y), false);
    }
    for (i, layer) in layers.iter().enumerate() {
        if let LayerKind::Aux(_) = layer.kind {
            edge_to_aux(drawing, rects[i - 1], rects[i]);
        }
    }
}

/// Draws an edge that passes layers on their left, `distance` pixels from the widest box plus a fixed gap.
fn detour(drawing: &mut Drawing, from: Rect, to: Rect, distance: f64) {
    let y0 = from.centre().1 + 5.0;
    let y1 = to.centre().1 - 5.0;
    let x = from.centre().0 - WIDTHS.0 / 2.0 - 6.0 - distance;
    let commands = vec![
        PathCommand::Move((from.x, y0)),
        PathCommand::Cubic((x, y0), (x, y1), (to.x - ARROW_HEAD + 1.0, y1)),
    ];
    drawing.line(commands.clone(), Stroke::solid(ColourRole::Paper, 5.0));
    drawing.line(commands, Stroke::solid(ColourRole::Edge, 1.2));
    arrow_head(drawing, (to.x, y1), true);
}

/// Draws the edge from the right side of a layer to the top of the auxiliary head.
fn edge_to_aux(drawing: &mut Drawing, from: Rect, to: Rect) {
    let start = (from.right(), from.centre().1);
    let end = (to.centre().0, to.y);
    let corner = (end.0, start.1);
    let commands =
        vec![PathCommand::Move(start), PathCommand::Cubic(corner, corner, (end.0, end.1 - ARROW_HEAD + 1.0))];
    drawing.line(commands, Stroke::solid(ColourRole::Edge, 1.6));
    arrow_head(drawing, end, false);
}

/// Draws an arrow head that points to the right or down.
fn arrow_head(drawing: &mut Drawing, (x, y): Point, right: bool) {
    let (a, b) = if right {
        ((x - ARROW_HEAD, y - 4.0), (x - ARROW_HEAD, y + 4.0))
    } else {
        ((x - 4.0, y - ARROW_HEAD), (x + 4.0, y - ARROW_HEAD))
    };
    drawing.filled(
        vec![PathCommand::Move((x, y)), PathCommand::Line(a), PathCommand::Line(b), PathCommand::Close],
        ColourRole::Edge,
    );
}

fn draw_layer(drawing: &mut Drawing, layer: &Layer, rect: Rect) {
    let (fill, edge, text) = match layer.kind {
        LayerKind::End => (ColourRole::Paper, ColourRole::CardEdge, ColourRole::Text),
        LayerKind::Plain => (ColourRole::State, ColourRole::StateEdge, ColourRole::Text),
        LayerKind::Cell(kind) => {
            (ColourRole::Layer(kind), ColourRole::LayerEdge(kind), ColourRole::LayerText(kind))
        }
        LayerKind::Operation(op) => {
            let op = micro_op(op);
            (ColourRole::Op(op), ColourRole::OpEdge(op), ColourRole::OpText(op))
        }
        LayerKind::Aux(_) => (ColourRole::Paper, ColourRole::StateEdge, ColourRole::Text),
    };
    let stroke = Stroke { colour: edge, width: 1.2, dashed: matches!(layer.kind, LayerKind::Aux(_)) };
    let radius = if layer.kind == LayerKind::End { rect.h / 2.0 } else { 7.0 };
    drawing.rect(rect, radius, fill, Some(stroke));
    drawing.centred(layer.name.as_str(), rect.centre(), TextStyle::plain(NORMAL, text));
}
