//! How much memory a network needs at work, computed by a dry run of its passes.

use std::cell::RefCell;
use std::rc::Rc;

use enas_arc::{Arc, Branch, Cell, Node, Op};
use enas_kernels::LANES;

use crate::backend::{Ledger, MemoryTracer, Statistics};
use crate::build::Builder;
use crate::checkpointing::{Checkpointing, MicroBatched, PerCell, Recompute, StoreAll};
use crate::child::check_shape;
use crate::network::{Network, Training};
use crate::noise::Noise;
use crate::params::Params;
use crate::plan::Plan;
use crate::tape::Tape;
use crate::{Config, Error, InputShape};

/// A network that is used only for its memory estimate: its parameters have sizes but no values.
#[derive(Debug)]
pub struct Footprint {
    network: Network,
    params: Params,
    /// The arc, or the arcs among which the most expensive one is.
    arcs: Vec<Arc>,
    threads: usize,
    is_fixed: bool,
}

/// Something that a network does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// A training step with this many images.
    Train(usize),
    /// Logits of this many images, with batch statistics.
    Score(usize),
    /// Logits of this many images, with moving statistics.
    Infer(usize),
    /// Weights and momentum are copied and written to a file.
    Save,
}

/// Draws no random numbers: a dry run does not use any.
struct NoNoise;

impl Noise for NoNoise {
    fn uniform(&self, _: &str, _: usize) -> Vec<f32> {
        Vec::new()
    }
}

impl Footprint {
    /// The footprint of a child with shared weights, for the arcs that need the most memory; see [`worst_arcs`].
    ///
    /// # Errors
    /// As for [`Child::shared`](crate::Child::shared).
    pub fn shared(
        config: &Config,
        input: InputShape,
        n_classes: usize,
        threads: usize,
    ) -> Result<Self, Error> {
        Self::new(config, None, input, n_classes, threads)
    }

    /// The footprint of a child with private weights for one arc.
    ///
    /// # Errors
    /// As for [`Child::fixed`](crate::Child::fixed).
    pub fn fixed(
        config: &Config,
        arc: &Arc,
        input: InputShape,
        n_classes: usize,
        threads: usize,
    ) -> Result<Self, Error> {
        Self::new(config, Some(arc), input, n_classes, threads)
    }

    /// The footprints of children with private weights for the arcs of [`worst_arcs`]. No child that `config` allows
    /// needs more than the largest of them, up to a few per cent.
    ///
    /// # Errors
    /// As for [`Child::fixed`](crate::Child::fixed).
    pub fn any_fixed(
        config: &Config,
        input: InputShape,
        n_classes: usize,
        threads: usize,
    ) -> Result<Vec<Self>, Error> {
        let arcs = worst_arcs(config.nodes);
        arcs.iter().map(|arc| Self::fixed(config, arc, input, n_classes, threads)).collect()
    }

    fn new(
        config: &Config,
        arc: Option<&Arc>,
        input: InputShape,
        n_classes: usize,
        threads: usize,
    ) -> Result<Self, Error> {
        check_shape(config, arc, input, n_classes)?;
        let mut builder = Builder::new(None);
        let network = Network::new(&mut builder, config, Plan::new(config, input), arc, n_classes);
        let arcs = arc.map_or_else(|| worst_arcs(config.nodes), |arc| vec![arc.clone()]);
        Ok(Self { network, params: builder.params.places(), arcs, threads, is_fixed: arc.is_some() })
    }

    /// The same for the given arcs of a shared network, used one after another.
    ///
    /// # Errors
    /// If an arc does not fit the network.
    pub fn of_arcs(self, arcs: Vec<Arc>) -> Result<Self, Error> {
        let (input, classes) = (self.network.plan.input, self.network.classifier.classes);
        for arc in &arcs {
            check_shape(&self.network.config, Some(arc), input, classes)?;
        }
        Ok(Self { arcs, ..self })
    }

    /// Bytes of the weights. Momentum takes as much again.
    pub fn weights(&self) -> usize {
        size_of::<f32>() * self.params.len()
    }

    /// The peak memory of `works`, done in order, in bytes. Weights, momentum and the images in host memory are not
    /// included. Idle buffers are; [`enas_kernels::limit_buffers`] limits them to `limit` bytes.
    pub fn peak(&self, works: &[Work], recompute: Recompute, limit: usize) -> usize {
        let ledger = Rc::new(RefCell::new(Ledger::new(limit, self.threads)));
        // All arcs share one pool: idle buffers of one arc do not help another arc that needs other sizes.
        for arc in &self.arcs {
            works.iter().for_each(|work| self.walk(arc, *work, recompute, &ledger));
        }
        ledger.borrow().peak()
    }

