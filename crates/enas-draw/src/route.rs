//! Coordinates of a layered graph drawing (Sugiyama's method, last phase): boxes in rows, wires as cubic curves.
//!
//! Method outline:
//! 1. Module `layers` fixes the order of boxes and lanes within each row.
//! 2. Iteratively reweighted least squares (IRLS): each round places one row after the other, with its neighbour rows
//!    fixed. `align` solves the weighted least-squares problem of a row. The weights are `1 / (distance + near)`, so the
//!    sum of the weighted squares approximates the sum of distances.
//! 3. `near` shrinks from round to round, so the problem changes from least squares to least absolute distances.
//! 4. Positions are rounded to pixels, small bends are removed, and rows get their heights.

use crate::align::{Seat, align};
use crate::layers::{Graph, Layers, Slot, place};
use crate::scene::{Point, Rect, Step};

/// A box to be placed. Lengths are in pixels.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    pub(crate) row: usize,
    pub(crate) w: f64,
    pub(crate) h: f64,
    /// The numbers of the boxes whose wires arrive at its top, one for each inlet.
    pub(crate) inlets: Vec<usize>,
    /// Distance between two neighbouring inlets.
    pub(crate) pitch: f64,
    /// Maximum distance from its inlet at which a wire may arrive if the wire is straight that way.
    pub(crate) slack: f64,
}

/// The positions of boxes and wires.
#[derive(Clone, Debug)]
pub(crate) struct Placed {
    pub(crate) rects: Vec<Rect>,
    /// The wires, one entry for each box that has any.
    pub(crate) wires: Vec<Wire>,
    pub(crate) width: f64,
    pub(crate) height: f64,
}

/// All wires of one box. They start at the middle of its lower edge.
#[derive(Clone, Debug)]
pub(crate) struct Wire {
    #[cfg_attr(not(test), expect(dead_code, reason = "the tests look at where wires begin"))]
    pub(crate) from: usize,
    pub(crate) steps: Vec<Step>,
    pub(crate) arrivals: Vec<Arrival>,
}

/// The end of a wire at a box.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    pub(crate) to: usize,
    /// The index of the inlet of `to`.
    pub(crate) inlet: usize,
    /// The point on the upper edge of `to`.
    pub(crate) tip: Point,
}

/// Gap between two boxes of a row.
const BOX_GAP: f64 = 22.0;
/// Width of a lane, with half of the gap on either side.
const LANE: f64 = 18.0;
/// Minimum gap between two rows.
const ROW_GAP: f64 = 40.0;
/// Maximum addition to the gap between two rows whose wires extend far to the side.
const MORE_ROW_GAP: f64 = 34.0;
/// Number of IRLS rounds.
const ROUNDS: usize = 90;
/// The `near` of the first round in pixels, and its factor per round.
///
/// Below this distance a wire's pull is proportional to the distance; beyond it, nearly constant. The smaller the
/// value, the more wires become straight. A small value from the start would leave boxes at arbitrary positions where
/// they first touch.
const NEAR: (f64, f64) = (24.0, 0.95);
/// A horizontal offset of fewer pixels looks like a mistake. Lanes have more room than that on either side.
const VISIBLE: f64 = 7.0;
/// Length of an arrow head. A curve ends where the head begins.
pub(crate) const HEAD: f64 = 7.0;

/// Computes the position of every box, in rows from the top, and the curves between the boxes.
pub(crate) fn route(blocks: &[Block]) -> Placed {
    let layers = Layers::new(&graph(blocks));
    let mut router = Router { blocks, x: start(blocks, &layers), layers, near: NEAR.0 };
    for _ in 0..ROUNDS {
        let n = router.layers.rows.len();
        (0..n).chain((0..n).rev()).for_each(|row| router.settle(row));
        router.near *= NEAR.1;
    }
    router.finish()
}

fn graph(blocks: &[Block]) -> Graph {
    let mut wires: Vec<(usize, usize)> =
        (0..blocks.len()).flat_map(|to| blocks[to].inlets.iter().map(move |from| (*from, to))).collect();
    wires.sort_unstable();
    wires.dedup();
    Graph { row: blocks.iter().map(|block| block.row).collect(), wires }
}

/// Initial centres: the slots of each row next to each other around 0.
fn start(blocks: &[Block], layers: &Layers) -> Vec<Vec<f64>> {
    let seat = |slot: &Slot| Seat { wish: 0.0, weight: 1.0, width: room(blocks, *slot) };
    layers.rows.iter().map(|row| align(&row.iter().map(seat).collect::<Vec<_>>())).collect()
}

fn room(blocks: &[Block], slot: Slot) -> f64 {
    match slot {
        Slot::Box(item) => blocks[item].w + BOX_GAP,
        Slot::Lane(_) => LANE,
    }
}

