//! Output shape and cost of each part of a network, for drawings and tables.

use enas_arc::Arc;

use crate::autograd::Tape;
use crate::backend::{Cpu, Statistics};
use crate::child::Child;
use crate::error::Error;
use crate::layer::Classifier;
use crate::loss::LossRule;
use crate::network::PassOptions;
use crate::params::{Params, Weights};

/// The parts of a network in order, with their output shapes and costs; see [`Child::costs`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Costs {
    /// The first convolution.
    pub stem: LayerCost,
    /// The cells, as in [`NetworkLayout::cells`](crate::NetworkLayout), or the layers of a network of the macro space.
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

impl LayerCost {
    /// The cost of the classifier, whose weights have names below `fc`.
    pub(crate) fn of_classifier(classifier: &Classifier, params: &Params) -> Self {
        Self {
            channels: classifier.classes,
            height: 1,
            width: 1,
            params: params.count_in("fc"),
            macs: classifier.macs(),
        }
    }
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

    /// Multiply-adds per image at inference.
    ///
    /// # Errors
    /// If the arc does not fit the network.
    pub fn macs(&self, arc: &Arc) -> Result<u64, Error> {
        self.check_arc(arc)?;
        // A batch of 0 images takes the same path and computes nothing.
        self.params.read(|weights| {
            let cpu = Cpu { weights, running: &[], loss: LossRule::default() };
            let mut tape = Tape::new(&cpu, Statistics::Batch, false);
            let input = tape.input(self.network.map(&[]));
            self.network.forward(&mut tape, arc, input, PassOptions::store_all(None))?;
            Ok(tape.macs + self.network.classifier.macs())
        })
    }

    fn costs_of(&self, arc: &Arc, weights: Weights<'_>) -> Result<Costs, Error> {
        let cpu = Cpu { weights, running: &[], loss: LossRule::default() };
        let mut tape = Tape::new(&cpu, Statistics::Batch, false);
        let input = tape.input(self.network.map(&[]));
        let options = PassOptions::store_all(None).with_cells();
        let features = self.network.forward(&mut tape, arc, input, options)?;
        let layout = self.layout();
        let stem = LayerCost {
            channels: layout.stem,
            height: layout.input.height,
            width: layout.input.width,
            params: self.params.count_in("stem_conv"),
            macs: features.macs[0],
        };
        let cells = layout.cells.iter().zip(&features.cells).zip(&features.macs[1..]).enumerate();
        let cells = cells.map(|(i, ((cell, output), macs))| LayerCost {
            channels: output.iter().map(|part| tape.shape(part).1).sum(),
            height: cell.height,
            width: cell.width,
            params: self.params.count_in(&format!("layer_{i}")),
            macs: *macs,
        });
        Ok(Costs {
            stem,
            cells: cells.collect(),
            classifier: LayerCost::of_classifier(&self.network.classifier, &self.params),
            aux_params: self.network.aux.is_some().then(|| self.n_aux_params()),
        })
    }
}

#[cfg(test)]
mod tests {
    use enas_rng::Seed;

    use super::*;
    use crate::config::{AuxHead, Config, InputShape};

    const INPUT: InputShape = InputShape { channels: 3, height: 15, width: 16 };

    fn config() -> Config {
        Config { aux_head: AuxHead::Trained, ..Config::plain(4, 6, 2) }
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
