//! A layer of the macro space: its operations, and the skip connections from earlier layers.

use enas_arc::MacroOp;
use enas_kernels::{Activation, Affine, BatchStats, Pool, PoolKind};

use crate::analysis::GraphTracer;
use crate::autograd::{Tape, TapeValue};
use crate::backend::{Cpu, Forward, Statistics};
use crate::layer::{BatchNorm, ConvLayer};
use crate::macro_net::FixedOps;
use crate::network::builder::Builder;

/// The operation of a backend that layers of the macro space need in addition to those of cells.
pub(super) trait LayerBackend: Forward {
    /// A batch norm of a sum of layers, without a convolution before it. Only layers with shared weights have it.
    fn normalise(tape: &mut Tape<'_, Self>, input: &TapeValue<Self>, norm: BatchNorm) -> TapeValue<Self>;
}

/// A layer with weights for every operation, or for one.
#[derive(Debug)]
pub(super) enum Layer {
    /// With shared weights for all operations. Earlier layers are added, and the sum is normalised
    /// (`general_child.py:353-367`).
    Shared {
        branches: Vec<Branch>,
        /// `None` in the first layer, which has no earlier layer to add.
        norm: Option<BatchNorm>,
    },
    /// With weights for one arc. Earlier layers are concatenated, followed by a 1×1 convolution
    /// (`general_child.py:453-479`).
    Fixed {
        branch: Branch,
        /// `None` in the first layer.
        join: Option<ConvLayer>,
    },
}

/// A 1×1 convolution, followed by the operation.
#[derive(Debug)]
pub(super) struct Branch {
    project: ConvLayer,
    operation: Operation,
}

#[derive(Debug)]
enum Operation {
    Convolution(ConvLayer),
    Pool(PoolKind),
}

/// The position of a layer in a network.
#[derive(Clone, Copy)]
pub(super) struct LayerPosition {
    /// Index, from 0.
    pub(super) index: usize,
    /// Channels of every layer that it can read.
    pub(super) channels: usize,
}

/// The operation of a layer, and what it becomes with private weights.
#[derive(Clone, Copy)]
pub(super) struct LayerOp {
    pub(super) op: MacroOp,
    pub(super) fixed_ops: FixedOps,
}

impl Layer {
    /// A layer with weights for all operations.
    pub(super) fn shared(builder: &mut Builder, LayerPosition { index, channels }: LayerPosition) -> Self {
        let scope = format!("layer_{index}");
        let branches = MacroOp::ALL.map(|op| {
            let scope = format!("{scope}/branch_{}", op.id());
            Branch::new(builder, &scope, LayerOp { op, fixed_ops: FixedOps::AsSearched }, channels, false)
        });
        let norm = (index > 0).then(|| builder.norm(&format!("{scope}/skip"), channels));
        Self::Shared { branches: branches.into(), norm }
    }

    /// A layer with weights for the operation `op` and `added` skip connections.
    pub(super) fn fixed(
        builder: &mut Builder,
        LayerPosition { index, channels }: LayerPosition,
        op: LayerOp,
        added: usize,
    ) -> Self {
        let scope = format!("layer_{index}");
        let branch = Branch::new(builder, &format!("{scope}/branch"), op, channels, true);
        let join = (index > 0)
            .then(|| builder.conv(&format!("{scope}/skip"), 1, (added + 1) * channels, channels, true));
        Self::Fixed { branch, join }
    }

