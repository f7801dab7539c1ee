//! Coordinates of a layered graph drawing (Sugiyama's method, last phase): boxes in rows, edges as cubic curves.
//!
//! Method outline:
//! 1. Module `ordering` fixes the order of boxes and dummies within each row.
//! 2. Iteratively reweighted least squares (IRLS): each round places one row after the other, with its neighbour rows
//!    fixed. `align` solves the weighted least-squares problem of a row. The weights are `1 / (distance + near)`, so
//!    the sum of the weighted squares approximates the sum of distances.
//! 3. `near` shrinks from round to round, so the problem changes from least squares to least absolute distances.
//! 4. Positions are rounded to pixels, small bends are removed, and rows get their heights.

use crate::align::{RowItem, align};
use crate::drawing::{PathCommand, Point, Rect};
use crate::ordering::{Graph, LayeredGraph, Vertex, position_in_row};

/// A box to be placed. Lengths are in pixels.
#[derive(Clone, Debug)]
pub(crate) struct BoxSpec {
    pub(crate) row: usize,
    pub(crate) w: f64,
    pub(crate) h: f64,
    /// The numbers of the boxes whose edges arrive at its top, one for each port.
    pub(crate) ports: Vec<usize>,
    /// Distance between two neighbouring ports.
    pub(crate) pitch: f64,
    /// Maximum distance from its port at which an edge may arrive if the edge is straight that way.
    pub(crate) slack: f64,
}

/// The positions of boxes and edges.
#[derive(Clone, Debug)]
pub(crate) struct Placement {
    pub(crate) rects: Vec<Rect>,
    /// The edges, one entry for each box that has any.
    pub(crate) edges: Vec<Edge>,
    pub(crate) width: f64,
    pub(crate) height: f64,
}

/// All edges of one box. They start at the middle of its lower edge.
#[derive(Clone, Debug)]
pub(crate) struct Edge {
    #[cfg_attr(not(test), expect(dead_code, reason = "the tests look at where edges begin"))]
    pub(crate) from: usize,
    pub(crate) commands: Vec<PathCommand>,
    pub(crate) arrivals: Vec<Arrival>,
}

/// The end of an edge at a box.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    pub(crate) to: usize,
    /// The index of the port of `to`.
    pub(crate) port: usize,
    /// The point on the upper edge of `to`.
    pub(crate) tip: Point,
}

/// Gap between two boxes of a row.
const BOX_GAP: f64 = 22.0;
/// Width of a dummy vertex, with half of the gap on either side.
const DUMMY_WIDTH: f64 = 18.0;
/// Minimum gap between two rows.
const ROW_GAP: f64 = 40.0;
/// Maximum addition to the gap between two rows whose edges extend far to the side.
const MORE_ROW_GAP: f64 = 34.0;
/// Number of IRLS rounds.
const ROUNDS: usize = 90;
/// The `near` of the first round in pixels, and its factor per round.
///
/// Below this distance an edge's pull is proportional to the distance; beyond it, nearly constant. The smaller the
/// value, the more edges become straight. A small value from the start would leave boxes at arbitrary positions where
/// they first touch.
const NEAR: (f64, f64) = (24.0, 0.95);
/// A horizontal offset of fewer pixels looks like a mistake. Lanes have more room than that on either side.
const VISIBLE: f64 = 7.0;
/// Length of an arrow head. A curve ends where the head begins.
pub(crate) const ARROW_HEAD: f64 = 7.0;

/// Computes the position of every box, in rows from the top, and the curves between the boxes.
pub(crate) fn route(box_specs: &[BoxSpec]) -> Placement {
    let layers = LayeredGraph::new(&graph(box_specs));
    let mut router = Router { box_specs, x: start(box_specs, &layers), layers, near: NEAR.0 };
    for _ in 0..ROUNDS {
        let n = router.layers.rows.len();
        (0..n).chain((0..n).rev()).for_each(|row| router.place_row(row));
        router.near *= NEAR.1;
    }
    router.finish()
}

fn graph(box_specs: &[BoxSpec]) -> Graph {
    let mut edges: Vec<(usize, usize)> =
        (0..box_specs.len()).flat_map(|to| box_specs[to].ports.iter().map(move |from| (*from, to))).collect();
    edges.sort_unstable();
    edges.dedup();
    Graph { row: box_specs.iter().map(|box_spec| box_spec.row).collect(), edges }
}

/// Initial centres: the vertices of each row next to each other around 0.
fn start(box_specs: &[BoxSpec], layers: &LayeredGraph) -> Vec<Vec<f64>> {
    let row_item =
        |vertex: &Vertex| RowItem { target: 0.0, weight: 1.0, width: vertex_width(box_specs, *vertex) };
    layers.rows.iter().map(|row| align(&row.iter().map(row_item).collect::<Vec<_>>())).collect()
}

fn vertex_width(box_specs: &[BoxSpec], vertex: Vertex) -> f64 {
    match vertex {
        Vertex::Box(item) => box_specs[item].w + BOX_GAP,
        Vertex::Dummy(_) => DUMMY_WIDTH,
    }
}

