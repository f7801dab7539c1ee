//! The whole network: stem, cells, heads (`_model`, `micro_child.py:240-339`). It holds ids of parameters, no values.

mod aux_head;
pub(crate) mod builder;
pub(crate) mod cell;
pub(crate) mod drop_path;
pub(crate) mod fold;
pub(crate) mod layout;
pub(crate) mod pass;

use candle_core::Tensor;
use enas_arc::{Arc, Cell};
use enas_kernels::candle::Guards;
use enas_kernels::{FeatureMap, profile};

use crate::autograd::{CellInput, Tape, TapeValue};
use crate::backend::Forward;
use crate::checkpointing::{Checkpointing, StoreAll};
use crate::config::{AuxHead as AuxMode, Config, InputShape};
use crate::error::Error;
use crate::layer::{Classifier, ConvLayer};
use crate::network::aux_head::AuxHead;
use crate::network::builder::Builder;
use crate::network::cell::{CellBlock, CellPosition, CellStep, Extent};
use crate::network::drop_path::DropPath;
use crate::network::layout::NetworkLayout;
use crate::noise::Noise;

#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) config: Config,
    pub(crate) layout: NetworkLayout,
    stem: ConvLayer,
    cells: Vec<CellBlock>,
    pub(crate) classifier: Classifier,
    pub(crate) aux: Option<AuxHead>,
}

/// The regularisation of a training pass: random numbers and position in the run.
#[derive(Clone, Copy)]
pub(crate) struct Training<'a> {
    pub(crate) noise: &'a dyn Noise,
    pub(crate) step: u64,
    pub(crate) total_steps: u64,
    /// Whether the auxiliary head is evaluated, if there is one.
    pub(crate) with_aux: bool,
}

/// How a pass goes through the network.
pub(crate) struct PassOptions<'a, B: Forward> {
    /// Regularisation; `None` outside training.
    pub(crate) training: Option<Training<'a>>,
    /// Decides which activations are stored and which are recomputed. Results do not depend on it.
    pub(crate) checkpointing: &'a dyn Checkpointing<B>,
    /// Whether the output of every cell is returned.
    pub(crate) keep_cells: bool,
}

impl<B: Forward> Clone for PassOptions<'_, B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B: Forward> Copy for PassOptions<'_, B> {}

impl<'a, B: Forward> PassOptions<'a, B> {
    /// A pass whose cells are evaluated by `checkpointing`.
    pub(crate) fn new(training: Option<Training<'a>>, checkpointing: &'a dyn Checkpointing<B>) -> Self {
        Self { training, checkpointing, keep_cells: false }
    }

    /// A pass that stores every activation that its tape records.
    pub(crate) fn store_all(training: Option<Training<'a>>) -> Self {
        Self::new(training, &StoreAll)
    }

    /// The same pass with the output of every cell.
    pub(crate) fn with_cells(self) -> Self {
        Self { keep_cells: true, ..self }
    }
}

/// The result of a forward pass.
pub(crate) struct Features<B: Forward> {
    /// `[n, channels]`, before dropout.
    pub(crate) main: B::Vector,
    /// `[n, 768]`, in training passes of networks with an auxiliary head.
    pub(crate) aux: Option<B::Vector>,
    /// The output of every cell, if `forward` was asked to keep them.
    pub(crate) cells: Vec<CellInput<B>>,
    /// Multiply-adds per image, of the stem and then of every cell.
    pub(crate) macs: Vec<u64>,
}

