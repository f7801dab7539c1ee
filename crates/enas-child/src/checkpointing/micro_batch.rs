//! Micro-batching inside a cell: memory for the cell's activations is needed for one micro-batch only.
//!
//! Every micro-batch is a whole number of groups of sixteen images. The kernels work group by group and add partial
//! results in the order of groups, so the results equal those of the whole batch bit for bit. [`MicroBatches`] explains how
//! batch norm obtains the statistics of the whole batch.
//!
//! Method inference graph, forward:
//!
//! 1. Run all micro-batches through the cell, as often as there are batch norms in sequence. Each round completes the
//!    statistics of one more level; [`MicroBatches::end`] says whether another round is needed.
//! 2. Run them once more with all statistics known, and copy their outputs into maps of the whole batch.
//!
//! Method inference graph, backward:
//!
//! 1. Recompute each micro-batch with a recording tape and replay that tape, as often as there are batch norms in
//!    sequence. Each round completes the two sums that the gradient of one more level of batch norms needs.
//! 2. Do it once more with all sums known. Add up the parameters' gradients over micro-batches (gradient accumulation),
//!    and copy the gradients of the cell's inputs into maps of the whole batch.

use std::collections::BTreeMap;
use std::ops::Range;

use enas_kernels::LANES;

use crate::Error;
use crate::backend::{Backend, LayerStats, MicroBatchBackend, MicroBatches, Part};
use crate::cell::CellStep;
use crate::tape::{CellInput, CellInputs, CheckpointedCell, Grads, Tape, TapeValue};

/// A batch of `n` images, cut into micro-batches of whole groups.
#[derive(Clone, Debug)]
pub(crate) struct BatchSplit {
    n: usize,
    ranges: Vec<Range<usize>>,
}

impl BatchSplit {
    /// `n` images, at most `groups` groups of sixteen per micro-batch.
    pub(crate) fn new(n: usize, groups: usize) -> Self {
        let (all, step) = (n.div_ceil(LANES), groups.max(1));
        Self { n, ranges: (0..all).step_by(step).map(|first| first..(first + step).min(all)).collect() }
    }
}

/// Evaluates a cell on a tape that does not record. Returns what the next cell reads, and the statistics of all conv
/// blocks.
pub(crate) fn forward<G: MicroBatchBackend>(
    tape: &mut Tape<'_, G>,
    step: &CellStep<'_>,
    pair: &CellInputs<G>,
    split: &BatchSplit,
) -> Result<(CellInputs<G>, Vec<LayerStats<G>>), Error> {
    let (backend, first) = (tape.backend, tape.next());
    let micro_batches = MicroBatches::new(backend, split.n, Vec::new());
    // Rounds that find the statistics. Their outputs are dropped.
    loop {
        for range in &split.ranges {
            run(&micro_batches, step, (first, pair), range, false)?;
        }
        if !micro_batches.end() {
            break;
        }
    }
    // Final round. Micro-batches write to the same tape places, so a place identifies a value of the whole batch.
    let mut wholes: BTreeMap<usize, G::Activation> = BTreeMap::new();
    let (mut made, mut macs) = ((Vec::new(), Vec::new()), 0);
    for range in &split.ranges {
        let (of_part, outputs) = run(&micro_batches, step, (first, pair), range, false)?;
        tape.advance(of_part.next());
        macs = of_part.macs;
        put_together(backend, &mut wholes, first, (&outputs, range.start), split.n);
        made = (ids(&outputs.0), ids(&outputs.1));
    }
    tape.macs += macs;
    // A cell may hand on one of its inputs as it is (the carried input of the pair).
    for var in pair.0.iter().chain(&pair.1) {
        wholes.insert(var.id, var.value.clone());
    }
    let state = |ids: Vec<usize>| -> CellInput<G> {
        ids.into_iter().map(|id| TapeValue { id, value: wholes[&id].clone() }).collect()
    };
    let outputs = (state(made.0), state(made.1));
    let moments = micro_batches.into_known();
    for LayerStats { block, moments } in &moments {
        tape.batch_stats.extend(block.norm.running.map(|running| (running, moments.clone())));
    }
    Ok((outputs, moments))
}

