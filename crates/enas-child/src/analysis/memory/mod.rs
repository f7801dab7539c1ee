//! How much memory a network needs at work, found by tracing its passes without computing them.

mod ledger;
mod micro_batches;
mod tracer;

use std::cell::RefCell;
use std::rc::Rc;

use enas_arc::{Arc, Branch, Cell, Node, Op};
use enas_kernels::LANES;

use self::ledger::Ledger;
use self::tracer::MemoryTracer;
use crate::autograd::Tape;
use crate::backend::Statistics;
use crate::checkpointing::Recompute;
use crate::child::check_network;
use crate::config::{Config, InputShape};
use crate::error::Error;
use crate::network::builder::Builder;
use crate::network::layout::NetworkLayout;
use crate::network::{Network, PassOptions, Training};
use crate::noise::Noise;
use crate::params::Params;

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

/// Draws no random numbers: a traced pass does not use any.
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
        check_network(config, arc, input, n_classes)?;
        let mut builder = Builder::new(None);
        let network = Network::new(&mut builder, config, NetworkLayout::new(config, input), arc, n_classes);
        let arcs = arc.map_or_else(|| worst_arcs(config.nodes), |arc| vec![arc.clone()]);
        Ok(Self { network, params: builder.params.sizes_only(), arcs, threads, is_fixed: arc.is_some() })
    }

    /// The same for the given arcs of a shared network, used one after another.
    ///
    /// # Errors
    /// If an arc does not fit the network.
    pub fn of_arcs(self, arcs: Vec<Arc>) -> Result<Self, Error> {
        let input = self.network.layout.input;
        let classes = self.network.classifier.classes;
        for arc in &arcs {
            check_network(&self.network.config, Some(arc), input, classes)?;
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
            works.iter().for_each(|work| self.trace(arc, *work, recompute, &ledger));
        }
        ledger.borrow().peak()
    }

    fn trace(&self, arc: &Arc, work: Work, recompute: Recompute, ledger: &Rc<RefCell<Ledger>>) {
        // The arc was checked before, and a pass has no other error.
        let done = match work {
            Work::Train(n) => self.train(arc, n, recompute, ledger),
            Work::Score(n) => self.forward(&MemoryTracer::new(&self.params, ledger), arc, n, recompute),
            // Each thread works on its own group of images, in buffers that no other thread reuses.
            Work::Infer(n) => {
                let groups = n.div_ceil(LANES).min(self.threads);
                let tracer = MemoryTracer::new(&self.params, ledger).isolated();
                self.forward(&tracer, arc, groups * LANES, Recompute::Nothing)
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
        let tracer = MemoryTracer::new(&self.params, ledger);
        let strategy = recompute.strategy(n);
        let images = tracer.map(self.shape(n));
        let training = Training { noise: &NoNoise, step: 0, total_steps: 1, with_aux: true };
        let options = PassOptions::new(Some(training), &*strategy);
        self.network.pass(&tracer, arc, images, &(), options).map(drop)
    }

    fn forward(
        &self,
        tracer: &MemoryTracer<'_>,
        arc: &Arc,
        n: usize,
        recompute: Recompute,
    ) -> Result<(), Error> {
        let statistics = if self.is_fixed { Statistics::Running } else { Statistics::Batch };
        let mut tape = Tape::new(tracer, statistics, false);
        let input = tape.input(tracer.map(self.shape(n)));
        let strategy = recompute.strategy(n);
        self.network.forward(&mut tape, arc, input, PassOptions::new(None, &*strategy)).map(drop)
    }

    fn shape(&self, n: usize) -> (usize, usize, usize, usize) {
        let InputShape { channels, height, width } = self.network.layout.input;
        (n, channels, height, width)
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