impl Network {
    /// A network with weights for every arc, or with private weights for one `arc`.
    pub(crate) fn new(
        builder: &mut Builder,
        config: &Config,
        layout: NetworkLayout,
        arc: Option<&Arc>,
        classes: usize,
    ) -> Self {
        let stem = builder.conv("stem_conv", 3, layout.input.channels, layout.stem, false);
        let extent = Extent { channels: layout.stem, height: layout.input.height, width: layout.input.width };
        let mut before_last = extent;
        let mut last = extent;
        let mut cells = Vec::with_capacity(layout.cells.len());
        let mut aux_extent = None;
        for (index, cell) in layout.cells.iter().copied().enumerate() {
            let position = CellPosition { config, index, layout: cell, before_last, last };
            let (block, out) = match arc {
                None => CellBlock::shared(builder, &position),
                Some(arc) => CellBlock::fixed(builder, &position, cell_of(arc, cell.reduction)),
            };
            cells.push(block);
            // A shared reduction cell hands on its halved input instead of the full-size one
            // (`micro_child.py:277, 285`).
            let carried =
                if arc.is_none() && cell.reduction { Extent { channels: cell.filters, ..out } } else { last };
            (before_last, last) = (carried, out);
            if layout.aux_after == Some(index) {
                aux_extent = Some(out);
            }
        }
        let classifier = builder.classifier("fc", last.channels, classes);
        // Only the auxiliary head is built from here on.
        builder.trained = config.aux_head == AuxMode::Trained;
        let aux = aux_extent.map(|out| AuxHead::new(builder, config.reductions, out, classes));
        Self { config: config.clone(), layout, stem, cells, classifier, aux }
    }

    /// Runs the network for `arc`. In training, drop-path is on, and the auxiliary head is evaluated if
    /// `training.with_aux`.
    pub(crate) fn forward<B: Forward>(
        &self,
        tape: &mut Tape<'_, B>,
        arc: &Arc,
        images: TapeValue<B>,
        PassOptions { training, checkpointing, keep_cells }: PassOptions<'_, B>,
    ) -> Result<Features<B>, Error> {
        let stem = vec![tape.conv_block(&[images], self.stem.clone())];
        let mut macs = vec![tape.macs];
        // Both inputs of the first cell are the stem's output (`micro_child.py:259`).
        let mut pair = (stem.clone(), stem);
        let mut aux = None;
        let mut outputs = Vec::new();
        for index in 0..self.cells.len() {
            let before = tape.macs;
            pair = checkpointing.forward(tape, &self.step(arc, index, training), pair)?;
            macs.push(tape.macs - before);
            if keep_cells {
                outputs.push(pair.1.clone());
            }
            let with_aux = training.is_some_and(|training| training.with_aux);
            if let (Some(head), true, true) = (&self.aux, with_aux, self.layout.aux_after == Some(index)) {
                aux = Some(head.forward(tape, &pair.1));
            }
        }
        let main = tape.relu_mean(&pair.1);
        Ok(Features { main, aux, cells: outputs, macs })
    }

    /// One cell of the network, with its part of `arc` and its drop-path.
    pub(crate) fn step<'a>(
        &'a self,
        arc: &'a Arc,
        index: usize,
        training: Option<Training<'a>>,
    ) -> CellStep<'a> {
        let config = &self.config;
        let drop_path = training.filter(|_| config.drop_path_keep < 1.0 && self.drops_paths()).map(|t| {
            DropPath { noise: t.noise, keep: config.drop_path_keep_at(index, t.step, t.total_steps) }
        });
        let cell = cell_of(arc, self.layout.cells[index].reduction);
        CellStep { index, block: &self.cells[index], cell, drop_path }
    }

    /// Every conv block of the stem and the cells.
    pub(crate) fn conv_layers(&self) -> impl Iterator<Item = &ConvLayer> {
        [&self.stem].into_iter().chain(self.cells.iter().flat_map(CellBlock::conv_layers))
    }

    /// Converts images `[n, c, h, w]` to the kernels' blocked layout.
    pub(crate) fn map(&self, images: &[f32]) -> FeatureMap {
        let InputShape { channels, height, width } = self.layout.input;
        let n = images.len() / (channels * height * width);
        let start = profile::start();
        let map = FeatureMap::from_nchw(images, n, channels, height, width);
        profile::stop(start, ("images", "in"), 0.0, (8 * images.len()) as f64);
        map
    }

    /// Converts an image tensor; copies it first only if it is not contiguous.
    pub(crate) fn map_of(&self, images: &Tensor) -> Result<FeatureMap, Error> {
        let images = images.contiguous()?;
        let guards = Guards::new([&images]);
        Ok(self.map(guards.slices()?[0]))
    }

    /// Only networks with private weights use drop-path: the authors' shared cells have none
    /// (`micro_child.py:519-577`).
    fn drops_paths(&self) -> bool {
        self.cells.iter().any(CellBlock::owns_weights)
    }
}

fn cell_of(arc: &Arc, reduction: bool) -> &Cell {
    if reduction { arc.reduction() } else { arc.normal() }
}
