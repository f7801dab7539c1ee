//! Order of the boxes in a layered graph drawing (Sugiyama's method): the second phase, crossing reduction.
//!
//! The caller has assigned a row to each box; module `route` computes coordinates afterwards. Reference: Sugiyama,
//! Tagawa and Toda, "Methods for visual understanding of hierarchical system structures", 1981.
//!
//! An edge that passes rows on its way has a *dummy vertex* in each of them. All edges of one box share their dummies
//! and branch off where they arrive.
//!
//! The boxes of a row stay in the order of their numbers, as a reader expects them. Only dummies move to reduce
//! crossings.

/// The graph to draw: boxes with their rows, and edges that lead downwards.
#[derive(Clone, Debug)]
pub(crate) struct Graph {
    /// The row of each box.
    pub(crate) row: Vec<usize>,
    /// Wires `(from, to)`. Each pair occurs once.
    pub(crate) edges: Vec<(usize, usize)>,
}

/// An occupied position in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Vertex {
    /// The box with this number.
    Box(usize),
    /// The shared dummy vertex of all edges that start at the box with this number.
    Dummy(usize),
}

/// The order of each row, and the links between neighbouring rows.
#[derive(Clone, Debug)]
pub(crate) struct LayeredGraph {
    pub(crate) rows: Vec<Vec<Vertex>>,
    /// For each gap between two rows: the pairs (upper vertex, lower vertex) that an edge connects.
    pub(crate) links: Vec<Vec<(Vertex, Vertex)>>,
}

/// Number of sweeps over all rows. In all drawings tried, the order no longer changed after this many.
const SWEEPS: usize = 6;

impl LayeredGraph {
    /// Returns the order with the fewest crossings among all candidates.
    ///
    /// Candidates: the barycentre heuristic from two initial orders and in both directions, each followed by adjacent
    /// exchange.
    pub(crate) fn new(graph: &Graph) -> LayeredGraph {
        let start = LayeredGraph::unordered(graph);
        let mut reversed = start.clone();
        reversed.rows.iter_mut().for_each(|row| row.reverse());
        reversed.order_boxes();
        let candidates = [start, reversed].into_iter().flat_map(LayeredGraph::candidates);
        candidates.min_by_key(LayeredGraph::crossings).expect("a start is a candidate")
    }

    fn unordered(graph: &Graph) -> LayeredGraph {
        let n_rows = graph.row.iter().max().map_or(0, |last| last + 1);
        let mut rows = vec![Vec::new(); n_rows];
        let mut links = vec![Vec::new(); n_rows.saturating_sub(1)];
        for (item, row) in graph.row.iter().enumerate() {
            rows[*row].push(Vertex::Box(item));
        }
        for (from, row) in graph.row.iter().copied().enumerate() {
            let targets = || graph.edges.iter().filter(|edge| edge.0 == from).map(|edge| edge.1);
            let Some(last) = targets().map(|to| graph.row[to]).max() else { continue };
            (row + 1..last).for_each(|between| rows[between].push(Vertex::Dummy(from)));
            for (gap, links) in links.iter_mut().enumerate().take(last).skip(row) {
                let upper = if gap == row { Vertex::Box(from) } else { Vertex::Dummy(from) };
                let here =
                    targets().filter(|to| graph.row[*to] == gap + 1).map(|to| (upper, Vertex::Box(to)));
                links.extend(here);
                if gap + 1 < last {
                    links.push((upper, Vertex::Dummy(from)));
                }
            }
        }
        LayeredGraph { rows, links }
    }

    /// Returns the initial order and the result of every sweep, starting with a downward and with an upward one.
    fn candidates(self) -> Vec<LayeredGraph> {
        let mut all = vec![self.clone()];
        for downwards in [true, false] {
            let mut layers = self.clone();
            for sweep in 0..SWEEPS {
                layers.sweep(downwards == (sweep % 2 == 0));
                let mut exchanged = layers.clone();
                exchanged.exchange_neighbours();
                all.push(exchanged);
            }
        }
        all
    }

    /// Orders each row by the barycentre: the mean position of a vertex's neighbours in the row visited before.
    fn sweep(&mut self, downwards: bool) {
        let n = self.rows.len();
        for i in 1..n {
            let (row, fixed) = if downwards { (i, i - 1) } else { (n - 1 - i, n - i) };
            let places = |vertex: Vertex| self.neighbours(row, fixed, vertex);
            let mean = |vertex: Vertex| {
                let places = places(vertex);
                (!places.is_empty()).then(|| places.iter().sum::<usize>() as f64 / places.len() as f64)
            };
            let keys: Vec<Option<f64>> = self.rows[row].iter().map(|vertex| mean(*vertex)).collect();
            // Slots without neighbours there keep their relative position in the row.
            let scale = self.rows[fixed].len() as f64 / self.rows[row].len() as f64;
            let mut keyed: Vec<(f64, Vertex)> = (0..keys.len())
                .map(|at| (keys[at].unwrap_or(at as f64 * scale), self.rows[row][at]))
                .collect();
            keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
            self.rows[row] = keyed.into_iter().map(|(_, vertex)| vertex).collect();
            order_boxes(&mut self.rows[row]);
        }
    }

