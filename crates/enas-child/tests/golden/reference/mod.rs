//! The networks of the golden files in double precision, and what single precision may decide otherwise.
//!
//! A ReLU whose input is nearly zero, or a max-pool whose two largest inputs are nearly equal, may pass its gradient on
//! or not, or to the one or the other, according to how sums were rounded. One such decision can change a gradient by a
//! percent. [`Reference::explain`] finds the decisions near a tie that an observed gradient was computed with; with
//! those, gradients must agree to single precision.

mod backward;
mod graph;
mod network;
mod tensor;

use std::collections::BTreeMap;
use std::sync::OnceLock;

use enas_arc::Arc;
use rayon::prelude::*;

use self::backward::Flips;
pub(crate) use self::backward::Gradients;
use self::graph::{Graph, Id, Op};
use self::network::Network;
use self::tensor::Tensor;
use crate::set::GoldenSet;

/// How near to a tie a decision must be to go either way: its margin, relative to the root mean square of the tensor.
const NEAR: f64 = 3e-4;
/// Most decisions that are looked at, those nearest to a tie.
const MOST: usize = 160;

/// A training pass in double precision.
pub(crate) struct Reference<'a> {
    graph: Graph<'a>,
    seeds: Vec<(Id, Tensor)>,
    l2: f64,
    gradients: Gradients,
    ties: OnceLock<Vec<Tie>>,
}

/// A decision near a tie.
pub(crate) struct Tie {
    at: (Id, usize),
    /// Relative to the root mean square of the tensor.
    pub(crate) margin: f64,
    pub(crate) label: String,
    /// What deciding otherwise adds to the gradient.
    effect: Gradients,
    /// The squared norm of the effect.
    size: f64,
}

/// A gradient with the decisions that an observed one was computed with.
pub(crate) struct Explanation<'a> {
    pub(crate) flips: Vec<&'a Tie>,
    pub(crate) gradients: Gradients,
}

impl<'a> Reference<'a> {
    /// A pass of `arc` on the images `in/x1` of a set; `weights` are those of the set.
    pub(crate) fn new(set: &GoldenSet, arc: &Arc, weights: &'a BTreeMap<String, Vec<f64>>) -> Self {
        let mut graph = Graph::new(weights);
        let logits = Network::of(set).run(&mut graph, arc, images(set, "in/x1"));
        let labels = set.labels("in/y1");
        let mut seeds = vec![(logits.main, loss_gradient(graph.value(logits.main), &labels, 1.0))];
        seeds.extend(logits.aux.map(|aux| (aux, loss_gradient(graph.value(aux), &labels, 0.4))));
        let l2 = set.meta["config"]["l2_reg"].as_f64().unwrap_or(0.0);
        let mut reference = Self { graph, seeds, l2, gradients: Gradients::new(), ties: OnceLock::new() };
        reference.gradients = reference.backward(&Flips::new());
        reference
    }

    /// The gradient of the whole loss by every trained weight, with some decisions taken otherwise.
    fn backward(&self, flips: &Flips) -> Gradients {
        let mut gradients = self.graph.backward(&self.seeds, flips);
        // The published code never trains the auxiliary head itself.
        gradients.retain(|name, _| !name.starts_with("aux_head"));
        for (name, gradient) in &mut gradients {
            let weights = &self.graph.weights[name];
            gradient.iter_mut().zip(weights).for_each(|(g, w)| *g += 2.0 * self.l2 * w);
        }
        gradients
    }