    /// The output of the layer for the operation `op`. `input` is the output of the layer before, and `added` are the
    /// outputs that skip connections add. All have the shape `[n, channels, h, w]`, as the result has.
    pub(super) fn forward<B: LayerBackend>(
        &self,
        tape: &mut Tape<'_, B>,
        op: MacroOp,
        input: &TapeValue<B>,
        added: &[TapeValue<B>],
    ) -> TapeValue<B> {
        match self {
            Self::Shared { branches, norm } => {
                let branch = &branches[op.id()];
                let output = branch.forward(tape, input);
                // Pools read the output of a ReLU, so their output has no negative values.
                let output = if branch.is_pool() { output } else { relu(tape, &output) };
                let Some(norm) = norm else { return output };
                let sum =
                    added.iter().fold(output, |sum, added| tape.add((sum, None), (added.clone(), None)));
                B::normalise(tape, &sum, *norm)
            }
            Self::Fixed { branch, join } => {
                let output = branch.forward(tape, input);
                let Some(join) = join else { return output };
                let inputs: Vec<TapeValue<B>> = added.iter().cloned().chain([output]).collect();
                tape.conv_block(&inputs, join.clone())
            }
        }
    }
}

impl Layer {
    /// Every convolution of the layer, with its batch norm.
    pub(super) fn conv_layers(&self) -> impl Iterator<Item = &ConvLayer> {
        let (branches, join) = match self {
            Self::Shared { branches, .. } => (branches.as_slice(), None),
            Self::Fixed { branch, join } => (std::slice::from_ref(branch), join.as_ref()),
        };
        branches.iter().flat_map(Branch::conv_layers).chain(join)
    }
}

impl Branch {
    /// A branch for the operation `op`. `relu` says whether a ReLU precedes the 1×1 convolution.
    fn new(
        builder: &mut Builder,
        scope: &str,
        LayerOp { op, fixed_ops }: LayerOp,
        channels: usize,
        relu: bool,
    ) -> Self {
        let project = builder.conv(&format!("{scope}/inp_conv_1"), 1, channels, channels, relu);
        let full = |builder: &mut Builder, k: usize| {
            builder.conv(&format!("{scope}/out_conv_{k}"), k, channels, channels, true)
        };
        let separable = |builder: &mut Builder, k: usize| match fixed_ops {
            FixedOps::AsSearched => builder.separable(&format!("{scope}/out_conv_{k}"), k, 1, channels),
            FixedOps::FullConvolutions => full(builder, k),
        };
        let operation = match op {
            MacroOp::Conv3x3 => Operation::Convolution(full(builder, 3)),
            MacroOp::SepConv3x3 => Operation::Convolution(separable(builder, 3)),
            MacroOp::Conv5x5 => Operation::Convolution(full(builder, 5)),
            MacroOp::SepConv5x5 => Operation::Convolution(separable(builder, 5)),
            MacroOp::AvgPool3x3 => Operation::Pool(PoolKind::Average),
            MacroOp::MaxPool3x3 => Operation::Pool(PoolKind::Max),
        };
        Self { project, operation }
    }

    fn conv_layers(&self) -> impl Iterator<Item = &ConvLayer> {
        let operation = match &self.operation {
            Operation::Convolution(block) => Some(block),
            Operation::Pool(_) => None,
        };
        [&self.project].into_iter().chain(operation)
    }

    fn is_pool(&self) -> bool {
        matches!(self.operation, Operation::Pool(_))
    }

    fn forward<B: Forward>(&self, tape: &mut Tape<'_, B>, input: &TapeValue<B>) -> TapeValue<B> {
        let projected = tape.conv_block(std::slice::from_ref(input), self.project.clone());
        match &self.operation {
            Operation::Convolution(block) => tape.conv_block(&[projected], block.clone()),
            Operation::Pool(kind) => {
                let (_, _, h, w) = tape.shape(&projected);
                tape.pool(Pool::same(*kind, 3, 1, h, w).with_relu(), &projected)
            }
        }
    }
}

/// `max(x, 0)`, as average pooling with a 1×1 window.
fn relu<B: Forward>(tape: &mut Tape<'_, B>, input: &TapeValue<B>) -> TapeValue<B> {
    let (_, _, h, w) = tape.shape(input);
    tape.pool(Pool::same(PoolKind::Average, 1, 1, h, w).with_relu(), input)
}

impl LayerBackend for Cpu<'_> {
    fn normalise(tape: &mut Tape<'_, Self>, input: &TapeValue<Self>, norm: BatchNorm) -> TapeValue<Self> {
        let cpu = tape.backend;
        let scale = cpu.weights.get(norm.scale);
        let offset = cpu.weights.get(norm.offset);
        let index = norm.running.expect("the batch norms of layers keep moving statistics");
        let map = input.value.map.clone();
        // The raw values stay; operations that read the result apply the scale and shift of each channel.
        let normalised = |affine: Affine| Activation { map: map.clone(), affine: Some(affine.into()) };
        if tape.statistics() == Statistics::Running {
            let affine = cpu.running[index].affine(scale, offset);
            return tape
                .other(normalised(affine), |_, _, _, _| unreachable!("no training has moving statistics"));
        }
        let batch_stats = BatchStats::of(&map);
        let value = normalised(batch_stats.affine(scale, offset));
        tape.batch_stats.push((index, batch_stats.clone()));
        let from = input.id;
        tape.other(value, move |cpu, grad, grads, into| {
            let gamma = cpu.weights.get(norm.scale);
            let (scale_grad, offset_grad) = batch_stats.backward(&map, gamma, grad, &mut grads[from]);
            into.add(norm.scale, scale_grad);
            into.add(norm.offset, offset_grad);
        })
    }
}

impl LayerBackend for GraphTracer<'_> {
    fn normalise(_: &mut Tape<'_, Self>, _: &TapeValue<Self>, _: BatchNorm) -> TapeValue<Self> {
        unreachable!(
            "only networks of one arc are recorded, and each of their batch norms follows a convolution"
        )
    }
}
