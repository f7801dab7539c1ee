//! Inference of macro networks: logits, batch norms folded, the graph as plain data, and the cost of each layer.

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use enas_arc::MacroArc;
use enas_rng::Stream;

use super::MacroChild;
use super::network::PartCost;
use super::op::Evaluation;
use crate::analysis::{Costs, InferenceGraph, LayerCost, trace};
use crate::autograd::Tape;
use crate::backend::{Cpu, Forward, Statistics};
use crate::batch::Batch;
use crate::child::Norm;
use crate::error::Error;
use crate::loss::LossRule;
use crate::network::fold::fold_batch_norms;
use crate::params::MAX_WEIGHTS;

impl MacroChild {
    /// Logits `[n, classes]` of images `[n, c, h, w]` of F32, with dropout if `dropout` is given. Gradients are not
    /// tracked.
    ///
    /// Unlike shared cells, shared layers have moving statistics. They cover all arcs that used the layer in
    /// training.
    ///
    /// # Errors
    /// If the images or the arc do not fit the network, or if the images are on a GPU.
    pub fn logits(
        &self,
        arc: &MacroArc,
        images: impl Into<Batch>,
        norm: Norm,
        dropout: Option<&mut Stream>,
    ) -> Result<Tensor, Error> {
        let batch = images.into();
        let n = self.check_batch(arc, &batch)?;
        let (images, _) = batch.on_host()?;
        let statistics = match norm {
            Norm::BatchStatistics => Statistics::Batch,
            Norm::RunningStatistics => Statistics::Running,
        };
        let evaluation = Evaluation { child: self, arc, statistics };
        let features = images.contiguous()?.apply_op1_no_bwd(&evaluation)?;
        let mut features = features.flatten_all()?.to_vec1::<f32>()?;
        if let Some(stream) = dropout {
            let keep = self.config.keep_prob;
            features.iter_mut().for_each(|x| *x *= (keep + stream.uniform()).floor() / keep);
        }
        let logits = self.params.read(|weights| {
            let cpu = Cpu { weights, running: &[], loss: LossRule::default() };
            Ok(cpu.classify(&self.network.classifier, &features))
        })?;
        Ok(Tensor::from_vec(logits, (n, self.n_classes()), &Device::Cpu)?)
    }

    /// The same network with every batch norm folded into the convolution before it, for inference.
    ///
    /// # Errors
    /// If the network shares weights.
    pub fn folded(&self) -> Result<Self, Error> {
        let arc = self.own_arc()?;
        let zeros = VarBuilder::zeros(DType::F32, &Device::Cpu);
        let classes = self.n_classes();
        let mut folded = Self::new(&self.config, Some(arc), self.input, classes, zeros.into(), MAX_WEIGHTS)?;
        folded.load(&self.weights()?)?;
        fold_batch_norms(&folded.params, &folded.running, folded.network.conv_layers())?;
        Ok(folded)
    }

    /// The inference graph of the network.
    ///
    /// # Errors
    /// If the network shares weights.
    pub fn inference_graph(&self) -> Result<InferenceGraph, Error> {
        let arc = self.own_arc()?;
        let folded = self.folded()?;
        let network = &folded.network;
        trace(&folded.params, self.input, &network.classifier, |tape, images| {
            let means = network.forward(tape, arc, images).means;
            Ok(tape.backend.flatten(&means.value))
        })
    }

    /// Multiply-adds per image at inference.
    ///
    /// # Errors
    /// If the arc does not fit the network.
    pub fn macs(&self, arc: &MacroArc) -> Result<u64, Error> {
        let parts = self.part_costs(arc)?;
        Ok(parts.iter().map(|part| part.macs).sum::<u64>() + self.network.classifier.macs())
    }

    /// Output shape and cost of each part of the network. [`Costs::cells`] are its layers, each with the reductions
    /// that follow it. The sums are [`MacroChild::n_params`] and [`MacroChild::macs`].
    ///
    /// # Errors
    /// If the arc does not fit the network.
    pub fn costs(&self, arc: &MacroArc) -> Result<Costs, Error> {
        let parts = self.part_costs(arc)?;
        let params_of = |part: usize| match part {
            0 => self.params.count_in("stem_conv"),
            layer => {
                self.params.count_in(&format!("layer_{}", layer - 1))
                    + self.params.count_in(&format!("pool_at_{}", layer - 1))
            }
        };
        let cost = |(part, PartCost { output, macs }): (usize, PartCost)| {
            let (_, channels, height, width) = output;
            LayerCost { channels, height, width, params: params_of(part), macs }
        };
        let mut costs = parts.into_iter().enumerate().map(cost);
        let stem = costs.next().expect("a network has a stem");
        Ok(Costs {
            stem,
            cells: costs.collect(),
            classifier: LayerCost::of_classifier(&self.network.classifier, &self.params),
            aux_params: None,
        })
    }