    /// The decisions that `observed` was computed with, as far as they differ from those in double precision, and the
    /// gradient with them.
    ///
    /// Each decision near a tie changes the gradient in its own way. Those are taken, one after another, that bring the
    /// gradient nearest to the observed one; none is taken by halves, so nothing but decisions can be explained.
    pub(crate) fn explain(&self, observed: &Gradients, tolerance: f64) -> Explanation<'_> {
        let mut rest = Gradients::new();
        for (name, ours) in &self.gradients {
            rest.insert(name.clone(), observed[name].iter().zip(ours).map(|(a, b)| a - b).collect());
        }
        if worst(&rest, &self.gradients) <= tolerance {
            return Explanation { flips: Vec::new(), gradients: self.gradients.clone() };
        }
        let ties = self.ties.get_or_init(|| self.near_ties());
        let mut left: Vec<&Tie> = ties.iter().collect();
        let mut flips = Vec::new();
        loop {
            // What taking it shortens the squared distance by: 1 for a decision that was taken otherwise, −1 for any
            // other one, relative to its effect.
            let gains = left.iter().map(|tie| 2.0 * self.product(&rest, &tie.effect) / tie.size - 1.0);
            let likely = gains.enumerate().filter(|(_, gain)| *gain > 0.5);
            let best = likely.max_by(|a, b| (a.1 * left[a.0].size).total_cmp(&(b.1 * left[b.0].size)));
            let Some((best, _)) = best else { break };
            let tie = left.remove(best);
            for (name, effect) in &tie.effect {
                let rest = rest.get_mut(name).expect("an effect is a gradient");
                rest.iter_mut().zip(effect).for_each(|(r, e)| *r -= e);
            }
            flips.push(tie);
        }
        let gradients = self.backward(&flips.iter().map(|tie| tie.at).collect());
        Explanation { flips, gradients }
    }

    /// The gradient with one decision taken otherwise, of those near a tie the one that changes it most, and the margin
    /// of that decision.
    pub(crate) fn with_one_flipped(&self) -> (Gradients, f64) {
        let ties = self.ties.get_or_init(|| self.near_ties());
        let largest = ties.iter().max_by(|a, b| a.size.total_cmp(&b.size));
        let tie = largest.expect("some decision is near a tie");
        (self.backward(&Flips::from([tie.at])), tie.margin)
    }

    /// The inner product of two gradients, every tensor relative to its own norm.
    fn product(&self, a: &Gradients, b: &Gradients) -> f64 {
        let of = |(name, a): (&String, &Vec<f64>)| {
            let size: f64 = self.gradients[name].iter().map(|g| g * g).sum();
            a.iter().zip(&b[name]).map(|(a, b)| a * b).sum::<f64>() / size.max(f64::MIN_POSITIVE)
        };
        a.iter().map(of).sum()
    }

    fn near_ties(&self) -> Vec<Tie> {
        let mut found: Vec<(f64, (Id, usize))> = Vec::new();
        for (id, node) in self.graph.nodes.iter().enumerate() {
            let (x, margins): (Id, Vec<f64>) = match &node.op {
                Op::Relu(x) => (*x, self.graph.value(*x).data.iter().map(|v| v.abs()).collect()),
                Op::MaxPool { x, winners } => {
                    let data = &self.graph.value(*x).data;
                    (*x, winners.iter().map(|(first, second)| data[*first] - data[*second]).collect())
                }
                _ => continue,
            };
            let limit = NEAR * self.graph.value(x).rms();
            // Numbers that are equal even here are decided by rule, not by rounding.
            let near = margins.iter().enumerate().filter(|(_, margin)| **margin > 0.0 && **margin < limit);
            found.extend(near.map(|(i, margin)| (margin / limit * NEAR, (id, i))));
        }
        found.sort_by(|a, b| a.0.total_cmp(&b.0));
        found.truncate(MOST);
        let tie = |&(margin, at): &(f64, (Id, usize))| {
            let mut effect = self.backward(&Flips::from([at]));
            for (name, effect) in &mut effect {
                effect.iter_mut().zip(&self.gradients[name]).for_each(|(e, g)| *e -= g);
            }
            let label = &self.graph.nodes[at.0].label;
            let size = self.product(&effect, &effect);
            Tie { at, margin, label: format!("{label} [{}]", at.1), effect, size }
        };
        let all: Vec<Tie> = found.par_iter().map(tie).collect();
        all.into_iter().filter(|tie| tie.size > 0.0).collect()
    }
}

/// The largest norm of a difference, relative to that of its tensor.
fn worst(differences: &Gradients, of: &Gradients) -> f64 {
    let relative =
        |(name, difference): (&String, &Vec<f64>)| norm(difference) / norm(&of[name]).max(f64::MIN_POSITIVE);
    differences.iter().map(relative).fold(0.0, |worst, x| if x.is_nan() || x > worst { x } else { worst })
}

/// The square root of the sum of squares.
pub(crate) fn norm(values: &[f64]) -> f64 {
    values.iter().map(|v| v * v).sum::<f64>().sqrt()
}

/// `weight` times the gradient of the mean cross entropy by the logits.
fn loss_gradient(logits: &Tensor, labels: &[u32], weight: f64) -> Tensor {
    let mut out = logits.clone();
    for (row, label) in out.data.chunks_exact_mut(logits.c).zip(labels) {
        let max = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = row.iter().map(|l| (l - max).exp()).sum();
        row.iter_mut().for_each(|l| *l = (*l - max).exp() / sum);
        row[*label as usize] -= 1.0;
        row.iter_mut().for_each(|l| *l *= weight / labels.len() as f64);
    }
    out
}

fn images(set: &GoldenSet, name: &str) -> Tensor {
    let (shape, data) = set.tensor(name);
    let data = data.iter().map(|x| f64::from(*x)).collect();
    Tensor { n: shape[0], h: shape[1], w: shape[2], c: shape[3], data }
}