/// Propagates the gradients of a cell's outputs, in `grads`, to its inputs, and hands those of its parameters over to
/// `into`.
pub(crate) fn backward<G: MicroBatchBackend>(
    backend: &G,
    step: &CellStep<'_>,
    skipped: &CheckpointedCell<G>,
    moments: Vec<LayerStats<G>>,
    split: &BatchSplit,
    grads: &mut Grads<G>,
    into: &mut G::Gradients,
) -> Result<(), Error> {
    let micro_batches = MicroBatches::new(backend, split.n, moments);
    let (first, pair) = (skipped.first, &skipped.inputs);
    // Values of the cell have places from `first` on: these gradients are those of its outputs.
    let given: Vec<(usize, G::FeatureMap)> =
        grads.iter_mut().enumerate().skip(first).filter_map(taken).collect();
    // Rounds that find the sums for batch norm. The gradients they compute on the way are dropped.
    loop {
        for range in &split.ranges {
            let (tape, _) = run(&micro_batches, step, (first, pair), range, true)?;
            let mut of_part = some_of(backend, &given, range, tape.next());
            tape.backward(&[], &mut of_part, &mut (), &|_, _, _| unreachable!("no cell lies inside a cell"))?;
        }
        if !micro_batches.end() {
            break;
        }
    }
    // Only the final round adds up the gradients of parameters.
    micro_batches.collect();
    let read: Vec<usize> = {
        let mut read: Vec<usize> = pair.0.iter().chain(&pair.1).map(|var| var.id).collect();
        read.sort_unstable();
        read.dedup();
        read
    };
    let mut wholes: BTreeMap<usize, G::FeatureMap> =
        read.iter().filter_map(|&id| Some((id, grads[id].take()?))).collect();
    // Later cells may already have added to the gradient of an input. For other inputs it starts at nothing, in each
    // micro-batch anew.
    let brought: Vec<usize> = wholes.keys().copied().collect();
    for range in &split.ranges {
        let (tape, _) = run(&micro_batches, step, (first, pair), range, true)?;
        let mut of_part = some_of(backend, &given, range, tape.next());
        for id in &brought {
            of_part[*id] = Some(part_of(backend, &wholes[id], range));
        }
        tape.backward(&[], &mut of_part, &mut (), &|_, _, _| unreachable!("no cell lies inside a cell"))?;
        for &id in &read {
            if let Some(part) = of_part[id].take() {
                let part = part.get();
                let whole = wholes.entry(id).or_insert_with(|| backend.blank(part, split.n));
                backend.put(whole, range.start, part);
            }
        }
    }
    wholes.into_iter().for_each(|(id, map)| grads[id] = Some(map));
    micro_batches.hand_over(into);
    Ok(())
}

fn taken<M>((id, grad): (usize, &mut Option<M>)) -> Option<(usize, M)> {
    Some((id, grad.take()?))
}

/// Evaluates the cell for the groups `range` of images.
#[expect(clippy::type_complexity, reason = "a tape and what it computed")]
fn run<'w, 'a, G: MicroBatchBackend>(
    micro_batches: &'w MicroBatches<'a, G>,
    step: &CellStep<'_>,
    (first, pair): (usize, &CellInputs<G>),
    range: &Range<usize>,
    record: bool,
) -> Result<(Tape<'w, MicroBatches<'a, G>>, CellInputs<MicroBatches<'a, G>>), Error> {
    // The tape of a micro-batch starts at the place of the cell, so its ids are those of the whole batch.
    micro_batches.show(range.clone());
    let mut tape = Tape::from(micro_batches, first, record);
    let part = |state: &CellInput<G>| state.iter().map(|var| micro_batches.part(var, range)).collect();
    let inputs = (part(&pair.0), part(&pair.1));
    let outputs = step.block.forward(&mut tape, step.cell, inputs, step.drop_path)?;
    Ok((tape, outputs))
}

/// Copies the outputs of a micro-batch into maps of the whole batch, from group `group` on.
fn put_together<G: MicroBatchBackend>(
    backend: &G,
    wholes: &mut BTreeMap<usize, G::Activation>,
    first: usize,
    (outputs, group): (&CellInputs<MicroBatches<'_, G>>, usize),
    n: usize,
) {
    let mut seen = Vec::new();
    for var in outputs.0.iter().chain(&outputs.1) {
        // An input that the cell hands on as it is covers the whole batch already.
        if var.id < first || seen.contains(&var.id) {
            continue;
        }
        seen.push(var.id);
        let value = var.value.get();
        let part = backend.map_of(value);
        let mut whole = match wholes.remove(&var.id) {
            Some(whole) => backend.map_of(&whole),
            None => backend.blank(&part, n),
        };
        backend.put(&mut whole, group, &part);
        wholes.insert(var.id, backend.with_map(value, whole));
    }
}

/// The groups `range` of the given gradients, by their places on a tape with `len` places.
fn some_of<'a, G: MicroBatchBackend>(
    backend: &G,
    given: &[(usize, G::FeatureMap)],
    range: &Range<usize>,
    len: usize,
) -> Grads<MicroBatches<'a, G>> {
    let mut grads: Grads<MicroBatches<'a, G>> = vec![None; len];
    for (id, map) in given {
        grads[*id] = Some(part_of(backend, map, range));
    }
    grads
}

fn part_of<G: MicroBatchBackend>(
    backend: &G,
    map: &G::FeatureMap,
    range: &Range<usize>,
) -> Part<G::FeatureMap> {
    let part = backend.map_groups(map, range.clone());
    Part::known(backend.shape(&backend.plain(part.clone())), part)
}

fn ids<B: Backend>(state: &CellInput<B>) -> Vec<usize> {
    state.iter().map(|var| var.id).collect()
}

impl<'a, G: MicroBatchBackend> MicroBatches<'a, G> {
    /// The groups `range` of a value of the whole batch, in the same memory.
    fn part(&self, var: &TapeValue<G>, range: &Range<usize>) -> TapeValue<Self> {
        let value = self.inner().groups(&var.value, range.clone());
        let shape = self.inner().shape(&value);
        TapeValue { id: var.id, value: Part::known(shape, value) }
    }
}
