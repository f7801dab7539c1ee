//! Small networks with random weights and statistics, and their exported files.

use std::path::PathBuf;

use candle_core::Tensor;
use enas_child::{
    AuxHead, Child, Config, FixedNetwork, InputShape, MacroArc, MacroChild, MacroConfig, NamedTensor,
    Reductions, Step,
};
use enas_data::Normalization;
use enas_rng::Seed;
use prost::Message;
use tempfile::TempDir;

use crate::check::{Claim, Reference, allowance, compare, normalized, own_logits, rounding};
use crate::error::Result;
use crate::proto::Model;
use crate::sample_images::synthesize;
use crate::{file, lower};

/// Every operation in both cells. Nodes read the two inputs only, so all nodes are loose ends.
pub(crate) const WIDE: &str = "0 0 1 1 0 2 1 3 0 4 1 0  1 0 0 1 1 2 0 3 1 4 0 4";
/// Every operation in both cells. Each node reads the previous one, so there is one loose end.
pub(crate) const DEEP: &str = "0 0 1 3 2 1 2 2 3 4 3 0  0 2 1 4 2 3 2 0 3 1 3 4";
/// Only the later input is read. The earlier one is a loose end, larger than the nodes of a reduction cell.
pub(crate) const LOOSE_INPUT: &str = "1 4 1 2 1 3 1 0 2 2 2 2  1 1 1 2 1 3 1 4 1 3 1 3";

/// A network with images for the check.
pub(crate) struct Subject {
    pub(crate) network: Box<dyn FixedNetwork>,
    pub(crate) normalization: Normalization,
    /// 72 images: one batch of each size.
    pub(crate) pixels: Vec<u8>,
}

/// The parameters of a test network.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) arc: &'static str,
    pub(crate) layers: usize,
    pub(crate) reductions: Reductions,
    pub(crate) input: InputShape,
}

impl Shape {
    /// The smallest network.
    pub(crate) fn small(arc: &'static str) -> Self {
        let input = InputShape { channels: 1, height: 8, width: 8 };
        Self { arc, layers: 1, reductions: Reductions::Two, input }
    }

    pub(crate) fn network(self) -> Subject {
        let Self { arc, layers, reductions, input } = self;
        let arc: enas_arc::Arc = arc.parse().unwrap();
        let config = Config {
            reductions,
            aux_head: AuxHead::Trained,
            keep_prob: 0.8,
            drop_path_keep: 0.6,
            l2: 1e-4,
            clip_norm: 5.0,
            ..Config::plain(4, layers, arc.n_nodes())
        };
        let mut child = Child::fixed(&config, &arc, input, 5, Seed::new(1)).unwrap();
        let (normalization, pixels) = sample_pixels(input);
        let (images, labels) = batch(&child, &normalization, &pixels);
        child.train_step(&arc, &images, &labels, &STEP).unwrap();
        child.load(&shaken(child.weights().unwrap())).unwrap();
        let weights = scaled(&child, child.weights().unwrap(), &normalization, &pixels);
        child.load(&weights).unwrap();
        Subject { network: Box::new(child), normalization, pixels }
    }
}

/// A network of the macro search space.
pub(crate) fn macro_network(arc: &str, input: InputShape) -> Subject {
    let arc = MacroArc::parse_any(arc).unwrap();
    let config = MacroConfig { layers: arc.n_layers(), filters: 4, keep_prob: 0.8, ..MacroConfig::default() };
    let mut child = MacroChild::fixed(&config, &arc, input, 5, Seed::new(1)).unwrap();
    let (normalization, pixels) = sample_pixels(input);
    let (images, labels) = batch(&child, &normalization, &pixels);
    child.train_step(&arc, &images, &labels, &STEP).unwrap();
    child.load(&shaken(child.weights().unwrap())).unwrap();
    let weights = scaled(&child, child.weights().unwrap(), &normalization, &pixels);
    child.load(&weights).unwrap();
    Subject { network: Box::new(child), normalization, pixels }
}

const STEP: Step = Step { lr: 0.01, global_step: 0, total_steps: 1, seed: Seed::new(2) };

fn sample_pixels(input: InputShape) -> (Normalization, Vec<u8>) {
    let normalization = Normalization {
        mean: [120.0, 90.0, 140.0][..input.channels].to_vec(),
        std: [60.0, 75.0, 50.0][..input.channels].to_vec(),
    };
    let pixels = synthesize(72, (input.height, input.width), &normalization);
    (normalization, pixels)
}

/// The images and labels for a training step, after which the moving statistics match the activations.
fn batch(network: &dyn FixedNetwork, normalization: &Normalization, pixels: &[u8]) -> (Tensor, Tensor) {
    let images = normalized(network, normalization, pixels).unwrap();
    let labels: Vec<u32> = (0..images.dim(0).unwrap()).map(|i| (i % 5) as u32).collect();
    let labels = Tensor::new(labels, images.device()).unwrap();
    (images, labels)
}

/// Perturbs all statistics and affine parameters of the batch norms. After that, an omitted or exchanged constant
/// changes the outputs.
fn shaken(mut weights: Vec<NamedTensor>) -> Vec<NamedTensor> {
    let mut stream = Seed::new(3).stream("shake", &[]);
    for (name, tensor) in &mut weights {
        let kind = name.rsplit('/').next().unwrap();
        let mut change = |x: f32| match kind {
            "moving_variance" | "scale" => x * (0.6 + 0.8 * stream.uniform()),
            "moving_mean" | "offset" => x + 0.2 * stream.normal(),
            _ => x,
        };
        let changed: Vec<f32> =
            tensor.flatten_all().unwrap().to_vec1().unwrap().into_iter().map(&mut change).collect();
        *tensor = Tensor::from_vec(changed, tensor.shape(), tensor.device()).unwrap();
    }
    weights
}

/// Scales the classifier so that the largest logit is 4. Trained networks have logits of a few units. Larger logits
/// would hide differences, as the tolerance grows with them.
fn scaled(
    network: &dyn FixedNetwork,
    mut weights: Vec<NamedTensor>,
    normalization: &Normalization,
    pixels: &[u8],
) -> Vec<NamedTensor> {
    let reference = Reference { network, normalization };
    let largest = own_logits(reference, pixels).unwrap().into_iter().fold(0.0, |m: f32, x| m.max(x.abs()));
    let (_, classifier) = weights.iter_mut().find(|(name, _)| name == "fc/w").unwrap();
    *classifier = (&*classifier * f64::from(4.0 / largest)).unwrap();
    weights
}

impl Subject {
    /// The exported file as a message.
    pub(crate) fn exported(&self) -> Model {
        let graph =
            lower::lower(&self.network.inference_graph().unwrap(), &self.normalization, 2.0, "grey").unwrap();
        file(graph, String::new(), Vec::new())
    }

    /// The result of the check of a file.
    pub(crate) fn verdict(&self, model: &Model) -> Result<f32> {
        self.verdict_on_bytes(&model.encode_to_vec())
    }

    pub(crate) fn verdict_on_bytes(&self, bytes: &[u8]) -> Result<f32> {
        let (_folder, path) = written(bytes);
        let reference = Reference { network: &*self.network, normalization: &self.normalization };
        let logits = own_logits(reference, &self.pixels).unwrap();
        let tolerance = allowance(&logits, rounding(reference, &self.pixels, &logits).unwrap());
        compare(&path, Claim { network: &*self.network, temperature: 2.0 }, &self.pixels, &logits, tolerance)
    }
}

fn written(bytes: &[u8]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.onnx");
    std::fs::write(&path, bytes).unwrap();
    (folder, path)
}