struct Router<'a> {
    blocks: &'a [Block],
    layers: Layers,
    /// The centres of the slots of each row.
    x: Vec<Vec<f64>>,
    /// The distance below which a wire's pull is proportional to the distance; see [`NEAR`].
    near: f64,
}

impl Router<'_> {
    /// Moves the slots of a row to the optimum for the present positions of the rows above and below.
    fn settle(&mut self, row: usize) {
        let seats: Vec<Seat> = self.layers.rows[row].iter().map(|slot| self.seat(row, *slot)).collect();
        self.x[row] = align(&seats);
    }

    fn seat(&self, row: usize, slot: Slot) -> Seat {
        let (mut sum, mut weight, here) = (0.0, 0.0, self.at(row, slot));
        let mut pull = |to: f64, strength: f64| {
            // The IRLS weight of an absolute distance. That cost prefers one long bend to many short ones; squares
            // would do the opposite.
            let by = strength / ((to - here).abs() + self.near);
            sum += to * by;
            weight += by;
        };
        if row > 0 {
            for &(upper, _) in self.layers.links[row - 1].iter().filter(|link| link.1 == slot) {
                let x = self.at(row - 1, upper);
                self.offsets(row - 1, (upper, slot))
                    .for_each(|(_, offset)| pull(x - offset, strength(upper, slot)));
            }
        }
        if let Some(links) = self.layers.links.get(row) {
            for &(_, lower) in links.iter().filter(|link| link.0 == slot) {
                let x = self.at(row + 1, lower);
                self.offsets(row, (slot, lower))
                    .for_each(|(_, offset)| pull(x + offset, strength(slot, lower)));
            }
        }
        let width = room(self.blocks, slot);
        // Every box and lane has a wire; a slot without one would stay in the middle.
        if weight > 0.0 {
            Seat { wish: sum / weight, weight, width }
        } else {
            Seat { wish: 0.0, weight: 1.0, width }
        }
    }

    fn at(&self, row: usize, slot: Slot) -> f64 {
        self.x[row][place(&self.layers.rows[row], slot)]
    }

    /// Returns the inlets of the lower slot at which a link arrives, each with its distance from the slot's middle.
    ///
    /// A lane has one inlet.
    fn offsets(&self, gap: usize, (upper, lower): (Slot, Slot)) -> impl Iterator<Item = (usize, f64)> {
        let (source, mut found) = (source(upper), Vec::new());
        match lower {
            Slot::Lane(_) => found.push((0, 0.0)),
            Slot::Box(to) => {
                let Block { inlets, pitch, .. } = &self.blocks[to];
                // Inlets are assigned from left to right in the order of the wires above, so that wires do not cross
                // at the box.
                let mut order: Vec<usize> = (0..inlets.len()).collect();
                order.sort_by_key(|inlet| self.place_above(gap, inlets[*inlet]));
                for (i, inlet) in order.into_iter().enumerate() {
                    if inlets[inlet] == source {
                        found.push((inlet, (i as f64 - (inlets.len() - 1) as f64 / 2.0) * pitch));
                    }
                }
            }
        }
        found.into_iter()
    }

    /// The position of a box's wires in the row above a gap.
    fn place_above(&self, gap: usize, item: usize) -> usize {
        let row = &self.layers.rows[gap];
        row.iter().position(|slot| source(*slot) == item).expect("a wire is in every row on its way")
    }

    fn finish(mut self) -> Placed {
        let left = self.edges(|x, half| x - half).fold(f64::MAX, f64::min);
        // Whole pixels keep vertical lines sharp.
        self.x.iter_mut().flatten().for_each(|x| *x = (*x - left).round());
        self.straighten();
        let width = self.edges(|x, half| x + half).fold(0.0, f64::max);
        let bands = self.bands();
        let mut rects = vec![Rect { x: 0.0, y: 0.0, w: 0.0, h: 0.0 }; self.blocks.len()];
        for (row, slots) in self.layers.rows.iter().enumerate() {
            for (slot, x) in slots.iter().zip(&self.x[row]) {
                if let Slot::Box(item) = slot {
                    let Block { w, h, .. } = self.blocks[*item];
                    rects[*item] = Rect { x: x - w / 2.0, y: bands[row].0, w, h };
                }
            }
        }
        let wires = (0..self.blocks.len()).map(|from| self.wire(from, &bands));
        let wires = wires.filter(|wire| !wire.arrivals.is_empty()).collect();
        Placed { rects, wires, width, height: bands.last().map_or(0.0, |band| band.1) }
    }

    /// Moves lanes by less than [`VISIBLE`] if that removes a bend: below the wire's start, else above its end.
    fn straighten(&mut self) {
        let n = self.layers.rows.len();
        for row in (0..n).rev().chain(0..n) {
            for at in 0..self.layers.rows[row].len() {
                let lane = self.layers.rows[row][at];
                if let Slot::Lane(_) = lane {
                    let mut ends = self.start_above(row, lane).into_iter().chain(self.ends_below(row, lane));
                    let near = ends.find(|x| (x - self.x[row][at]).abs() < VISIBLE);
                    self.x[row][at] = near.unwrap_or(self.x[row][at]);
                }
            }
        }
    }

    /// The position at which the wire of a lane arrives in the next row, if it has exactly one end there.
    fn ends_below(&self, row: usize, lane: Slot) -> Option<f64> {
        let mut links = self.layers.links[row].iter().filter(|link| link.0 == lane);
        let (link, None) = (links.next()?, links.next()) else { return None };
        let mut offsets = self.offsets(row, *link);
        let (Some((_, offset)), None) = (offsets.next(), offsets.next()) else { return None };
        Some(self.at(row + 1, link.1) + offset)
    }

    /// The position from which the wire of a lane comes, in the row above.
    fn start_above(&self, row: usize, lane: Slot) -> Option<f64> {
        let links = self.layers.links.get(row.checked_sub(1)?)?;
        links.iter().find(|link| link.1 == lane).map(|link| self.at(row - 1, link.0))
    }

    /// Applies `end` to the centre and half the width of every slot, without gaps.
    fn edges(&self, end: impl Fn(f64, f64) -> f64) -> impl Iterator<Item = f64> {
        let slots = self.layers.rows.iter().flatten().zip(self.x.iter().flatten());
        slots.map(move |(slot, x)| match slot {
            Slot::Box(item) => end(*x, self.blocks[*item].w / 2.0),
            Slot::Lane(_) => end(*x, 1.0),
        })
    }

    /// Top and bottom of every row. The gap between two rows is larger where wires extend far to the side.
    fn bands(&self) -> Vec<(f64, f64)> {
        let mut bands: Vec<(f64, f64)> = Vec::new();
        for (row, slots) in self.layers.rows.iter().enumerate() {
            let top = bands.last().map_or(0.0, |band| band.1 + self.gap(row - 1));
            let height = slots.iter().map(|slot| match slot {
                Slot::Box(item) => self.blocks[*item].h,
                Slot::Lane(_) => 0.0,
            });
            bands.push((top, top + height.fold(0.0, f64::max)));
        }
        bands
    }

    fn gap(&self, gap: usize) -> f64 {
        let widths =
            self.layers.links[gap].iter().map(|link| (self.at(gap, link.0) - self.at(gap + 1, link.1)).abs());
        ROW_GAP + (widths.fold(0.0, f64::max) / 10.0).min(MORE_ROW_GAP).round()
    }

    fn wire(&self, from: usize, bands: &[(f64, f64)]) -> Wire {
        let (mut steps, mut arrivals) = (Vec::new(), Vec::new());
        for (row, slots) in self.layers.rows.iter().enumerate() {
            if let Some(at) = slots.iter().position(|slot| *slot == Slot::Lane(from)) {
                let x = self.x[row][at];
                steps.extend([Step::Move((x, bands[row].0)), Step::Line((x, bands[row].1))]);
            }
            let links = self.layers.links.get(row).into_iter().flatten();
            for &link in links.filter(|link| source(link.0) == from) {
                let start = (self.at(row, link.0), bands[row].1);
                for (inlet, offset) in self.offsets(row, link) {
                    let mut tip = (self.at(row + 1, link.1) + offset, bands[row + 1].0);
                    let end = match link.1 {
                        Slot::Lane(_) => tip,
                        Slot::Box(to) => {
                            if (tip.0 - start.0).abs() <= self.blocks[to].slack {
                                tip.0 = start.0;
                            }
                            arrivals.push(Arrival { to, inlet, tip });
                            // The arrow head covers the rest.
                            (tip.0, tip.1 - HEAD + 1.0)
                        }
                    };
                    steps.extend(bend(start, end));
                }
            }
        }
        Wire { from, steps, arrivals }
    }
}

/// The box at which the wires of a slot start.
fn source(slot: Slot) -> usize {
    match slot {
        Slot::Box(item) | Slot::Lane(item) => item,
    }
}

/// Weight of a link's horizontal extent. Between two lanes a bend would be most visible, so their weight is largest.
fn strength(upper: Slot, lower: Slot) -> f64 {
    match (upper, lower) {
        (Slot::Lane(_), Slot::Lane(_)) => 8.0,
        (Slot::Box(_), Slot::Box(_)) => 1.0,
        _ => 2.0,
    }
}

/// A curve that is vertical at both ends; a straight line if both have the same x.
fn bend((x0, y0): Point, (x1, y1): Point) -> [Step; 2] {
    let end = if x0 == x1 {
        Step::Line((x1, y1))
    } else {
        let middle = (y0 + y1) / 2.0;
        Step::Cubic((x0, middle), (x1, middle), (x1, y1))
    };
    [Step::Move((x0, y0)), end]
}
