//! The order of a layered drawing: which box goes into which row, and who stands beside whom. No coordinates.
//!
//! After Sugiyama, Tagawa and Toda, "Methods for visual understanding of hierarchical system structures", 1981. A
//! wire that passes rows on its way runs in a *lane*, a place in each of those rows. All wires of one box share their
//! lanes and leave them where they arrive.
//!
//! Boxes of a row stand in the order of their numbers, as a reader expects them; only lanes are moved to save crossings.

/// What is to be drawn: boxes in rows, and wires from upper to lower rows.
#[derive(Clone, Debug)]
pub(crate) struct Graph {
    /// The row of every box.
    pub(crate) row: Vec<usize>,
    /// Wires `(from, to)`, each pair once.
    pub(crate) wires: Vec<(usize, usize)>,
}

/// A place in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    /// This box.
    Box(usize),
    /// The wires that come from this box.
    Lane(usize),
}

/// Rows in order, and what leads from each row to the next.
#[derive(Clone, Debug)]
pub(crate) struct Layers {
    pub(crate) rows: Vec<Vec<Slot>>,
    /// For each gap between rows, the pairs of slots that are joined across it.
    pub(crate) links: Vec<Vec<(Slot, Slot)>>,
}

/// Sweeps over all rows before the order no longer changes, in all drawings that were tried.
const SWEEPS: usize = 6;

impl Layers {
    /// The order in which few wires cross.
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

    /// The start, and what sweeps from both ends make of it.
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

    /// Orders each row by the mean place of the neighbours in the row before it.
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
            // Those without neighbours there keep their share of the row.
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

    /// Where in row `fixed`, the one above or below, the neighbours of a slot of `row` stand.
    fn neighbours(&self, row: usize, fixed: usize, slot: Slot) -> Vec<usize> {
        let links = self.links[row.min(fixed)].iter();
        let others = links.filter_map(|&(upper, lower)| match (upper == slot, lower == slot) {
            (true, _) if fixed > row => Some(lower),
            (_, true) if fixed < row => Some(upper),
            _ => None,
        });
        others.map(|other| place(&self.rows[fixed], other)).collect()
    }

    /// Exchanges neighbours in a row as long as that saves crossings.
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

    /// How many pairs of links cross. Links that share a box do not.
    pub(crate) fn crossings(&self) -> usize {
        (0..self.links.len()).map(|gap| self.crossings_in(gap)).sum()
    }

    /// The same in the gaps above and below a row.
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

/// Puts the boxes of a row into the order of their numbers, on the places that boxes have.
fn order_boxes(row: &mut [Slot]) {
    let boxes = |slot: &Slot| if let Slot::Box(item) = slot { Some(*item) } else { None };
    let mut numbers: Vec<usize> = row.iter().filter_map(boxes).collect();
    numbers.sort_unstable();
    let places = row.iter_mut().filter(|slot| matches!(slot, Slot::Box(_)));
    places.zip(numbers).for_each(|(slot, number)| *slot = Slot::Box(number));
}

/// Where a slot stands in its row.
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
        // The wire from 0 to 5 passes row 1, where it stands left of the boxes.
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
