//! Order of the boxes in a layered graph drawing (Sugiyama's method): the second phase, crossing reduction.
//!
//! The caller has assigned a row to each box; module `route` computes coordinates afterwards. Reference: Sugiyama,
//! Tagawa and Toda, "Methods for visual understanding of hierarchical system structures", 1981.
//!
//! A wire that passes rows on its way occupies a *lane* in each of them, the dummy vertex of that method. All wires
//! of one box share their lanes and branch off where they arrive.
//!
//! The boxes of a row stay in the order of their numbers, as a reader expects them. Only lanes move to reduce
//! crossings.

/// The graph to draw: boxes with their rows, and wires that lead downwards.
#[derive(Clone, Debug)]
pub(crate) struct Graph {
    /// The row of each box.
    pub(crate) row: Vec<usize>,
    /// Wires `(from, to)`. Each pair occurs once.
    pub(crate) wires: Vec<(usize, usize)>,
}

/// An occupied position in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    /// The box with this number.
    Box(usize),
    /// The shared lane of all wires that start at the box with this number.
    Lane(usize),
}

/// The order of each row, and the links between neighbouring rows.
#[derive(Clone, Debug)]
pub(crate) struct Layers {
    pub(crate) rows: Vec<Vec<Slot>>,
    /// For each gap between two rows: the pairs (upper slot, lower slot) that a wire connects.
    pub(crate) links: Vec<Vec<(Slot, Slot)>>,
}

/// Number of sweeps over all rows. In all drawings tried, the order no longer changed after this many.
const SWEEPS: usize = 6;

impl Layers {
    /// Returns the order with the fewest crossings among all candidates.
    ///
    /// Candidates: the barycentre heuristic from two initial orders and in both directions, each followed by adjacent
    /// exchange.
    pub(crate) fn new(graph: &Graph) -> Layers {
        let start = Layers::unordered(graph);
        let mut reversed = start.clone();
        reversed.rows.iter_mut().for_each(|row| row.reverse());
        reversed.order_boxes();
        let candidates = [start, reversed].into_iter().flat_map(Layers::swept);
        candidates.min_by_key(Layers::crossings).expect("a start is a candidate")
    }

    fn unordered(graph: &Graph) -> Layers {
        let n_rows = graph.row.iter().max().map_or(0, |last| last + 1);
        let mut rows = vec![Vec::new(); n_rows];
        let mut links = vec![Vec::new(); n_rows.saturating_sub(1)];
        for (item, row) in graph.row.iter().enumerate() {
            rows[*row].push(Slot::Box(item));
        }
        for (from, row) in graph.row.iter().copied().enumerate() {
            let targets = || graph.wires.iter().filter(|wire| wire.0 == from).map(|wire| wire.1);
            let Some(last) = targets().map(|to| graph.row[to]).max() else { continue };
            (row + 1..last).for_each(|between| rows[between].push(Slot::Lane(from)));
            for (gap, links) in links.iter_mut().enumerate().take(last).skip(row) {
                let upper = if gap == row { Slot::Box(from) } else { Slot::Lane(from) };
                let here = targets().filter(|to| graph.row[*to] == gap + 1).map(|to| (upper, Slot::Box(to)));
                links.extend(here);
                if gap + 1 < last {
                    links.push((upper, Slot::Lane(from)));
                }
            }
        }
        Layers { rows, links }
    }

    /// Returns the initial order and the result of every sweep, starting with a downward and with an upward one.
    fn swept(self) -> Vec<Layers> {
        let mut all = vec![self.clone()];
        for downwards in [true, false] {
            let mut layers = self.clone();
            for sweep in 0..SWEEPS {
                layers.sweep(downwards == (sweep % 2 == 0));
                let mut settled = layers.clone();
                settled.exchange_neighbours();
                all.push(settled);
            }
        }
        all
    }

    /// Orders each row by the barycentre: the mean position of a slot's neighbours in the row visited before.
    fn sweep(&mut self, downwards: bool) {
        let n = self.rows.len();
        for i in 1..n {
            let (row, fixed) = if downwards { (i, i - 1) } else { (n - 1 - i, n - i) };
            let places = |slot: Slot| self.neighbours(row, fixed, slot);
            let mean = |slot: Slot| {
                let places = places(slot);
                (!places.is_empty()).then(|| places.iter().sum::<usize>() as f64 / places.len() as f64)
            };
            let keys: Vec<Option<f64>> = self.rows[row].iter().map(|slot| mean(*slot)).collect();
            // Slots without neighbours there keep their relative position in the row.
            let scale = self.rows[fixed].len() as f64 / self.rows[row].len() as f64;
            let mut keyed: Vec<(f64, Slot)> = (0..keys.len())
                .map(|at| (keys[at].unwrap_or(at as f64 * scale), self.rows[row][at]))
                .collect();
            keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
            self.rows[row] = keyed.into_iter().map(|(_, slot)| slot).collect();
            order_boxes(&mut self.rows[row]);
        }
    }

    fn order_boxes(&mut self) {
        self.rows.iter_mut().for_each(|row| order_boxes(row));
    }

