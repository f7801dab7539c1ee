//! One cell of the stack: its weights and its evaluation.
//!
//! Shared and fixed networks use the same kind of cell. They differ in data: which edges have weights, whether the
//! size is halved before the cell or inside it, and how loose ends are joined. The shared cell is `_enas_layer` of
//! the authors' code (`micro_child.py:625-696`), the fixed cell `_fixed_layer` (`micro_child.py:403-517`).

use std::collections::BTreeMap;

use enas_arc::{Branch, Cell, Op};
use enas_kernels::{Pool, PoolKind};

use crate::autograd::{CellInput, CellInputs, Summand, Tape, TapeValue};
use crate::backend::Forward;
use crate::config::{Config, SharedInit};
use crate::error::Error;
use crate::layer::{Conv, ConvLayer, GatherKind};
use crate::network::builder::Builder;
use crate::network::drop_path::DropPath;
use crate::network::layout::CellLayout;
use crate::params::Init;

/// Which of a node's two inputs an edge is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Side {
    X,
    Y,
}

impl Side {
    const BOTH: [Self; 2] = [Self::X, Self::Y];

    fn name(self) -> &'static str {
        match self {
            Self::X => "x",
            Self::Y => "y",
        }
    }
}

/// Identifies an operation's weights in a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Edge {
    node: usize,
    side: Side,
    input: usize,
    op: Op,
}

/// A cell at one place in the stack, with its weights.
#[derive(Debug)]
pub(crate) struct CellBlock {
    scope: String,
    /// Factorized reduction of the later input before the cell (shared reduction cells, `micro_child.py:276`).
    reduce_first: Option<ConvLayer>,
    /// Bring the two inputs to the same size and channels, where they differ (`micro_child.py:209-238`).
    calibrate: [Option<ConvLayer>; 2],
    /// An extra ReLU, 1×1 convolution and batch norm on the later input (fixed cells, `micro_child.py:416-424`).
    base: Option<ConvLayer>,
    /// Stride of edges that read one of the two inputs: 2 in fixed reduction cells, otherwise 1.
    stride: usize,
    /// The conv blocks of each edge that has weights, applied in order.
    edges: BTreeMap<Edge, Vec<ConvLayer>>,
    combine: Combine,
}

/// How the loose ends of a cell (states that no node reads) become its output.
#[derive(Debug)]
enum Combine {
    /// Concatenate, then ReLU, a 1×1 convolution with one `[f, f]` weight per state, and batch norm
    /// (`micro_child.py:685-692`).
    Project(ConvLayer),
    /// Concatenate, after halving loose inputs that are larger than the nodes (`micro_child.py:369-401`).
    Concat(BTreeMap<usize, ConvLayer>),
}

/// Channels and size of a cell's input while the network is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) channels: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
}

/// The position in the stack that a cell is built for.
pub(crate) struct CellPosition<'a> {
    pub(crate) config: &'a Config,
    pub(crate) index: usize,
    pub(crate) layout: CellLayout,
    pub(crate) before_last: Extent,
    pub(crate) last: Extent,
}

/// One cell of a network in one pass, with its index in the stack.
#[derive(Clone, Copy)]
pub(crate) struct CellStep<'a> {
    pub(crate) index: usize,
    pub(crate) block: &'a CellBlock,
    pub(crate) cell: &'a Cell,
    pub(crate) drop_path: Option<DropPath<'a>>,
}

impl CellBlock {
    /// A cell with weights for every arc. Also returns the extent of its output.
    pub(crate) fn shared(builder: &mut Builder, position: &CellPosition<'_>) -> (Self, Extent) {
        let scope = format!("layer_{}", position.index);
        let f = position.layout.filters;
        let out = Extent { channels: f, height: position.layout.height, width: position.layout.width };
        let mut inputs = [position.before_last, position.last];
        let mut reduce_first = None;
        if position.layout.reduction {
            reduce_first = Some(builder.reduction(&scope, position.last.channels, f, false));
            inputs = [position.last, out];
        }
        let calibrate = calibrate(builder, &scope, inputs, f);
        let mut edges = BTreeMap::new();
        let n_nodes = position.config.nodes;
        for node in 0..n_nodes {
            for side in Side::BOTH {
                for (op, k) in [(Op::SepConv3x3, 3), (Op::SepConv5x5, 5)] {
                    let prefix = format!("{scope}/cell_{node}/{}/conv_{k}x{k}", side.name());
                    let stacks = [0, 1].map(|stack| {
                        let scope = format!("{prefix}/stack_{stack}");
                        builder.shared_separable(&scope, k, f, node + 2, position.config.shared_init)
                    });
                    let [first, second] = stacks;
                    for (input, blocks) in first.into_iter().zip(second).enumerate() {
                        edges.insert(Edge { node, side, input, op }, vec![blocks.0, blocks.1]);
                    }
                }
            }
        }
        let combine = Combine::Project(project(builder, &scope, n_nodes + 2, f, position.config.shared_init));
        (Self { scope, reduce_first, calibrate, base: None, stride: 1, edges, combine }, out)
    }

