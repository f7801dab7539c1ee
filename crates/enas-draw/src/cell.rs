//! The drawing of a cell: inputs on top, each node below the states it reads, loose ends concatenated at the bottom.

use enas_arc::{Branch, Cell, CellKind, Node};

use crate::describe;
use crate::route::{Arrival, Block, HEAD, Placed, Wire, route};
use crate::scene::{Item, Point, Rect, Scene, Step, Stroke, Style};
use crate::text;
use crate::theme::Ink;

/// Maximum number of boxes in a row; three fit the width of a page.
const ABREAST: usize = 3;
/// Distance from the border to the contents, in pixels.
const MARGIN: f64 = 24.0;
/// Height of the heading, in pixels.
const HEADING: f64 = 74.0;
/// Width and height of an operation.
const CHIP: (f64, f64) = (100.0, 28.0);
/// Gap between the two operations of a node.
const CHIP_GAP: f64 = 10.0;
/// Width and height of a node. Its operations lie on the upper edge of its body.
const NODE: (f64, f64) = (2.0 * CHIP.0 + CHIP_GAP + 20.0, 72.0);
/// Distance from the top of a node to the centre of its sum, and the radius of the sum's circle.
const SUM: (f64, f64) = (51.0, 10.0);
/// Width and height of an input or of the output.
const STATE: (f64, f64) = (150.0, 44.0);
const CONCAT_HEIGHT: f64 = 30.0;
/// Maximum distance between a wire's end and its inlet, for boxes that are not operations.
const JOINT_SLACK: f64 = 4.0;
const SMALL: f64 = 11.0;
const NORMAL: f64 = 12.0;

/// The drawing of a cell without background, at least `least_width` pixels wide.
pub(crate) fn scene(cell: &Cell, kind: CellKind, least_width: f64) -> Scene {
    let blocks = blocks(cell);
    let placed = route(&blocks);
    let mut scene = Scene::new(describe::cell_title(kind), describe::cell(cell, kind));
    heading(&mut scene, cell, kind);
    let width = placed.width.max(scene_width(&scene) - 2.0 * MARGIN).max(least_width - 2.0 * MARGIN);
    let origin = (MARGIN + ((width - placed.width) / 2.0).round(), HEADING);
    let mut body = Scene::new(String::new(), String::new());
    wires(&mut body, &placed);
    boxes(&mut body, cell, &placed);
    scene.place(&body, origin);
    scene.width = (width + 2.0 * MARGIN).ceil();
    scene.height = HEADING + placed.height + MARGIN;
    scene
}

/// The boxes by number: the states of the cell, the concatenation of its loose ends, the output.
pub(crate) fn blocks(cell: &Cell) -> Vec<Block> {
    let rows = rows(cell);
    let last = rows.iter().max().map_or(0, |row| *row);
    let reads = [None, None].into_iter().chain(cell.nodes().iter().map(Some));
    let states = rows.into_iter().zip(reads).map(|(row, node)| {
        let inlets = node.map_or(Vec::new(), |node| vec![node.x.input, node.y.input]);
        let (w, h) = if node.is_some() { NODE } else { STATE };
        Block { row, w, h, inlets, pitch: CHIP.0 + CHIP_GAP, slack: 0.0 }
    });
    let joined = cell.n_nodes() + 2;
    let (row, (w, h), inlets) = (last + 2, STATE, vec![joined]);
    let output = Block { row, w, h, inlets, pitch: 0.0, slack: JOINT_SLACK };
    states.chain([concat(cell.loose_ends(), last + 1), output]).collect()
}

/// The concatenation of the loose ends. Its label and the number of its wires set the width.
fn concat(loose: Vec<usize>, row: usize) -> Block {
    let label = text::width(&concat_label(&loose), NORMAL, false) + 28.0;
    let w = 2.0 * (label.max(110.0).max(18.0 * loose.len() as f64) / 2.0).ceil();
    let pitch = ((w - 24.0) / loose.len() as f64).min(34.0);
    Block { row, w, h: CONCAT_HEIGHT, inlets: loose, pitch, slack: JOINT_SLACK }
}

/// The row of each state: longest-path layering with at most [`ABREAST`] boxes per row.
///
/// A state is in the first row below all it reads that is not yet full.
fn rows(cell: &Cell) -> Vec<usize> {
    let mut rows = vec![0, 0];
    for Node { x, y } in cell.nodes() {
        let first = 1 + rows[x.input].max(rows[y.input]);
        let taken = |row: &usize| rows.iter().filter(|other| *other == row).count();
        let row = (first..).find(|row| taken(row) < ABREAST);
        rows.push(row.expect("rows go on for ever"));
    }
    rows
}

fn concat_label(loose: &[usize]) -> String {
    let states: Vec<String> = loose.iter().map(usize::to_string).collect();
    format!("concat {}", states.join(", "))
}

fn heading(scene: &mut Scene, cell: &Cell, kind: CellKind) {
    scene.words(describe::cell_title(kind), (MARGIN, 32.0), Style::bold(15.0, Ink::Text));
    let n = cell.n_nodes();
    let nodes = if n == 1 { "1 node".to_owned() } else { format!("{n} nodes") };
    let what = match kind {
        CellKind::Normal => "keeps height and width",
        CellKind::Reduction => "halves height and width",
    };
    scene.words(format!("{nodes}, {what}"), (MARGIN, 50.0), Style::plain(NORMAL, Ink::Muted));
}

