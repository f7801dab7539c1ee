//! Output shape and cost of each part of a network, for drawings and tables.

use enas_arc::Arc;

use crate::backend::{Cpu, Statistics};
use crate::checkpointing::StoreAll;
use crate::loss::LossRule;
use crate::params::Weights;
use crate::tape::Tape;
use crate::{Child, Error};

/// The parts of a network in order, with their output shapes and costs; see [`Child::costs`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Costs {
    /// The first convolution.
    pub stem: LayerCost,
    /// The cells, as in [`Plan::cells`](crate::Plan), or the layers of a network of the macro space.
    pub cells: Vec<LayerCost>,
    /// The classifier; its channels are the classes, its size is 1×1.
    pub classifier: LayerCost,
    /// Number of weights of the auxiliary head, if there is one. It is computed in training only.
    pub aux_params: Option<usize>,
}

impl Costs {
    /// All parts in order.
    pub fn parts(&self) -> impl Iterator<Item = &LayerCost> {
        [&self.stem].into_iter().chain(&self.cells).chain([&self.classifier])
    }

    /// Multiply-adds per image of the whole network.
    pub fn macs(&self) -> u64 {
        self.parts().map(|part| part.macs).sum()
    }
}

/// Output shape and cost of one part of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerCost {
    /// Channels of its output.
    pub channels: usize,
    /// Height of its output.
    pub height: usize,
    /// Width of its output.
    pub width: usize,
    /// Number of its trained weights. In a network with shared weights it counts the weights of all arcs.
    pub params: usize,
    /// Multiply-adds per image at inference, along the arc.
    pub macs: u64,
}

impl Child {
    /// Output shape and cost of each part of the network. The sums are [`Child::n_params`] and [`Child::macs`].
    ///
    /// # Errors
    /// If the arc does not fit the network.
    pub fn costs(&self, arc: &Arc) -> Result<Costs, Error> {
        self.check_arc(arc)?;
        // A batch of 0 images takes the same path and computes nothing.
        self.params.read(|weights| self.costs_of(arc, weights))
    }

    fn costs_of(&self, arc: &Arc, weights: Weights<'_>) -> Result<Costs, Error> {
        let cpu = Cpu { weights, running: &[], loss: LossRule::default() };
        let mut tape = Tape::new(&cpu, Statistics::Batch, false);
        let input = tape.input(self.map(&[]));
        let features = self.network.forward(&mut tape, arc, input, None, (&StoreAll, true))?;

        let params_in = |scope: &str| {
            self.params.count(|name| name.strip_prefix(scope).is_some_and(|rest| rest.starts_with('/')))
        };
        let (plan, classifier) = (self.plan(), &self.network.classifier);
        let stem = LayerCost {
            channels: plan.stem,
            height: plan.input.height,
            width: plan.input.width,
            params: params_in("stem_conv"),
            macs: features.macs[0],
        };
        let cells = plan.cells.iter().zip(&features.cells).zip(&features.macs[1..]).enumerate();
        let cells = cells.map(|(i, ((planned, output), macs))| LayerCost {
            channels: output.iter().map(|part| tape.shape(part).1).sum(),
            height: planned.height,
            width: planned.width,
            params: params_in(&format!("layer_{i}")),
            macs: *macs,
        });
        Ok(Costs {
            stem,
            cells: cells.collect(),
            classifier: LayerCost {
                channels: classifier.classes,
                height: 1,
                width: 1,
                params: params_in("fc"),
                macs: classifier.macs(),
            },
            aux_params: self.network.aux.is_some().then(|| self.n_aux_params()),
        })
    }
}

#[cfg(test)]
mod tests {
    use enas_rng::Seed;

    use super::*;
    use crate::{AuxHead, Config, InputShape, Reductions, SharedInit};

    const INPUT: InputShape = InputShape { channels: 3, height: 15, width: 16 };

    fn config() -> Config {
        Config {
            filters: 4,
            layers: 6,
            nodes: 2,
            reductions: Reductions::Two,
            aux_head: AuxHead::Trained,
            aux_weight: 0.4,
            shared_init: SharedInit::Kernel,
            keep_prob: 1.0,
            drop_path_keep: 1.0,
            l2: 0.0,
            momentum: 0.9,
            clip_norm: 0.0,
        }
    }

    fn arc() -> Arc {
        "0 0 1 4 0 2 0 3  0 1 1 4 2 2 1 3".parse().expect("an arc")
    }

    #[test]
    fn the_parts_add_up_to_the_whole() {
        let fixed = Child::fixed(&config(), &arc(), INPUT, 7, Seed::new(0)).unwrap();
        let shared = Child::shared(&config(), INPUT, 7, Seed::new(0)).unwrap();
        for child in [fixed, shared] {
            let costs = child.costs(&arc()).unwrap();
            let parts = || costs.cells.iter().chain([&costs.stem, &costs.classifier]);
            assert_eq!(parts().map(|part| part.params).sum::<usize>(), child.n_params());
            assert_eq!(parts().map(|part| part.macs).sum::<u64>(), child.macs(&arc()).unwrap());
            assert_eq!(costs.aux_params, Some(child.n_aux_params()));
            assert!(parts().all(|part| part.params > 0 && part.macs > 0), "{costs:?}");
        }
    }

    #[test]
    fn cells_of_a_network_for_one_arc_join_their_loose_ends() {
        let child = Child::fixed(&config(), &arc(), INPUT, 7, Seed::new(0)).unwrap();
        let sizes = child.costs(&arc()).unwrap().cells;
        let sizes: Vec<_> = sizes.iter().map(|cell| (cell.channels, cell.height, cell.width)).collect();
        // The normal cell has two loose ends, the reduction cell one.
        assert_eq!(sizes[..3], [(8, 15, 16), (8, 15, 16), (8, 8, 8)]);
    }

    #[test]
    fn a_foreign_arc_is_refused() {
        let child = Child::fixed(&config(), &arc(), INPUT, 7, Seed::new(0)).unwrap();
        let foreign = "0 0 1 4 0 2 0 3  0 1 1 4 2 2 1 4".parse().expect("an arc");
        assert!(child.costs(&foreign).unwrap_err().to_string().contains("built for"));
    }
}