    /// A cell with private weights for the edges of one arc. Also returns the extent of its output.
    pub(crate) fn fixed(builder: &mut Builder, position: &CellPosition<'_>, cell: &Cell) -> (Self, Extent) {
        let scope = format!("layer_{}", position.index);
        let f = position.layout.filters;
        let calibrate = calibrate(builder, &scope, [position.before_last, position.last], f);
        let base = Some(builder.conv(&format!("{scope}/layer_base"), 1, f, f, true));
        let stride = if position.layout.reduction { 2 } else { 1 };
        let mut edges = BTreeMap::new();
        for (node, n) in cell.nodes().iter().enumerate() {
            for (side, Branch { input, op }) in [(Side::X, n.x), (Side::Y, n.y)] {
                let stride = if input < 2 { stride } else { 1 };
                let prefix = format!("{scope}/cell_{node}/{}_conv", side.name());
                let blocks = match op {
                    Op::SepConv3x3 | Op::SepConv5x5 => {
                        let k = if op == Op::SepConv3x3 { 3 } else { 5 };
                        let mut stack =
                            |i, stride| builder.separable(&format!("{prefix}/sep_conv_{i}"), k, stride, f);
                        vec![stack(0, stride), stack(1, 1)]
                    }
                    Op::Identity if stride == 2 => vec![builder.reduction(&prefix, f, f, false)],
                    _ => continue,
                };
                edges.insert(Edge { node, side, input, op }, blocks);
            }
        }
        let out = Extent {
            channels: cell.loose_ends().len() * f,
            height: position.layout.height,
            width: position.layout.width,
        };
        // A loose input of a reduction cell is larger than the nodes, unless the size is already one pixel.
        let large = position.layout.reduction
            && (position.last.height, position.last.width) != (out.height, out.width);
        let halve = cell.loose_ends().into_iter().filter(|state| *state < 2 && large);
        let concat = halve
            .map(|state| {
                let scope = format!("{scope}/final_combine/calibrate_{state}");
                (state, builder.reduction(&scope, f, f, false))
            })
            .collect();
        let combine = Combine::Concat(concat);
        (Self { scope, reduce_first: None, calibrate, base, stride, edges, combine }, out)
    }

    /// Evaluates the cell and returns the pair that the next cell reads: `(this cell's later input, its output)`.
    pub(crate) fn forward<B: Forward>(
        &self,
        tape: &mut Tape<'_, B>,
        cell: &Cell,
        (before_last, last): CellInputs<B>,
        drop_path: Option<DropPath<'_>>,
    ) -> Result<CellInputs<B>, Error> {
        let mut inputs = [before_last, last.clone()];
        let mut carried = last;
        // Quirk of the authors' search (`micro_child.py:276-279`): both inputs of a shared reduction cell derive from
        // the last cell's output. The output of the cell before it is not read.
        if let Some(reduce) = &self.reduce_first {
            let reduced = vec![tape.conv_block(&carried, reduce.clone())];
            inputs = [carried, reduced.clone()];
            carried = reduced;
        }
        let mut states: Vec<TapeValue<B>> = Vec::with_capacity(cell.n_nodes() + 2);
        for (input, calibrate) in inputs.iter().zip(&self.calibrate) {
            states.push(single(tape, input, calibrate.as_ref()));
        }
        if let Some(base) = &self.base {
            states[1] = tape.conv_block(&states[1..2], base.clone());
        }
        let mut pools = BTreeMap::new();
        for (i, node) in cell.nodes().iter().enumerate() {
            let mut evaluator =
                NodeEvaluator { block: self, tape, states: &states, pools: &mut pools, drop_path };
            let x = evaluator.edge(i, Side::X, node.x)?;
            let y = evaluator.edge(i, Side::Y, node.y)?;
            states.push(tape.add(x, y));
        }
        Ok((carried, self.combine(tape, &cell.loose_ends(), &states)))
    }

    /// Every conv block of the cell.
    pub(crate) fn conv_layers(&self) -> impl Iterator<Item = &ConvLayer> {
        let inputs = self.reduce_first.iter().chain(self.calibrate.iter().flatten()).chain(&self.base);
        let (project, halve) = match &self.combine {
            Combine::Project(block) => (Some(block), None),
            Combine::Concat(blocks) => (None, Some(blocks.values())),
        };
        inputs.chain(self.edges.values().flatten()).chain(project).chain(halve.into_iter().flatten())
    }

    /// Whether the cell belongs to a network for one arc.
    pub(crate) fn owns_weights(&self) -> bool {
        matches!(self.combine, Combine::Concat(_))
    }

