//! The stack of layers with its stem, reductions and classifier (`general_child.py:192-243`).
//!
//! It holds the ids of parameters, not their values.

use enas_arc::MacroArc;
use enas_kernels::{Axis, Pool, PoolKind};

use super::config::MacroConfig;
use super::layer::{Layer, LayerBackend, LayerOp, LayerPosition};
use crate::autograd::{Tape, TapeValue};
use crate::backend::Forward;
use crate::config::InputShape;
use crate::layer::{Classifier, ConvLayer, Shape};
use crate::network::builder::Builder;

#[derive(Debug)]
pub(super) struct MacroNetwork {
    stem: ConvLayer,
    layers: Vec<Layer>,
    /// For each layer, the factorized reductions that follow it: one of the output of the stem and one of every layer
    /// so far. `None` if no reduction follows.
    reductions: Vec<Option<Vec<ConvLayer>>>,
    pub(super) classifier: Classifier,
}

impl MacroNetwork {
    /// A network with shared weights for every arc, or with weights for one `arc`.
    pub(super) fn new(
        builder: &mut Builder,
        config: &MacroConfig,
        arc: Option<&MacroArc>,
        input: InputShape,
        classes: usize,
    ) -> Self {
        let mut channels = config.filters;
        let stem = builder.conv("stem_conv", 3, input.channels, channels, false);
        let mut layers = Vec::new();
        let mut reductions = Vec::new();
        for index in 0..config.layers {
            let position = LayerPosition { index, channels };
            layers.push(match arc.map(|arc| &arc.layers()[index]) {
                None => Layer::shared(builder, position),
                Some(layer) => {
                    let op = LayerOp { op: layer.op, fixed_ops: config.fixed_ops };
                    Layer::fixed(builder, position, op, layer.added().count())
                }
            });
            if !config.reductions().contains(&index) {
                reductions.push(None);
                continue;
            }
            let reduced = if arc.is_some() { 2 * channels } else { channels };
            let reduce = |from: usize| {
                builder.reduction(&format!("pool_at_{index}/from_{from}"), channels, reduced, false)
            };
            reductions.push(Some((0..index + 2).map(reduce).collect()));
            channels = reduced;
        }
        let classifier = builder.classifier("fc", channels, classes);
        Self { stem, layers, reductions, classifier }
    }

    /// Runs the network for `arc` on images `[n, c, h, w]`, up to the global average pooling.
    pub(super) fn forward<B: LayerBackend>(
        &self,
        tape: &mut Tape<'_, B>,
        arc: &MacroArc,
        images: TapeValue<B>,
    ) -> MacroFeatures<B> {
        // The outputs that a layer can read, in order: that of the stem, then those of the layers so far.
        let mut outputs = vec![tape.conv_block(&[images], self.stem.clone())];
        let mut parts = vec![PartCost { output: tape.shape(&outputs[0]), macs: tape.macs }];
        for ((layer, of_arc), reductions) in self.layers.iter().zip(arc.layers()).zip(&self.reductions) {
            let before = tape.macs;
            let added: Vec<TapeValue<B>> = of_arc.added().map(|from| outputs[from].clone()).collect();
            let last = &outputs[outputs.len() - 1];
            let output = layer.forward(tape, of_arc.op, last, &added);
            outputs.push(output);
            if let Some(reductions) = reductions {
                let reduce =
                    |(output, block): (TapeValue<B>, &ConvLayer)| tape.conv_block(&[output], block.clone());
                outputs = outputs.into_iter().zip(reductions).map(reduce).collect();
            }
            let output = tape.shape(&outputs[outputs.len() - 1]);
            parts.push(PartCost { output, macs: tape.macs - before });
        }
        let last = &outputs[outputs.len() - 1];
        let (_, _, h, w) = tape.shape(last);
        let whole =
            Pool { kind: PoolKind::Average, y: Axis::valid(h, h, 1), x: Axis::valid(w, w, 1), relu: false };
        MacroFeatures { means: tape.pool(whole, last), parts }
    }

    /// Every convolution with its batch norm: stem, layers and reductions.
    pub(super) fn conv_layers(&self) -> impl Iterator<Item = &ConvLayer> {
        let layers = self.layers.iter().zip(&self.reductions);
        let of_layers =
            layers.flat_map(|(layer, reductions)| layer.conv_layers().chain(reductions.iter().flatten()));
        [&self.stem].into_iter().chain(of_layers)
    }
}

/// The result of a forward pass.
pub(super) struct MacroFeatures<B: Forward> {
    /// Global average pooling of the last layer without a ReLU: `[n, channels, 1, 1]`.
    pub(super) means: TapeValue<B>,
    /// Sizes and costs of the stem, then of every layer with the reductions that follow it.
    pub(super) parts: Vec<PartCost>,
}

/// Output shape and cost of a part of the network.
pub(super) struct PartCost {
    /// After the reductions, if any follow.
    pub(super) output: Shape,
    /// Multiply-adds per image.
    pub(super) macs: u64,
}
