//! The micro search space: the number of arcs, uniform draws and mutations.

use rand_core::RngCore;

use crate::arc::Arc;
use crate::cell::{Branch, Cell, Node};
use crate::cell_kind::N_INPUTS;
use crate::op::Op;

/// The set of all arcs whose cells have `n_nodes` nodes each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ArcSpace {
    /// Nodes per cell: `B − 2` in the paper, which counts the two inputs as well; 5 in its experiments.
    pub n_nodes: usize,
}

impl ArcSpace {
    /// The number of arcs if the order of a node's branches counts: the number of different integer forms.
    ///
    /// `∏ₖ (5k)²` per cell, where `k = 2, 3, …` is the number of states that a node can read. Infinite beyond the
    /// range of `f64`.
    pub fn size(self) -> f64 {
        let branches = self.choices().map(|n_states| n_states * Op::ALL.len() as f64);
        let cell: f64 = branches.map(|branches| branches * branches).product();
        cell * cell
    }

    /// The entropy of the uniform distribution in nats, `ln size`: the largest that a policy can have.
    pub fn max_entropy(self) -> f64 {
        let node = |n_states: f64| 2.0 * (n_states.ln() + (Op::ALL.len() as f64).ln());
        2.0 * self.choices().map(node).sum::<f64>()
    }

    /// For each node of a cell, the number of states that it can read.
    fn choices(self) -> impl Iterator<Item = f64> {
        (0..self.n_nodes).map(|node| (node + N_INPUTS) as f64)
    }
}

impl Arc {
    /// An arc drawn uniformly from the [`ArcSpace`] with `n_nodes` nodes.
    ///
    /// The numbers are drawn in the order of the integer form, each from one `next_u64` (with a chance below 10⁻¹⁷
    /// from more). So a generator with the same state gives the same arc in every version.
    ///
    /// # Panics
    ///
    /// If `n_nodes` is 0.
    pub fn random(n_nodes: usize, rng: &mut impl RngCore) -> Arc {
        assert!(n_nodes > 0, "a cell has at least one node");
        let normal = random_cell(n_nodes, rng);
        let reduction = random_cell(n_nodes, rng);
        Arc::new(normal, reduction).expect("both cells were drawn with the same number of nodes")
    }
}

impl Arc {
    /// A uniformly drawn *wide* arc: every branch reads one of the cell's two inputs.
    ///
    /// Wide cells converge fast and are good more often than others (Shu et al., ICLR 2020), so a search must be
    /// compared with them too. The numbers are drawn as in [`Arc::random`].
    ///
    /// # Panics
    ///
    /// If `n_nodes` is 0.
    pub fn random_wide(n_nodes: usize, rng: &mut impl RngCore) -> Arc {
        assert!(n_nodes > 0, "a cell has at least one node");
        let normal = draw_cell(n_nodes, |_| N_INPUTS, rng);
        let reduction = draw_cell(n_nodes, |_| N_INPUTS, rng);
        Arc::new(normal, reduction).expect("both cells were drawn with the same number of nodes")
    }

    /// Whether every branch reads one of the cell's two inputs.
    pub fn is_wide(&self) -> bool {
        let nodes = self.normal().nodes().iter().chain(self.reduction().nodes());
        nodes.flat_map(|node| [node.x, node.y]).all(|branch| branch.input < N_INPUTS)
    }

    /// The arc with one random change: a uniformly drawn branch gets another input or another operation. This is the
    /// mutation of regularised evolution (Real et al., AAAI 2019).
    pub fn mutated(&self, rng: &mut impl RngCore) -> Arc {
        let mut ints = self.to_ints();
        let branch = below(ints.len() / 2, rng);
        let changes_op = below(2, rng) == 1;
        let per_cell = ints.len() / 4;
        let n_values = if changes_op { Op::ALL.len() } else { branch % per_cell / 2 + N_INPUTS };
        let number = &mut ints[2 * branch + usize::from(changes_op)];
        // A uniform draw among the other values.
        *number = (*number + 1 + below(n_values - 1, rng)) % n_values;
        let ints: Vec<i64> = ints.into_iter().map(|number| number as i64).collect();
        Arc::from_ints(&ints).expect("every number is one of those that its position allows")
    }
}

fn random_cell(n_nodes: usize, rng: &mut impl RngCore) -> Cell {
    draw_cell(n_nodes, |node| node + N_INPUTS, rng)
}

/// A cell whose node `i` reads one of the first `n_states(i)` states.
fn draw_cell(n_nodes: usize, n_states: impl Fn(usize) -> usize, rng: &mut impl RngCore) -> Cell {
    let mut branch = |n_states| {
        let input = below(n_states, rng);
        Branch { input, op: Op::ALL[below(Op::ALL.len(), rng)] }
    };
    let nodes = (0..n_nodes).map(|node| Node { x: branch(n_states(node)), y: branch(n_states(node)) });
    Cell::new(nodes.collect()).expect("every input was drawn from the states before its node")
}