    /// Output shapes and multiply-adds of the stem and of every layer.
    fn part_costs(&self, arc: &MacroArc) -> Result<Vec<PartCost>, Error> {
        self.check_arc(arc)?;
        self.params.read(|weights| {
            let cpu = Cpu { weights, running: &[], loss: LossRule::default() };
            let mut tape = Tape::new(&cpu, Statistics::Batch, false);
            // A batch of zero images takes the same path through the network without computing values.
            let images = tape.input(self.map(&[], 0));
            Ok(self.network.forward(&mut tape, arc, images).parts)
        })
    }

    /// The arc that the network was built for.
    ///
    /// # Errors
    /// If the network shares weights.
    fn own_arc(&self) -> Result<&MacroArc, Error> {
        self.arc
            .as_ref()
            .ok_or_else(|| Error::Arc("shared weights cannot be folded; build the network of one arc".into()))
    }
}

#[cfg(test)]
mod tests {
    use enas_rng::Seed;

    use super::*;
    use crate::analysis::Operation;
    use crate::child::Step;
    use crate::config::InputShape;
    use crate::macro_net::MacroConfig;

    const INPUT: InputShape = InputShape { channels: 2, height: 9, width: 9 };

    /// An arc of all six operations, with skip connections. Its network has two reductions.
    fn arc() -> MacroArc {
        let text = "1 = conv-3x3(0); 2 = sep-conv-3x3(1) + 0; 3 = conv-5x5(2) + 0 + 1; 4 = sep-conv-5x5(3) + 2; \
                    5 = avg-pool-3x3(4); 6 = max-pool-3x3(5) + 0 + 4";
        MacroArc::parse_any(text).expect("an arc")
    }

    /// A network that was trained for three steps, so that its moving statistics differ from their initial values.
    fn child() -> MacroChild {
        let config = MacroConfig { layers: 6, filters: 4, keep_prob: 1.0, ..MacroConfig::default() };
        let mut child = MacroChild::fixed(&config, &arc(), INPUT, 3, Seed::new(1)).unwrap();
        let labels = Tensor::new(&[0u32, 1, 2, 0, 1], &Device::Cpu).unwrap();
        for global_step in 0..3 {
            let step = Step { lr: 0.05, global_step, total_steps: 3, seed: Seed::new(0) };
            child.train_step(&arc(), &images(), &labels, &step).unwrap();
        }
        child
    }

    fn images() -> Tensor {
        let mut stream = Seed::new(2).stream("images", &[]);
        let numbers: Vec<f32> = (0..5 * 2 * 9 * 9).map(|_| stream.normal()).collect();
        Tensor::from_vec(numbers, (5, 2, 9, 9), &Device::Cpu).unwrap()
    }

    fn logits(child: &MacroChild) -> Vec<f32> {
        let logits = child.logits(&arc(), &images(), Norm::RunningStatistics, None).unwrap();
        logits.flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn folding_changes_no_answer() {
        let child = child();
        let folded = logits(&child.folded().unwrap());
        for (a, b) in logits(&child).iter().zip(&folded) {
            assert!((a - b).abs() <= 1e-4 * a.abs().max(1.0), "{a} became {b}");
        }
    }

    #[test]
    fn the_parts_add_up_to_the_whole() {
        let config = MacroConfig { layers: 6, filters: 4, ..MacroConfig::default() };
        let shared = MacroChild::shared(&config, INPUT, 3, Seed::new(0)).unwrap();
        for child in [child(), shared] {
            let costs = child.costs(&arc()).unwrap();
            let parts = || costs.cells.iter().chain([&costs.stem, &costs.classifier]);
            assert_eq!(parts().map(|part| part.params).sum::<usize>(), child.n_params());
            assert_eq!(parts().map(|part| part.macs).sum::<u64>(), child.macs(&arc()).unwrap());
            let sizes: Vec<usize> = costs.cells.iter().map(|part| part.height).collect();
            assert_eq!(sizes, [9, 5, 5, 3, 3, 3]);
        }
    }

    #[test]
    fn an_inference_graph_ends_with_the_classifier_on_flat_features() {
        let inference_graph = child().inference_graph().unwrap();
        let [.., Operation::Flatten { .. }, Operation::Classify { matrix: (_, matrix), .. }] =
            inference_graph.operations.as_slice()
        else {
            panic!("{inference_graph:?}")
        };
        assert_eq!(matrix.dims(), [16, 3]);
        let config = MacroConfig { layers: 6, filters: 4, ..MacroConfig::default() };
        let shared = MacroChild::shared(&config, INPUT, 3, Seed::new(0)).unwrap();
        assert!(shared.inference_graph().unwrap_err().to_string().contains("one arc"));
    }
}