    fn walk(&self, arc: &Arc, work: Work, recompute: Recompute, ledger: &Rc<RefCell<Ledger>>) {
        // The arc was checked before, and a pass has no other error.
        let done = match work {
            Work::Train(n) => self.train(arc, n, recompute, ledger),
            Work::Score(n) => self.forward(&MemoryTracer::new(&self.params, ledger), arc, n, recompute),
            // Each thread works on its own group of images, in buffers that no other thread reuses.
            Work::Infer(n) => {
                let groups = n.div_ceil(LANES).min(self.threads);
                let dry = MemoryTracer::new(&self.params, ledger).apart();
                self.forward(&dry, arc, groups * LANES, Recompute::Nothing)
            }
            Work::Save => {
                let bytes = 4 * self.weights();
                ledger.borrow_mut().hold(bytes);
                ledger.borrow_mut().release(bytes);
                Ok(())
            }
        };
        debug_assert!(done.is_ok(), "{done:?}");
    }

    fn train(
        &self,
        arc: &Arc,
        n: usize,
        recompute: Recompute,
        ledger: &Rc<RefCell<Ledger>>,
    ) -> Result<(), Error> {
        let dry = MemoryTracer::new(&self.params, ledger);
        let walk = walk(recompute, n);
        let images = dry.map(self.shape(n));
        let training = Training { noise: &NoNoise, step: 0, total_steps: 1, with_aux: true };
        self.network.pass(&dry, arc, images, &(), training, (&*walk, false)).map(drop)
    }

    fn forward(
        &self,
        dry: &MemoryTracer<'_>,
        arc: &Arc,
        n: usize,
        recompute: Recompute,
    ) -> Result<(), Error> {
        let statistics = if self.is_fixed { Statistics::Running } else { Statistics::Batch };
        let mut tape = Tape::new(dry, statistics, false);
        let input = tape.input(dry.map(self.shape(n)));
        let walk = walk(recompute, n);
        self.network.forward(&mut tape, arc, input, None, (&*walk, false)).map(drop)
    }

    fn shape(&self, n: usize) -> (usize, usize, usize, usize) {
        let InputShape { channels, height, width } = self.network.plan.input;
        (n, channels, height, width)
    }
}

fn walk<'a>(recompute: Recompute, n: usize) -> Box<dyn Checkpointing<MemoryTracer<'a>> + 'a> {
    match recompute {
        Recompute::Nothing => Box::new(StoreAll),
        Recompute::Cells => Box::new(PerCell),
        Recompute::Groups(groups) => Box::new(MicroBatched::new(n, groups)),
    }
}

/// Arcs whose largest memory need is that of all arcs with `nodes` nodes, up to a few per cent.
///
/// A separable convolution keeps two feature maps, a pool keeps one and an identity none. So an arc that keeps the
/// most has separable convolutions on every edge, and the number of kept maps does not depend on the inputs. What
/// differs is the number of gradients that exist when the backward pass through a cell begins: one per loose end.
/// That number is largest if all nodes read the cell's inputs. The other arcs here are chains and cells of pools
/// only. In a chain the gradients of two readers of a state meet. The maps of pools have sizes that convolutions do
/// not leave idle.
pub fn worst_arcs(nodes: usize) -> Vec<Arc> {
    let arc = |op, inputs: &dyn Fn(usize) -> (usize, usize)| {
        let node = |i: usize| {
            let (x, y) = inputs(i);
            let branch = |input| Branch { input, op };
            Node { x: branch(x), y: branch(y) }
        };
        let cell = Cell::new((0..nodes).map(node).collect()).expect("nodes read states before them");
        Arc::new(cell.clone(), cell).expect("both cells have as many nodes")
    };
    let separable = Op::SepConv5x5;
    vec![
        arc(separable, &|_| (0, 1)),
        arc(separable, &|_| (1, 1)),
        arc(separable, &|i| (i, i + 1)),
        arc(separable, &|i| (i + 1, i + 1)),
        arc(Op::MaxPool3x3, &|_| (0, 1)),
        arc(Op::MaxPool3x3, &|i| (0, i + 1)),
    ]
}
