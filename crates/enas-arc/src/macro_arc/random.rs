//! The macro space: the number of arcs, and uniform draws.

use rand_core::RngCore;

use super::{MacroArc, MacroLayer, MacroOp};
use crate::space::below;

/// The set of all macro arcs with `n_layers` layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MacroArcSpace {
    /// Number of layers without the stem: 12 in the authors' search, 24 in their final network.
    pub n_layers: usize,
}

impl MacroArcSpace {
    /// The number of arcs: `6^L · 2^(L(L−1)/2)`. Infinite beyond the range of `f64`.
    pub fn size(self) -> f64 {
        self.max_entropy().exp()
    }

    /// The entropy of the uniform distribution in nats, `ln size`: the largest that a policy can have.
    pub fn max_entropy(self) -> f64 {
        let layers = self.n_layers as f64;
        layers * (MacroOp::ALL.len() as f64).ln() + layers * (layers - 1.0) / 2.0 * 2f64.ln()
    }
}

impl MacroArc {
    /// An arc drawn uniformly from the [`MacroArcSpace`] with `n_layers` layers.
    ///
    /// The numbers are drawn in the order of the integer form, each from one `next_u64` (with a chance below 10⁻¹⁷
    /// from more). So a generator with the same state gives the same arc in every version.
    ///
    /// # Panics
    ///
    /// If `n_layers` is 0.
    pub fn random(n_layers: usize, rng: &mut impl RngCore) -> MacroArc {
        assert!(n_layers > 0, "a macro arc has at least one layer");
        let mut layer = |before: usize| {
            let op = MacroOp::ALL[below(MacroOp::ALL.len(), rng)];
            MacroLayer { op, skips: (0..before).map(|_| below(2, rng) == 1).collect() }
        };
        let layers = (0..n_layers).map(&mut layer).collect();
        MacroArc::new(layers).expect("each layer was drawn with as many skips as it has")
    }

    /// The arc with one random change: a uniformly drawn layer gets another operation, or one of its skips is
    /// flipped. In the first layer only the operation can change.
    ///
    /// The layer is drawn first, because most numbers of an arc are skips of late layers. A uniformly drawn number
    /// would almost always be one of these.
    pub fn mutated(&self, rng: &mut impl RngCore) -> MacroArc {
        let mut layers = self.layers.clone();
        let chosen = below(layers.len(), rng);
        let MacroLayer { op, skips } = &mut layers[chosen];
        if skips.is_empty() || below(2, rng) == 0 {
            // A uniform draw among the other operations.
            let n_ops = MacroOp::ALL.len();
            *op = MacroOp::ALL[(op.id() + 1 + below(n_ops - 1, rng)) % n_ops];
        } else {
            let skip = below(skips.len(), rng);
            skips[skip] = !skips[skip];
        }
        MacroArc::new(layers).expect("no layer has gained or lost a skip")
    }
}
