//! The drawing of a cell: inputs on top, each node below the states it reads, loose ends concatenated at the bottom.

use enas_arc::{Branch, Cell, CellKind, Node};

use crate::describe;
use crate::drawing::{Drawing, Item, PathCommand, Point, Rect, Stroke, TextStyle};
use crate::route::{ARROW_HEAD, Arrival, BoxSpec, Edge, Placement, route};
use crate::text;
use crate::theme::ColourRole;

/// Maximum number of boxes in a row; three fit the width of a page.
const MAX_PER_ROW: usize = 3;
/// Distance from the border to the contents, in pixels.
const MARGIN: f64 = 24.0;
/// Height of the heading, in pixels.
const HEADING: f64 = 74.0;
/// Width and height of an operation.
const OP_BOX: (f64, f64) = (100.0, 28.0);
/// Gap between the two operations of a node.
const OP_GAP: f64 = 10.0;
/// Width and height of a node. Its operations lie on the upper edge of its body.
const NODE: (f64, f64) = (2.0 * OP_BOX.0 + OP_GAP + 20.0, 72.0);
/// Distance from the top of a node to the centre of its sum, and the radius of the sum's circle.
const SUM: (f64, f64) = (51.0, 10.0);
/// Width and height of an input or of the output.
const STATE: (f64, f64) = (150.0, 44.0);
const CONCAT_HEIGHT: f64 = 30.0;
/// Maximum distance between an edge's end and its port, for boxes that are not operations.
const JOINT_SLACK: f64 = 4.0;
const SMALL: f64 = 11.0;
const NORMAL: f64 = 12.0;

/// The drawing of a cell without background, at least `least_width` pixels wide.
pub(crate) fn drawing(cell: &Cell, kind: CellKind, least_width: f64) -> Drawing {
    let box_specs = box_specs(cell);
    let placement = route(&box_specs);
    let mut drawing = Drawing::new(describe::cell_title(kind), describe::cell(cell, kind));
    heading(&mut drawing, cell, kind);
    let width = placement.width.max(scene_width(&drawing) - 2.0 * MARGIN).max(least_width - 2.0 * MARGIN);
    let origin = (MARGIN + ((width - placement.width) / 2.0).round(), HEADING);
    let mut body = Drawing::new(String::new(), String::new());
    edges(&mut body, &placement);
    boxes(&mut body, cell, &placement);
    drawing.add(&body, origin);
    drawing.width = (width + 2.0 * MARGIN).ceil();
    drawing.height = HEADING + placement.height + MARGIN;
    drawing
}

/// The boxes by number: the states of the cell, the concatenation of its loose ends, the output.
pub(crate) fn box_specs(cell: &Cell) -> Vec<BoxSpec> {
    let rows = rows(cell);
    let last = rows.iter().max().map_or(0, |row| *row);
    let reads = [None, None].into_iter().chain(cell.nodes().iter().map(Some));
    let states = rows.into_iter().zip(reads).map(|(row, node)| {
        let ports = node.map_or(Vec::new(), |node| vec![node.x.input, node.y.input]);
        let (w, h) = if node.is_some() { NODE } else { STATE };
        BoxSpec { row, w, h, ports, pitch: OP_BOX.0 + OP_GAP, slack: 0.0 }
    });
    let joined = cell.n_nodes() + 2;
    let (row, (w, h), ports) = (last + 2, STATE, vec![joined]);
    let output = BoxSpec { row, w, h, ports, pitch: 0.0, slack: JOINT_SLACK };
    states.chain([concat(cell.loose_ends(), last + 1), output]).collect()
}

/// The concatenation of the loose ends. Its label and the number of its edges set the width.
fn concat(loose: Vec<usize>, row: usize) -> BoxSpec {
    let label = text::width(&concat_label(&loose), NORMAL, false) + 28.0;
    let w = 2.0 * (label.max(110.0).max(18.0 * loose.len() as f64) / 2.0).ceil();
    let pitch = ((w - 24.0) / loose.len() as f64).min(34.0);
    BoxSpec { row, w, h: CONCAT_HEIGHT, ports: loose, pitch, slack: JOINT_SLACK }
}

/// The row of each state: longest-path layering with at most [`MAX_PER_ROW`] boxes per row.
///
/// A state is in the first row below all it reads that is not yet full.
fn rows(cell: &Cell) -> Vec<usize> {
    let mut rows = vec![0, 0];
    for Node { x, y } in cell.nodes() {
        let first = 1 + rows[x.input].max(rows[y.input]);
        let taken = |row: &usize| rows.iter().filter(|other| *other == row).count();
        let row = (first..).find(|row| taken(row) < MAX_PER_ROW);
        rows.push(row.expect("rows go on for ever"));
    }
    rows
}

fn concat_label(loose: &[usize]) -> String {
    let states: Vec<String> = loose.iter().map(usize::to_string).collect();
    format!("concat {}", states.join(", "))
}

fn heading(drawing: &mut Drawing, cell: &Cell, kind: CellKind) {
    drawing.text(describe::cell_title(kind), (MARGIN, 32.0), TextStyle::bold(15.0, ColourRole::Text));
    let n = cell.n_nodes();
    let nodes = if n == 1 { "1 node".to_owned() } else { format!("{n} nodes") };
    let what = match kind {
        CellKind::Normal => "keeps height and width",
        CellKind::Reduction => "halves height and width",
    };
    drawing.text(format!("{nodes}, {what}"), (MARGIN, 50.0), TextStyle::plain(NORMAL, ColourRole::Muted));
}

/// The width that the texts of a drawing need.
fn scene_width(drawing: &Drawing) -> f64 {
    let right = |item: &Item| match item {
        Item::Text(line) => line.bounds().right() + MARGIN,
        _ => 0.0,
    };
    drawing.items.iter().map(right).fold(0.0, f64::max)
}