/// The width that the texts of a scene need.
fn scene_width(scene: &Scene) -> f64 {
    let right = |item: &Item| match item {
        Item::Words(words) => words.bounds().right() + MARGIN,
        _ => 0.0,
    };
    scene.items.iter().map(right).fold(0.0, f64::max)
}

/// Draws the wires of each box over a wider line in the colour of the paper. Where two wires cross, the gap shows
/// which one passes over the other.
fn wires(scene: &mut Scene, placed: &Placed) {
    for Wire { steps, arrivals, .. } in &placed.wires {
        scene.line(steps.clone(), Stroke::solid(Ink::Paper, 6.0));
        scene.line(steps.clone(), Stroke::solid(Ink::Wire, 1.6));
        arrivals.iter().for_each(|Arrival { tip, .. }| head(scene, *tip));
    }
}

/// An arrow head that points down.
fn head(scene: &mut Scene, (x, y): Point) {
    let steps = vec![
        Step::Move((x, y)),
        Step::Line((x - 4.0, y - HEAD)),
        Step::Line((x + 4.0, y - HEAD)),
        Step::Close,
    ];
    scene.filled(steps, Ink::Wire);
}

fn boxes(scene: &mut Scene, cell: &Cell, placed: &Placed) {
    let n = cell.n_nodes();
    state(scene, placed.rects[0], "h[i-1]", "0: two layers back");
    state(scene, placed.rects[1], "h[i]", "1: previous layer");
    for node in 0..n {
        let chip = |inlet| arrival(placed, node + 2, inlet);
        let branches = [(cell.nodes()[node].x, chip(0)), (cell.nodes()[node].y, chip(1))];
        draw_node(scene, placed.rects[node + 2], node + 2, branches);
    }
    let concat = placed.rects[n + 2];
    scene.hinted(
        concat,
        CONCAT_HEIGHT / 2.0,
        Ink::State,
        Stroke::solid(Ink::StateEdge, 1.2),
        describe::concat(cell),
    );
    scene.centred(concat_label(&cell.loose_ends()), concat.centre(), Style::plain(NORMAL, Ink::Text));
    state(scene, placed.rects[n + 3], "h[i+1]", "output");
}

/// The point at which the wire of an inlet arrives.
fn arrival(placed: &Placed, to: usize, inlet: usize) -> Point {
    let mut arrivals = placed.wires.iter().flat_map(|wire| &wire.arrivals);
    arrivals.find(|it| it.to == to && it.inlet == inlet).expect("every inlet has its wire").tip
}

fn state(scene: &mut Scene, rect: Rect, name: &str, role: &str) {
    scene.rect(rect, 8.0, Ink::State, Some(Stroke::solid(Ink::StateEdge, 1.2)));
    let (x, y) = rect.centre();
    scene.centred(name, (x, y - 8.0), Style::bold(13.0, Ink::Text));
    scene.centred(role, (x, y + 9.0), Style::plain(SMALL, Ink::Muted));
}

/// A node: two operations side by side and their sum below.
fn draw_node(scene: &mut Scene, rect: Rect, number: usize, branches: [(Branch, Point); 2]) {
    let above = CHIP.1 / 2.0;
    let body = Rect { y: rect.y + above, h: rect.h - above, ..rect };
    scene.rect(body, 8.0, Ink::Card, Some(Stroke::solid(Ink::CardEdge, 1.2)));
    let (x, _) = rect.centre();
    let sum = (x, rect.y + SUM.0);
    for (_, tip) in branches {
        // From the bottom of an operation to the side of the sum.
        let start = (tip.0, rect.y + CHIP.1);
        let end = (x + if tip.0 < x { -SUM.1 } else { SUM.1 }, sum.1);
        let step = Step::Cubic((start.0, end.1), (start.0, end.1), end);
        scene.line(vec![Step::Move(start), step], Stroke::solid(Ink::Wire, 1.6));
    }
    scene.line(vec![Step::Move(sum), Step::Line((x, rect.bottom()))], Stroke::solid(Ink::Wire, 1.6));
    let circle = Rect::around(sum.0, sum.1, 2.0 * SUM.1, 2.0 * SUM.1);
    scene.rect(circle, SUM.1, Ink::Paper, Some(Stroke::solid(Ink::Wire, 1.6)));
    plus(scene, sum);
    for (branch, tip) in branches {
        chip(scene, Rect { x: tip.0 - CHIP.0 / 2.0, y: rect.y, w: CHIP.0, h: CHIP.1 }, branch);
    }
    let at = (rect.x + 10.0, rect.bottom() - 9.0);
    scene.words(format!("node {number}"), at, Style::plain(SMALL, Ink::Muted));
}

fn plus(scene: &mut Scene, (x, y): Point) {
    const ARM: f64 = 4.5;
    let steps = vec![
        Step::Move((x - ARM, y)),
        Step::Line((x + ARM, y)),
        Step::Move((x, y - ARM)),
        Step::Line((x, y + ARM)),
    ];
    scene.line(steps, Stroke::solid(Ink::Text, 1.6));
}

fn chip(scene: &mut Scene, rect: Rect, Branch { input, op }: Branch) {
    let hint = format!("{op} of {}", describe::state(input));
    scene.hinted(rect, 6.0, Ink::Op(op), Stroke::solid(Ink::OpEdge(op), 1.2), hint);
    scene.centred(op.name(), rect.centre(), Style::plain(NORMAL, Ink::OpText(op)));
}