    fn order_boxes(&mut self) {
        self.rows.iter_mut().for_each(|row| order_boxes(row));
    }

    /// The positions, in row `fixed` directly above or below `row`, of the neighbours of a vertex.
    fn neighbours(&self, row: usize, fixed: usize, vertex: Vertex) -> Vec<usize> {
        let links = self.links[row.min(fixed)].iter();
        let others = links.filter_map(|&(upper, lower)| match (upper == vertex, lower == vertex) {
            (true, _) if fixed > row => Some(lower),
            (_, true) if fixed < row => Some(upper),
            _ => None,
        });
        others.map(|other| position_in_row(&self.rows[fixed], other)).collect()
    }

    /// Swaps adjacent vertices as long as that reduces the number of crossings (greedy switch).
    fn exchange_neighbours(&mut self) {
        let mut improved = true;
        while improved {
            improved = false;
            for row in 0..self.rows.len() {
                for at in 1..self.rows[row].len() {
                    if let [Vertex::Box(_), Vertex::Box(_)] = self.rows[row][at - 1..=at] {
                        continue;
                    }
                    let before = self.crossings_around(row);
                    self.rows[row].swap(at - 1, at);
                    if self.crossings_around(row) < before {
                        improved = true;
                    } else {
                        self.rows[row].swap(at - 1, at);
                    }
                }
            }
        }
    }

    /// The number of crossing pairs of links. Links that share a vertex do not cross.
    pub(crate) fn crossings(&self) -> usize {
        (0..self.links.len()).map(|gap| self.crossings_in(gap)).sum()
    }

    /// The number of crossings in the gaps above and below a row.
    fn crossings_around(&self, row: usize) -> usize {
        (row.saturating_sub(1)..self.links.len().min(row + 1)).map(|gap| self.crossings_in(gap)).sum()
    }

    fn crossings_in(&self, gap: usize) -> usize {
        let upper = &self.rows[gap];
        let lower = &self.rows[gap + 1];
        let ends: Vec<_> = self.links[gap]
            .iter()
            .map(|(a, b)| (position_in_row(upper, *a), position_in_row(lower, *b)))
            .collect();
        let crossing =
            |a: &(usize, usize), b: &(usize, usize)| (a.0 < b.0 && a.1 > b.1) || (a.0 > b.0 && a.1 < b.1);
        (1..ends.len()).map(|i| ends[..i].iter().filter(|other| crossing(&ends[i], other)).count()).sum()
    }
}

/// Sorts the boxes of a row by number; the positions of dummies do not change.
fn order_boxes(row: &mut [Vertex]) {
    let boxes = |vertex: &Vertex| if let Vertex::Box(item) = vertex { Some(*item) } else { None };
    let mut numbers: Vec<usize> = row.iter().filter_map(boxes).collect();
    numbers.sort_unstable();
    let places = row.iter_mut().filter(|vertex| matches!(vertex, Vertex::Box(_)));
    places.zip(numbers).for_each(|(vertex, number)| *vertex = Vertex::Box(number));
}

/// The position of a vertex in its row.
pub(crate) fn position_in_row(row: &[Vertex], vertex: Vertex) -> usize {
    row.iter().position(|other| *other == vertex).expect("links join vertices that are in their rows")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_stand_in_the_order_of_their_numbers_whatever_crosses() {
        let graph = Graph { row: vec![0, 0, 1, 1], edges: vec![(0, 3), (1, 2)] };
        let layers = LayeredGraph::new(&graph);
        assert_eq!(layers.rows, [[Vertex::Box(0), Vertex::Box(1)], [Vertex::Box(2), Vertex::Box(3)]]);
        assert_eq!(layers.crossings(), 1);
    }

    #[test]
    fn a_dummy_is_moved_where_that_saves_a_crossing() {
        // The edge from box 0 to box 4 passes row 1; its dummy starts right of the boxes.
        let graph =
            Graph { row: vec![0, 0, 1, 1, 2, 2], edges: vec![(0, 4), (1, 2), (1, 3), (2, 5), (3, 5)] };
        let layers = LayeredGraph::new(&graph);
        assert!(LayeredGraph::unordered(&graph).crossings() > 0);
        assert_eq!((layers.crossings(), layers.rows[1][0]), (0, Vertex::Dummy(0)));
    }

    #[test]
    fn edges_of_one_box_share_a_dummy() {
        let graph = Graph { row: vec![0, 1, 2, 3], edges: vec![(0, 1), (0, 2), (0, 3), (1, 2), (2, 3)] };
        let layers = LayeredGraph::new(&graph);
        let dummies =
            |row: &Vec<Vertex>| row.iter().filter(|vertex| matches!(vertex, Vertex::Dummy(0))).count();
        assert_eq!(layers.rows.iter().map(dummies).collect::<Vec<_>>(), [0, 1, 1, 0]);
        assert_eq!(layers.links.iter().map(Vec::len).collect::<Vec<_>>(), [2, 3, 2]);
        assert_eq!(layers.crossings(), 0);
    }

    #[test]
    fn two_edges_that_must_cross_cross_once() {
        let edges = vec![(0, 2), (0, 3), (1, 2), (1, 3)];
        assert_eq!(LayeredGraph::new(&Graph { row: vec![0, 0, 1, 1], edges }).crossings(), 1);
    }
}
