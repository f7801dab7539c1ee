//! What the drawing of a network shows: its layers with their costs, and its skip connections.

use enas_arc::{Arc, CellKind, MacroArc, MacroOp, Op};
use enas_child::{Child, Costs, Error, InputShape, LayerCost, MacroChild};

use crate::describe;

/// A row of the drawing.
pub(crate) struct Layer {
    pub(crate) name: String,
    pub(crate) kind: LayerKind,
    /// How many reductions have halved height and width of the input.
    pub(crate) halvings: usize,
    pub(crate) cost: Option<LayerCost>,
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum LayerKind {
    /// The input images or the classes.
    End,
    /// Stem or classifier.
    Plain,
    Cell(CellKind),
    /// A layer of the macro search space.
    Operation(MacroOp),
    /// The auxiliary head, right of the other layers, with its number of parameters.
    Aux(usize),
}

/// The data of a drawing, for a network of either search space.
pub(crate) struct Diagram {
    pub(crate) layers: Vec<Layer>,
    /// Edges that pass other layers on their way: indices `(from, to)` in `layers`.
    pub(crate) skips: Vec<(usize, usize)>,
    pub(crate) costs: Costs,
    pub(crate) params: usize,
    /// The line below the title.
    pub(crate) subtitle: String,
    /// A description for screen readers.
    pub(crate) description: String,
}

impl Diagram {
    /// The diagram of a network of cells.
    ///
    /// # Errors
    /// If the arc does not fit the network.
    pub(crate) fn of_cells(child: &Child, arc: &Arc) -> Result<Self, Error> {
        let costs = child.costs(arc)?;
        let layers = layers_of_cells(child, &costs);
        let trunk: Vec<usize> = trunk(&layers).collect();
        // Every cell reads the two layers before it; before the first cell there is only the stem.
        let reads_two = |three: &&[usize]| {
            matches!(layers[three[2]].kind, LayerKind::Cell(_)) && layers[three[0]].kind != LayerKind::End
        };
        let skips = trunk.windows(3).filter(reads_two).map(|three| (three[0], three[2])).collect();
        let cells = &child.layout().cells;
        let reductions = cells.iter().filter(|cell| cell.reduction).count();
        let n = cells.len();
        let subtitle = format!(
            "{n} cells, {reductions} of which halve height and width{}",
            sharing(child.arc().is_some())
        );
        let description = describe::network(child, &costs);
        Ok(Self { layers, skips, params: child.n_params(), subtitle, description, costs })
    }

    /// The diagram of a network of the macro search space.
    ///
    /// # Errors
    /// If the arc does not fit the network.
    pub(crate) fn of_layers(child: &MacroChild, arc: &MacroArc) -> Result<Self, Error> {
        let costs = child.costs(arc)?;
        let layers = layers_of_operations(child, arc, &costs);
        // An arc counts the stem as layer 0. The stem has index 1 in the drawing, after the images.
        let added = |(index, layer): (usize, &enas_arc::MacroLayer)| {
            layer.added().map(move |from| (from + 1, index + 2)).collect::<Vec<_>>()
        };
        let skips: Vec<(usize, usize)> = arc.layers().iter().enumerate().flat_map(added).collect();
        let reductions = child.config().reductions().len();
        let subtitle = format!(
            "{} layers, height and width halved {reductions} times, {} skip connections{}",
            arc.n_layers(),
            skips.len(),
            sharing(child.arc().is_some())
        );
        let description = describe::macro_network(child, &costs, skips.len());
        Ok(Self { layers, skips, params: child.n_params(), subtitle, description, costs })
    }
}

fn sharing(is_fixed: bool) -> &'static str {
    if is_fixed { "" } else { "; weights are shared by all architectures" }
}

/// Indices of the layers from images to classes, without the auxiliary head.
pub(crate) fn trunk(layers: &[Layer]) -> impl Iterator<Item = usize> {
    (0..layers.len()).filter(|i| !matches!(layers[*i].kind, LayerKind::Aux(_)))
}

fn layer_of(name: &str, kind: LayerKind, halvings: usize, cost: Option<LayerCost>) -> Layer {
    Layer { name: name.to_owned(), kind, halvings, cost }
}

/// The images and the stem.
fn first_layers(InputShape { channels, height, width }: InputShape, costs: &Costs) -> Vec<Layer> {
    let images = format!("images {channels} × {height} × {width}");
    vec![layer_of(&images, LayerKind::End, 0, None), layer_of("stem", LayerKind::Plain, 0, Some(costs.stem))]
}

/// The classifier and the classes.
fn last_layers(classes: usize, costs: &Costs) -> [Layer; 2] {
    [
        layer_of("mean, classifier", LayerKind::Plain, usize::MAX, Some(costs.classifier)),
        layer_of(&format!("{classes} classes"), LayerKind::End, usize::MAX, None),
    ]
}

fn layers_of_cells(child: &Child, costs: &Costs) -> Vec<Layer> {
    let mut layers = first_layers(child.input(), costs);
    let mut halvings = 0;
    for (i, (planned, cost)) in child.layout().cells.iter().zip(&costs.cells).enumerate() {
        let kind = if planned.reduction { CellKind::Reduction } else { CellKind::Normal };
        halvings += usize::from(planned.reduction);
        layers.push(layer_of(&format!("{kind} cell {i}"), LayerKind::Cell(kind), halvings, Some(*cost)));
        if let (Some(params), true) = (costs.aux_params, child.layout().aux_after == Some(i)) {
            layers.push(layer_of("auxiliary head", LayerKind::Aux(params), halvings, None));
        }
    }
    layers.extend(last_layers(child.n_classes(), costs));
    layers
}

fn layers_of_operations(child: &MacroChild, arc: &MacroArc, costs: &Costs) -> Vec<Layer> {
    let mut layers = first_layers(child.input(), costs);
    let reductions = child.config().reductions();
    let mut halvings = 0;
    for (i, (layer, cost)) in arc.layers().iter().zip(&costs.cells).enumerate() {
        let halved = if reductions.contains(&i) { ", halved" } else { "" };
        let name = format!("{}: {}{halved}", i + 1, layer.op);
        layers.push(layer_of(&name, LayerKind::Operation(layer.op), halvings, Some(*cost)));
        halvings += usize::from(reductions.contains(&i));
    }
    layers.extend(last_layers(child.n_classes(), costs));
    layers
}

/// The micro operation with the colours of a macro operation. Full and separable convolutions of the same kernel size
/// share colours.
pub(crate) fn micro_op(op: MacroOp) -> Op {
    match op {
        MacroOp::Conv3x3 | MacroOp::SepConv3x3 => Op::SepConv3x3,
        MacroOp::Conv5x5 | MacroOp::SepConv5x5 => Op::SepConv5x5,
        MacroOp::AvgPool3x3 => Op::AvgPool3x3,
        MacroOp::MaxPool3x3 => Op::MaxPool3x3,
    }
}