    /// The positions, in row `fixed` directly above or below `row`, of the neighbours of a slot.
    fn neighbours(&self, row: usize, fixed: usize, slot: Slot) -> Vec<usize> {
        let links = self.links[row.min(fixed)].iter();
        let others = links.filter_map(|&(upper, lower)| match (upper == slot, lower == slot) {
            (true, _) if fixed > row => Some(lower),
            (_, true) if fixed < row => Some(upper),
            _ => None,
        });
        others.map(|other| place(&self.rows[fixed], other)).collect()
    }

    /// Swaps adjacent slots as long as that reduces the number of crossings (greedy switch).
    fn exchange_neighbours(&mut self) {
        let mut improved = true;
        while improved {
            improved = false;
            for row in 0..self.rows.len() {
                for at in 1..self.rows[row].len() {
                    if let [Slot::Box(_), Slot::Box(_)] = self.rows[row][at - 1..=at] {
                        continue;
                    }
                    let before = self.crossings_beside(row);
                    self.rows[row].swap(at - 1, at);
                    if self.crossings_beside(row) < before {
                        improved = true;
                    } else {
                        self.rows[row].swap(at - 1, at);
                    }
                }
            }
        }
    }

    /// The number of crossing pairs of links. Links that share a slot do not cross.
    pub(crate) fn crossings(&self) -> usize {
        (0..self.links.len()).map(|gap| self.crossings_in(gap)).sum()
    }

    /// The number of crossings in the gaps above and below a row.
    fn crossings_beside(&self, row: usize) -> usize {
        (row.saturating_sub(1)..self.links.len().min(row + 1)).map(|gap| self.crossings_in(gap)).sum()
    }

    fn crossings_in(&self, gap: usize) -> usize {
        let (upper, lower) = (&self.rows[gap], &self.rows[gap + 1]);
        let ends: Vec<_> =
            self.links[gap].iter().map(|(a, b)| (place(upper, *a), place(lower, *b))).collect();
        let crossing =
            |a: &(usize, usize), b: &(usize, usize)| (a.0 < b.0 && a.1 > b.1) || (a.0 > b.0 && a.1 < b.1);
        (1..ends.len()).map(|i| ends[..i].iter().filter(|other| crossing(&ends[i], other)).count()).sum()
    }
}

/// Sorts the boxes of a row by number; the positions of lanes do not change.
fn order_boxes(row: &mut [Slot]) {
    let boxes = |slot: &Slot| if let Slot::Box(item) = slot { Some(*item) } else { None };
    let mut numbers: Vec<usize> = row.iter().filter_map(boxes).collect();
    numbers.sort_unstable();
    let places = row.iter_mut().filter(|slot| matches!(slot, Slot::Box(_)));
    places.zip(numbers).for_each(|(slot, number)| *slot = Slot::Box(number));
}

/// The position of a slot in its row.
pub(crate) fn place(row: &[Slot], slot: Slot) -> usize {
    row.iter().position(|other| *other == slot).expect("links join slots that are in their rows")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_stand_in_the_order_of_their_numbers_whatever_crosses() {
        let graph = Graph { row: vec![0, 0, 1, 1], wires: vec![(0, 3), (1, 2)] };
        let layers = Layers::new(&graph);
        assert_eq!(layers.rows, [[Slot::Box(0), Slot::Box(1)], [Slot::Box(2), Slot::Box(3)]]);
        assert_eq!(layers.crossings(), 1);
    }

    #[test]
    fn a_lane_is_moved_where_that_saves_a_crossing() {
        // The wire from box 0 to box 4 passes row 1; its lane starts right of the boxes.
        let graph =
            Graph { row: vec![0, 0, 1, 1, 2, 2], wires: vec![(0, 4), (1, 2), (1, 3), (2, 5), (3, 5)] };
        let layers = Layers::new(&graph);
        assert!(Layers::unordered(&graph).crossings() > 0);
        assert_eq!((layers.crossings(), layers.rows[1][0]), (0, Slot::Lane(0)));
    }

    #[test]
    fn wires_of_one_box_share_a_lane() {
        let graph = Graph { row: vec![0, 1, 2, 3], wires: vec![(0, 1), (0, 2), (0, 3), (1, 2), (2, 3)] };
        let layers = Layers::new(&graph);
        let lanes = |row: &Vec<Slot>| row.iter().filter(|slot| matches!(slot, Slot::Lane(0))).count();
        assert_eq!(layers.rows.iter().map(lanes).collect::<Vec<_>>(), [0, 1, 1, 0]);
        assert_eq!(layers.links.iter().map(Vec::len).collect::<Vec<_>>(), [2, 3, 2]);
        assert_eq!(layers.crossings(), 0);
    }

    #[test]
    fn two_wires_that_must_cross_cross_once() {
        let wires = vec![(0, 2), (0, 3), (1, 2), (1, 3)];
        assert_eq!(Layers::new(&Graph { row: vec![0, 0, 1, 1], wires }).crossings(), 1);
    }
}