/// A uniformly drawn number of `0..n`; `n` is not 0.
pub(crate) fn below(n: usize, rng: &mut impl RngCore) -> usize {
    let n = n as u64;
    // Rejection sampling: values after the last whole multiple of n would make small results more likely.
    let surplus = (u64::MAX % n + 1) % n;
    loop {
        let value = rng.next_u64();
        if value <= u64::MAX - surplus {
            return (value % n) as usize;
        }
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha8Rng;
    use rand_core::SeedableRng;

    use super::*;

    #[test]
    fn the_size_is_the_square_of_the_number_of_cells() {
        let space = ArcSpace { n_nodes: 5 };
        assert_eq!(space.size(), 5.0625e12 * 5.0625e12);
        assert!((space.max_entropy() - space.size().ln()).abs() < 1e-12, "{}", space.max_entropy());
        assert!((space.max_entropy() - 58.5057).abs() < 1e-4, "{}", space.max_entropy());
    }

    #[test]
    fn sizes_of_one_node_can_be_counted() {
        let mut forms = std::collections::BTreeSet::new();
        let mut canonical = std::collections::BTreeSet::new();
        for code in 0..10_000 {
            let normal = code / 100;
            let reduction = code % 100;
            let digits = [normal / 10, normal % 10, reduction / 10, reduction % 10];
            let ints: Vec<i64> = digits.iter().flat_map(|branch| [branch / 5, branch % 5]).collect();
            let arc = Arc::from_ints(&ints).unwrap();
            canonical.insert(arc.canonical());
            forms.insert(arc);
        }
        let space = ArcSpace { n_nodes: 1 };
        assert_eq!(forms.len() as f64, space.size());
        assert_eq!(canonical.len(), 55 * 55, "unordered pairs of ten branches in each of two cells");
    }

    #[test]
    fn every_value_of_every_position_is_equally_likely() {
        const N: usize = 20_000;
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut counts = vec![[0usize; 5]; 24];
        for _ in 0..N {
            for (position, value) in Arc::random(3, &mut rng).to_ints().into_iter().enumerate() {
                counts[position][value] += 1;
            }
        }
        for (position, counts) in counts.iter().enumerate() {
            let n_values = if position % 2 == 1 { 5 } else { position % 12 / 4 + 2 };
            let p = 1.0 / n_values as f64;
            let mean = N as f64 * p;
            let sd = (N as f64 * p * (1.0 - p)).sqrt();
            for (value, &count) in counts.iter().enumerate() {
                let expected = if value < n_values { mean } else { 0.0 };
                let distance = (count as f64 - expected).abs();
                assert!(
                    distance <= 5.0 * sd,
                    "{count} of {N} at {position} are {value}, expected {expected}"
                );
            }
        }
    }

    #[test]
    fn wide_arcs_read_nothing_but_the_inputs() {
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        assert!((0..100).all(|_| Arc::random_wide(4, &mut rng).is_wide()));
        assert!((0..100).filter(|_| Arc::random(4, &mut rng).is_wide()).count() < 10);
    }

    #[test]
    fn a_mutant_differs_in_one_number_and_every_number_can_change_to_every_value() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let arc = Arc::random(3, &mut rng);
        let ints = arc.to_ints();
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..5000 {
            let mutant = arc.mutated(&mut rng).to_ints();
            let changed: Vec<usize> = (0..ints.len()).filter(|&i| mutant[i] != ints[i]).collect();
            assert_eq!(changed.len(), 1);
            seen.insert((changed[0], mutant[changed[0]]));
        }
        // Per cell: six operations with four other values each, and inputs with one, two and three others, twice.
        assert_eq!(seen.len(), 2 * (6 * 4 + 2 * (1 + 2 + 3)));
    }

    #[test]
    fn values_that_would_bias_the_draw_are_drawn_again() {
        struct Listed(Vec<u64>);
        impl RngCore for Listed {
            fn next_u32(&mut self) -> u32 {
                self.next_u64() as u32
            }
            fn next_u64(&mut self) -> u64 {
                self.0.remove(0)
            }
            fn fill_bytes(&mut self, bytes: &mut [u8]) {
                bytes.fill(self.next_u64() as u8);
            }
        }
        // 2^64 is a multiple of 5 plus 1, so only the largest value is rejected. For 4 none is.
        assert_eq!(below(5, &mut Listed(vec![u64::MAX, 7])), 2);
        assert_eq!(below(5, &mut Listed(vec![u64::MAX - 1, 7])), 4);
        assert_eq!(below(4, &mut Listed(vec![u64::MAX, 7])), 3);
    }

    #[test]
    fn the_same_generator_gives_the_same_arc_in_every_version() {
        let arc = Arc::random(5, &mut ChaCha8Rng::seed_from_u64(7));
        assert_eq!(
            arc.to_string(),
            "1 4 1 3 1 3 1 0 1 0 0 0 0 3 3 4 2 1 2 3 1 3 1 1 0 1 2 0 1 3 0 0 3 1 1 0 2 3 4 1"
        );
    }
}