/// Draws the edges of each box over a wider line in the colour of the paper. Where two edges cross, the gap shows
/// which one passes over the other.
fn edges(drawing: &mut Drawing, placement: &Placement) {
    for Edge { commands, arrivals, .. } in &placement.edges {
        drawing.line(commands.clone(), Stroke::solid(ColourRole::Paper, 6.0));
        drawing.line(commands.clone(), Stroke::solid(ColourRole::Edge, 1.6));
        arrivals.iter().for_each(|Arrival { tip, .. }| arrow_head(drawing, *tip));
    }
}

/// An arrow head that points down.
fn arrow_head(drawing: &mut Drawing, (x, y): Point) {
    let commands = vec![
        PathCommand::Move((x, y)),
        PathCommand::Line((x - 4.0, y - ARROW_HEAD)),
        PathCommand::Line((x + 4.0, y - ARROW_HEAD)),
        PathCommand::Close,
    ];
    drawing.filled(commands, ColourRole::Edge);
}

fn boxes(drawing: &mut Drawing, cell: &Cell, placement: &Placement) {
    let n = cell.n_nodes();
    state(drawing, placement.rects[0], "h[i-1]", "0: two layers back");
    state(drawing, placement.rects[1], "h[i]", "1: previous layer");
    for node in 0..n {
        let op_box = |port| arrival(placement, node + 2, port);
        let branches = [(cell.nodes()[node].x, op_box(0)), (cell.nodes()[node].y, op_box(1))];
        draw_node(drawing, placement.rects[node + 2], node + 2, branches);
    }
    let concat = placement.rects[n + 2];
    drawing.rect_with_tooltip(
        concat,
        CONCAT_HEIGHT / 2.0,
        ColourRole::State,
        Stroke::solid(ColourRole::StateEdge, 1.2),
        describe::concat(cell),
    );
    drawing.centred(
        concat_label(&cell.loose_ends()),
        concat.centre(),
        TextStyle::plain(NORMAL, ColourRole::Text),
    );
    state(drawing, placement.rects[n + 3], "h[i+1]", "output");
}

/// The point at which the edge of an port arrives.
fn arrival(placement: &Placement, to: usize, port: usize) -> Point {
    let mut arrivals = placement.edges.iter().flat_map(|edge| &edge.arrivals);
    arrivals.find(|it| it.to == to && it.port == port).expect("every port has its edge").tip
}

fn state(drawing: &mut Drawing, rect: Rect, name: &str, role: &str) {
    drawing.rect(rect, 8.0, ColourRole::State, Some(Stroke::solid(ColourRole::StateEdge, 1.2)));
    let (x, y) = rect.centre();
    drawing.centred(name, (x, y - 8.0), TextStyle::bold(13.0, ColourRole::Text));
    drawing.centred(role, (x, y + 9.0), TextStyle::plain(SMALL, ColourRole::Muted));
}

/// A node: two operations side by side and their sum below.
fn draw_node(drawing: &mut Drawing, rect: Rect, number: usize, branches: [(Branch, Point); 2]) {
    let above = OP_BOX.1 / 2.0;
    let body = Rect { y: rect.y + above, h: rect.h - above, ..rect };
    drawing.rect(body, 8.0, ColourRole::Card, Some(Stroke::solid(ColourRole::CardEdge, 1.2)));
    let (x, _) = rect.centre();
    let sum = (x, rect.y + SUM.0);
    for (_, tip) in branches {
        // From the bottom of an operation to the side of the sum.
        let start = (tip.0, rect.y + OP_BOX.1);
        let end = (x + if tip.0 < x { -SUM.1 } else { SUM.1 }, sum.1);
        let command = PathCommand::Cubic((start.0, end.1), (start.0, end.1), end);
        drawing.line(vec![PathCommand::Move(start), command], Stroke::solid(ColourRole::Edge, 1.6));
    }
    drawing.line(
        vec![PathCommand::Move(sum), PathCommand::Line((x, rect.bottom()))],
        Stroke::solid(ColourRole::Edge, 1.6),
    );
    let circle = Rect::around(sum.0, sum.1, 2.0 * SUM.1, 2.0 * SUM.1);
    drawing.rect(circle, SUM.1, ColourRole::Paper, Some(Stroke::solid(ColourRole::Edge, 1.6)));
    plus(drawing, sum);
    for (branch, tip) in branches {
        op_box(drawing, Rect { x: tip.0 - OP_BOX.0 / 2.0, y: rect.y, w: OP_BOX.0, h: OP_BOX.1 }, branch);
    }
    let at = (rect.x + 10.0, rect.bottom() - 9.0);
    drawing.text(format!("node {number}"), at, TextStyle::plain(SMALL, ColourRole::Muted));
}

fn plus(drawing: &mut Drawing, (x, y): Point) {
    const ARM: f64 = 4.5;
    let commands = vec![
        PathCommand::Move((x - ARM, y)),
        PathCommand::Line((x + ARM, y)),
        PathCommand::Move((x, y - ARM)),
        PathCommand::Line((x, y + ARM)),
    ];
    drawing.line(commands, Stroke::solid(ColourRole::Text, 1.6));
}

fn op_box(drawing: &mut Drawing, rect: Rect, Branch { input, op }: Branch) {
    let tooltip = format!("{op} of {}", describe::state(input));
    drawing.rect_with_tooltip(
        rect,
        6.0,
        ColourRole::Op(op),
        Stroke::solid(ColourRole::OpEdge(op), 1.2),
        tooltip,
    );
    drawing.centred(op.name(), rect.centre(), TextStyle::plain(NORMAL, ColourRole::OpText(op)));
}