    /// Joins the loose ends.
    fn combine<B: Forward>(
        &self,
        tape: &mut Tape<'_, B>,
        loose: &[usize],
        states: &[TapeValue<B>],
    ) -> CellInput<B> {
        match &self.combine {
            Combine::Project(block) => {
                let inputs: Vec<TapeValue<B>> = loose.iter().map(|i| states[*i].clone()).collect();
                let mut block = block.clone();
                // Gathers the weight rows of the loose states, in ascending order.
                block.convs[0].weight = loose.iter().map(|i| block.convs[0].weight[*i]).collect();
                vec![tape.conv_block(&inputs, block)]
            }
            Combine::Concat(halve) => loose
                .iter()
                .map(|i| match halve.get(i) {
                    Some(block) => tape.conv_block(&states[*i..=*i], block.clone()),
                    None => states[*i].clone(),
                })
                .collect(),
        }
    }
}

/// The 1×1 convolution that joins loose ends in shared cells: a table of one `[f, f]` matrix per state.
fn project(builder: &mut Builder, scope: &str, states: usize, f: usize, init: SharedInit) -> ConvLayer {
    let scope = format!("{scope}/final_conv");
    let fan_in = match init {
        SharedInit::Table => states,
        // Most arcs have four or five loose ends.
        SharedInit::Kernel => 4 * f,
    };
    let init = Init::He { fan_in };
    let weight = builder.params.table(format!("{scope}/w"), &[states, f * f], states, init, builder.trained);
    let convs = vec![Conv { gather: GatherKind::Pixels, weight, outputs: f }];
    ConvLayer { relu: true, convs, norm: builder.norm(&scope, f) }
}

/// Conv blocks that bring a pair of inputs to the later one's size and to `f` channels, where they differ
/// (`_maybe_calibrate_size`, `micro_child.py:209-238`).
fn calibrate(builder: &mut Builder, scope: &str, [x, y]: [Extent; 2], f: usize) -> [Option<ConvLayer>; 2] {
    let pool_x = format!("{scope}/calibrate/pool_x");
    let first = match (x.height, x.width) == (y.height, y.width) {
        true => (x.channels != f).then(|| builder.conv(&pool_x, 1, x.channels, f, true)),
        false => Some(builder.reduction(&pool_x, x.channels, f, true)),
    };
    let pool_y = format!("{scope}/calibrate/pool_y");
    [first, (y.channels != f).then(|| builder.conv(&pool_y, 1, y.channels, f, true))]
}

/// An input of a cell as one value.
fn single<B: Forward>(
    tape: &mut Tape<'_, B>,
    input: &CellInput<B>,
    calibrate: Option<&ConvLayer>,
) -> TapeValue<B> {
    match (calibrate, input.as_slice()) {
        (Some(block), parts) => tape.conv_block(parts, block.clone()),
        (None, [one]) => one.clone(),
        // Loose ends that together have the right number of channels are concatenated without a convolution.
        (None, parts) => tape.concat(parts),
    }
}

/// Evaluates the nodes of one cell in order.
struct NodeEvaluator<'a, 't, 'p, B: Forward> {
    block: &'a CellBlock,
    tape: &'a mut Tape<'t, B>,
    states: &'a [TapeValue<B>],
    /// Pools computed so far: several edges may read the same one.
    pools: &'a mut BTreeMap<(usize, Op), TapeValue<B>>,
    drop_path: Option<DropPath<'p>>,
}

impl<B: Forward> NodeEvaluator<'_, '_, '_, B> {
    /// The value of one edge, and one factor per image if drop-path is on.
    fn edge(&mut self, node: usize, side: Side, branch: Branch) -> Result<Summand<B>, Error> {
        let Branch { input, op } = branch;
        let state = &self.states[input];
        let value = match op {
            Op::AvgPool3x3 | Op::MaxPool3x3 => self.pool(input, op),
            _ => match self.block.edges.get(&Edge { node, side, input, op }) {
                Some(blocks) => {
                    let mut value = state.clone();
                    for block in blocks {
                        value = self.tape.conv_block(std::slice::from_ref(&value), block.clone());
                    }
                    value
                }
                None if op == Op::Identity => state.clone(),
                None => {
                    let at = format!("{}, node {}, input {}", self.block.scope, node + 2, side.name());
                    return Err(Error::Arc(format!("no weights for {} of state {input} ({at})", op.name())));
                }
            },
        };
        // Drop-path never applies to identity edges, not even to strided ones (`micro_child.py:465-468`).
        let factors = match self.drop_path {
            Some(drop_path) if op != Op::Identity => {
                let scope = format!("{}/cell_{node}/{}_conv", self.block.scope, side.name());
                Some(drop_path.factors(self.tape.backend, &scope, self.tape.shape(&value).0))
            }
            _ => None,
        };
        Ok((value, factors))
    }

    fn pool(&mut self, input: usize, op: Op) -> TapeValue<B> {
        if let Some(pooled) = self.pools.get(&(input, op)) {
            return pooled.clone();
        }
        let kind = if op == Op::AvgPool3x3 { PoolKind::Average } else { PoolKind::Max };
        let stride = if input < 2 { self.block.stride } else { 1 };
        let (_, _, h, w) = self.tape.shape(&self.states[input]);
        let pooled = self.tape.pool(Pool::same(kind, 3, stride, h, w), &self.states[input]);
        self.pools.insert((input, op), pooled.clone());
        pooled
    }
}