struct Router<'a> {
    box_specs: &'a [BoxSpec],
    layers: LayeredGraph,
    /// The centres of the vertices of each row.
    x: Vec<Vec<f64>>,
    /// The distance below which an edge's pull is proportional to the distance; see [`NEAR`].
    near: f64,
}

impl Router<'_> {
    /// Moves the vertices of a row to the optimum for the present positions of the rows above and below.
    fn place_row(&mut self, row: usize) {
        let row_items: Vec<RowItem> =
            self.layers.rows[row].iter().map(|vertex| self.row_item(row, *vertex)).collect();
        self.x[row] = align(&row_items);
    }

    fn row_item(&self, row: usize, vertex: Vertex) -> RowItem {
        let mut sum = 0.0;
        let mut weight = 0.0;
        let here = self.x_of(row, vertex);
        let mut pull = |to: f64, strength: f64| {
            // The IRLS weight of an absolute distance. That cost prefers one long bend to many short ones; squares
            // would do the opposite.
            let by = strength / ((to - here).abs() + self.near);
            sum += to * by;
            weight += by;
        };
        if row > 0 {
            for &(upper, _) in self.layers.links[row - 1].iter().filter(|link| link.1 == vertex) {
                let x = self.x_of(row - 1, upper);
                self.offsets(row - 1, (upper, vertex))
                    .for_each(|(_, offset)| pull(x - offset, strength(upper, vertex)));
            }
        }
        if let Some(links) = self.layers.links.get(row) {
            for &(_, lower) in links.iter().filter(|link| link.0 == vertex) {
                let x = self.x_of(row + 1, lower);
                self.offsets(row, (vertex, lower))
                    .for_each(|(_, offset)| pull(x + offset, strength(vertex, lower)));
            }
        }
        let width = vertex_width(self.box_specs, vertex);
        // Every box and dummy has an edge; a vertex without one would stay in the middle.
        if weight > 0.0 {
            RowItem { target: sum / weight, weight, width }
        } else {
            RowItem { target: 0.0, weight: 1.0, width }
        }
    }

    fn x_of(&self, row: usize, vertex: Vertex) -> f64 {
        self.x[row][position_in_row(&self.layers.rows[row], vertex)]
    }

    /// Returns the ports of the lower vertex at which a link arrives, each with its distance from the vertex's middle.
    ///
    /// A dummy has one port.
    fn offsets(&self, gap: usize, (upper, lower): (Vertex, Vertex)) -> impl Iterator<Item = (usize, f64)> {
        let source = source(upper);
        let mut found = Vec::new();
        match lower {
            Vertex::Dummy(_) => found.push((0, 0.0)),
            Vertex::Box(to) => {
                let BoxSpec { ports, pitch, .. } = &self.box_specs[to];
                // Ports are assigned from left to right in the order of the edges above, so that edges do not cross
                // at the box.
                let mut order: Vec<usize> = (0..ports.len()).collect();
                order.sort_by_key(|port| self.position_above(gap, ports[*port]));
                for (i, port) in order.into_iter().enumerate() {
                    if ports[port] == source {
                        found.push((port, (i as f64 - (ports.len() - 1) as f64 / 2.0) * pitch));
                    }
                }
            }
        }
        found.into_iter()
    }

    /// The position of a box's edges in the row above a gap.
    fn position_above(&self, gap: usize, item: usize) -> usize {
        let row = &self.layers.rows[gap];
        row.iter().position(|vertex| source(*vertex) == item).expect("an edge is in every row on its way")
    }

    fn finish(mut self) -> Placement {
        let left = self.extents(|x, half| x - half).fold(f64::MAX, f64::min);
        // Whole pixels keep vertical lines sharp.
        self.x.iter_mut().flatten().for_each(|x| *x = (*x - left).round());
        self.straighten();
        let width = self.extents(|x, half| x + half).fold(0.0, f64::max);
        let bands = self.bands();
        let mut rects = vec![Rect { x: 0.0, y: 0.0, w: 0.0, h: 0.0 }; self.box_specs.len()];
        for (row, vertices) in self.layers.rows.iter().enumerate() {
            for (vertex, x) in vertices.iter().zip(&self.x[row]) {
                if let Vertex::Box(item) = vertex {
                    let BoxSpec { w, h, .. } = self.box_specs[*item];
                    rects[*item] = Rect { x: x - w / 2.0, y: bands[row].0, w, h };
                }
            }
        }
        let edges = (0..self.box_specs.len()).map(|from| self.edge(from, &bands));
        let edges = edges.filter(|edge| !edge.arrivals.is_empty()).collect();
        Placement { rects, edges, width, height: bands.last().map_or(0.0, |band| band.1) }
    }

    /// Moves dummies by less than [`VISIBLE`] if that removes a bend: below the edge's start, else above its end.
    fn straighten(&mut self) {
        let n = self.layers.rows.len();
        for row in (0..n).rev().chain(0..n) {
            for at in 0..self.layers.rows[row].len() {
                let dummy = self.layers.rows[row][at];
                if let Vertex::Dummy(_) = dummy {
                    let mut ends =
                        self.start_above(row, dummy).into_iter().chain(self.ends_below(row, dummy));
                    let near = ends.find(|x| (x - self.x[row][at]).abs() < VISIBLE);
                    self.x[row][at] = near.unwrap_or(self.x[row][at]);
                }
            }
        }
    }

    /// The position at which the edge of a dummy arrives in the next row, if it has exactly one end there.
    fn ends_below(&self, row: usize, dummy: Vertex) -> Option<f64> {
        let mut links = self.layers.links[row].iter().filter(|link| link.0 == dummy);
        let (link, None) = (links.next()?, links.next()) else { return None };
        let mut offsets = self.offsets(row, *link);
        let (Some((_, offset)), None) = (offsets.next(), offsets.next()) else { return None };
        Some(self.x_of(row + 1, link.1) + offset)
    }

    /// The position from which the edge of a dummy comes, in the row above.
    fn start_above(&self, row: usize, dummy: Vertex) -> Option<f64> {
        let links = self.layers.links.get(row.checked_sub(1)?)?;
        links.iter().find(|link| link.1 == dummy).map(|link| self.x_of(row - 1, link.0))
    }

    /// Applies `end` to the centre and half the width of every vertex, without gaps.
    fn extents(&self, end: impl Fn(f64, f64) -> f64) -> impl Iterator<Item = f64> {
        let vertices = self.layers.rows.iter().flatten().zip(self.x.iter().flatten());
        vertices.map(move |(vertex, x)| match vertex {
            Vertex::Box(item) => end(*x, self.box_specs[*item].w / 2.0),
            Vertex::Dummy(_) => end(*x, 1.0),
        })
    }

    /// Top and bottom of every row. The gap between two rows is larger where edges extend far to the side.
    fn bands(&self) -> Vec<(f64, f64)> {
        let mut bands: Vec<(f64, f64)> = Vec::new();
        for (row, vertices) in self.layers.rows.iter().enumerate() {
            let top = bands.last().map_or(0.0, |band| band.1 + self.gap(row - 1));
            let height = vertices.iter().map(|vertex| match vertex {
                Vertex::Box(item) => self.box_specs[*item].h,
                Vertex::Dummy(_) => 0.0,
            });
            bands.push((top, top + height.fold(0.0, f64::max)));
        }
        bands
    }

    fn gap(&self, gap: usize) -> f64 {
        let widths = self.layers.links[gap]
            .iter()
            .map(|link| (self.x_of(gap, link.0) - self.x_of(gap + 1, link.1)).abs());
        ROW_GAP + (widths.fold(0.0, f64::max) / 10.0).min(MORE_ROW_GAP).round()
    }

    fn edge(&self, from: usize, bands: &[(f64, f64)]) -> Edge {
        let mut commands = Vec::new();
        let mut arrivals = Vec::new();
        for (row, vertices) in self.layers.rows.iter().enumerate() {
            if let Some(at) = vertices.iter().position(|vertex| *vertex == Vertex::Dummy(from)) {
                let x = self.x[row][at];
                commands.extend([PathCommand::Move((x, bands[row].0)), PathCommand::Line((x, bands[row].1))]);
            }
            let links = self.layers.links.get(row).into_iter().flatten();
            for &link in links.filter(|link| source(link.0) == from) {
                let start = (self.x_of(row, link.0), bands[row].1);
                for (port, offset) in self.offsets(row, link) {
                    let mut tip = (self.x_of(row + 1, link.1) + offset, bands[row + 1].0);
                    let end = match link.1 {
                        Vertex::Dummy(_) => tip,
                        Vertex::Box(to) => {
                            if (tip.0 - start.0).abs() <= self.box_specs[to].slack {
                                tip.0 = start.0;
                            }
                            arrivals.push(Arrival { to, port, tip });
                            // The arrow head covers the rest.
                            (tip.0, tip.1 - ARROW_HEAD + 1.0)
                        }
                    };
                    commands.extend(bend(start, end));
                }
            }
        }
        Edge { from, commands, arrivals }
    }
}

/// The box at which the edges of a vertex start.
fn source(vertex: Vertex) -> usize {
    match vertex {
        Vertex::Box(item) | Vertex::Dummy(item) => item,
    }
}

/// Weight of a link's horizontal extent. Between two dummies a bend would be most visible, so their weight is largest.
fn strength(upper: Vertex, lower: Vertex) -> f64 {
    match (upper, lower) {
        (Vertex::Dummy(_), Vertex::Dummy(_)) => 8.0,
        (Vertex::Box(_), Vertex::Box(_)) => 1.0,
        _ => 2.0,
    }
}

/// A curve that is vertical at both ends; a straight line if both have the same x.
fn bend((x0, y0): Point, (x1, y1): Point) -> [PathCommand; 2] {
    let end = if x0 == x1 {
        PathCommand::Line((x1, y1))
    } else {
        let middle = (y0 + y1) / 2.0;
        PathCommand::Cubic((x0, middle), (x1, middle), (x1, y1))
    };
    [PathCommand::Move((x0, y0)), end]
}
