//! Micro-batching inside a cell: memory for the cell's activations is needed for one micro-batch only.
//!
//! Every micro-batch consists of complete groups of sixteen images. The kernels work group by group and add partial
//! results in the order of groups, so the results equal those of the whole batch bit for bit. [`MicroBatches`] explains
//! how batch norm obtains the statistics of the whole batch.
//!
//! Method outline, forward:
//!
//! 1. Run all micro-batches through the cell, as often as there are batch norms in sequence. Each pass completes the
//!    statistics of one more level; [`MicroBatches::finish_pass`] says whether another pass is needed.
//! 2. Run them once more with all statistics known, and copy their outputs into maps of the whole batch.
//!
//! Method outline, backward:
//!
//! 1. Recompute each micro-batch with a recording tape and replay that tape, as often as there are batch norms in
//!    sequence. Each pass completes the two sums that the gradient of one more level of batch norms needs.
//! 2. Do it once more with all sums known. Add up the parameters' gradients over micro-batches (gradient accumulation),
//!    and copy the gradients of the cell's inputs into maps of the whole batch.

use std::collections::BTreeMap;
use std::ops::Range;

use enas_kernels::LANES;

use crate::autograd::{CellInput, CellInputs, CheckpointedCell, Grads, Tape, TapeValue};
use crate::backend::{Deferred, Forward, LayerStats, MicroBatchBackend, MicroBatches};
use crate::error::Error;
use crate::network::cell::CellStep;

/// A batch of `n` images, cut into micro-batches of complete groups.
#[derive(Clone, Debug)]
pub(crate) struct BatchSplit {
    n: usize,
    ranges: Vec<Range<usize>>,
}

impl BatchSplit {
    /// `n` images, at most `groups` groups of sixteen per micro-batch.
    pub(crate) fn new(n: usize, groups: usize) -> Self {
        let all = n.div_ceil(LANES);
        let step = groups.max(1);
        Self { n, ranges: (0..all).step_by(step).map(|first| first..(first + step).min(all)).collect() }
    }
}

/// A cell on the tape of the whole batch: its step, its inputs and the place of its first value.
struct CellRun<'r, G: MicroBatchBackend> {
    step: &'r CellStep<'r>,
    inputs: &'r CellInputs<G>,
    first: usize,
}

/// The values of the whole batch, by place on the tape, while micro-batches fill them.
type Assembled<V> = BTreeMap<usize, V>;

/// A replayable tape of one micro-batch.
type MicroTape<'w, 'a, G> = Tape<'w, MicroBatches<'a, G>>;

/// Evaluates a cell on a tape that does not record. Returns what the next cell reads, and the statistics of all conv
/// blocks.
pub(crate) fn forward<G: MicroBatchBackend>(
    tape: &mut Tape<'_, G>,
    step: &CellStep<'_>,
    inputs: &CellInputs<G>,
    split: &BatchSplit,
) -> Result<(CellInputs<G>, Vec<LayerStats<G>>), Error> {
    let backend = tape.backend;
    let run = CellRun { step, inputs, first: tape.next() };
    let micro_batches = MicroBatches::new(backend, split.n, Vec::new());
    // Passes that find the statistics. Their outputs are dropped.
    loop {
        for range in &split.ranges {
            run.forward(&micro_batches, range, false)?;
        }
        if !micro_batches.finish_pass() {
            break;
        }
    }
    // Final pass. Micro-batches write to the same tape places, so a place identifies a value of the whole batch.
    let mut assembled: Assembled<G::Activation> = BTreeMap::new();
    let mut output_ids = (Vec::new(), Vec::new());
    let mut macs = 0;
    for range in &split.ranges {
        let (micro_tape, outputs) = run.forward(&micro_batches, range, false)?;
        tape.advance(micro_tape.next());
        macs = micro_tape.macs;
        run.assemble_outputs(&micro_batches, &mut assembled, &outputs, range.start);
        output_ids = (ids(&outputs.0), ids(&outputs.1));
    }
    tape.macs += macs;
    // A cell may hand on one of its inputs as it is (the carried input of the pair).
    for var in inputs.0.iter().chain(&inputs.1) {
        assembled.insert(var.id, var.value.clone());
    }
    let state = |ids: Vec<usize>| -> CellInput<G> {
        ids.into_iter().map(|id| TapeValue { id, value: assembled[&id].clone() }).collect()
    };
    let outputs = (state(output_ids.0), state(output_ids.1));
    let layer_stats = micro_batches.into_layer_stats();
    for LayerStats { block, batch_stats } in &layer_stats {
        tape.batch_stats.extend(block.norm.running.map(|running| (running, batch_stats.clone())));
    }
    Ok((outputs, layer_stats))
}

/// Propagates the gradients of a cell's outputs, in `grads`, to its inputs, and adds those of its parameters to
/// `into`.
pub(crate) fn backward<G: MicroBatchBackend>(
    backend: &G,
    step: &CellStep<'_>,
    skipped: &CheckpointedCell<G>,
    layer_stats: Vec<LayerStats<G>>,
    split: &BatchSplit,
    grads: &mut Grads<G>,
    into: &mut G::Gradients,
) -> Result<(), Error> {
    let micro_batches = MicroBatches::new(backend, split.n, layer_stats);
    let run = CellRun { step, inputs: &skipped.inputs, first: skipped.first };
    // Values of the cell have places from `first` on: these gradients are those of its outputs.
    let output_gradients: Vec<(usize, G::FeatureMap)> =
        grads.iter_mut().enumerate().skip(run.first).filter_map(take_gradient).collect();
    // Passes that find the sums for batch norm. The gradients they compute on the way are dropped.
    loop {
        for range in &split.ranges {
            let (tape, _) = run.forward(&micro_batches, range, true)?;
            let mut micro_grads = slice_gradients(backend, &output_gradients, range, tape.next());
            replay(tape, &mut micro_grads)?;
        }
        if !micro_batches.finish_pass() {
            break;
        }
    }
    // Only the final pass adds up the gradients of parameters.
    micro_batches.accumulate_gradients();
    let input_ids = run.input_ids();
    let mut assembled: Assembled<G::FeatureMap> =
        input_ids.iter().filter_map(|&id| Some((id, grads[id].take()?))).collect();
    // Later cells may already have added to the gradient of an input. For other inputs it starts at nothing, in each
    // micro-batch anew.
    let have_gradients: Vec<usize> = assembled.keys().copied().collect();
    for range in &split.ranges {
        let (tape, _) = run.forward(&micro_batches, range, true)?;
        let mut micro_grads = slice_gradients(backend, &output_gradients, range, tape.next());
        for id in &have_gradients {
            micro_grads[*id] = Some(slice_groups(backend, &assembled[id], range));
        }
        replay(tape, &mut micro_grads)?;
        for &id in &input_ids {
            if let Some(grad) = micro_grads[id].take() {
                let grad = grad.get();
                let batch = assembled.entry(id).or_insert_with(|| backend.allocate_batch(grad, split.n));
                backend.write_groups(batch, range.start, grad);
            }
        }
    }
    assembled.into_iter().for_each(|(id, map)| grads[id] = Some(map));
    micro_batches.collect_gradients(into);
    Ok(())
}

impl<G: MicroBatchBackend> CellRun<'_, G> {
    /// Evaluates the cell for the groups `range` of images.
    fn forward<'w, 'a>(
        &self,
        micro_batches: &'w MicroBatches<'a, G>,
        range: &Range<usize>,
        record: bool,
    ) -> Result<(MicroTape<'w, 'a, G>, CellInputs<MicroBatches<'a, G>>), Error> {
        // The tape of a micro-batch starts at the place of the cell, so its ids are those of the whole batch.
        micro_batches.select(range.clone());
        let mut tape = Tape::from(micro_batches, self.first, record);
        let slice = |state: &CellInput<G>| state.iter().map(|var| micro_batches.slice(var, range)).collect();
        let inputs = (slice(&self.inputs.0), slice(&self.inputs.1));
        let outputs = self.step.block.forward(&mut tape, self.step.cell, inputs, self.step.drop_path)?;
        Ok((tape, outputs))
    }

    /// Copies the outputs of a micro-batch into maps of the whole batch, from group `group` on.
    fn assemble_outputs<'a>(
        &self,
        micro_batches: &MicroBatches<'a, G>,
        assembled: &mut Assembled<G::Activation>,
        outputs: &CellInputs<MicroBatches<'a, G>>,
        group: usize,
    ) {
        let backend = micro_batches.device();
        let mut seen = Vec::new();
        for var in outputs.0.iter().chain(&outputs.1) {
            // An input that the cell hands on as it is covers the whole batch already.
            if var.id < self.first || seen.contains(&var.id) {
                continue;
            }
            seen.push(var.id);
            let value = var.value.get();
            let groups = backend.raw_map(value);
            let mut batch = match assembled.remove(&var.id) {
                Some(batch) => backend.raw_map(&batch),
                None => backend.allocate_batch(&groups, micro_batches.batch_size()),
            };
            backend.write_groups(&mut batch, group, &groups);
            assembled.insert(var.id, backend.with_map(value, batch));
        }
    }

    /// The places of the values that the cell reads, each once, in ascending order.
    fn input_ids(&self) -> Vec<usize> {
        let mut read: Vec<usize> = self.inputs.0.iter().chain(&self.inputs.1).map(|var| var.id).collect();
        read.sort_unstable();
        read.dedup();
        read
    }
}

/// Takes a gradient out of its place, with the number of the place.
fn take_gradient<M>((id, grad): (usize, &mut Option<M>)) -> Option<(usize, M)> {
    Some((id, grad.take()?))
}

/// Replays the tape of a micro-batch.
fn replay<G: MicroBatchBackend>(
    tape: MicroTape<'_, '_, G>,
    grads: &mut Grads<MicroBatches<'_, G>>,
) -> Result<(), Error> {
    tape.backward(&[], grads, &mut (), &|_, _, _| unreachable!("no cell lies inside a cell"))
}

/// The groups `range` of gradients, by their places on a tape with `len` places.
fn slice_gradients<'a, G: MicroBatchBackend>(
    backend: &G,
    gradients: &[(usize, G::FeatureMap)],
    range: &Range<usize>,
    len: usize,
) -> Grads<MicroBatches<'a, G>> {
    let mut grads: Grads<MicroBatches<'a, G>> = vec![None; len];
    for (id, map) in gradients {
        grads[*id] = Some(slice_groups(backend, map, range));
    }
    grads
}

/// The groups `range` of a map of the whole batch, in the same memory.
fn slice_groups<G: MicroBatchBackend>(
    backend: &G,
    map: &G::FeatureMap,
    range: &Range<usize>,
) -> Deferred<G::FeatureMap> {
    let groups = backend.map_groups(map, range.clone());
    Deferred::known(backend.shape(&backend.plain(groups.clone())), groups)
}

fn ids<B: Forward>(state: &CellInput<B>) -> Vec<usize> {
    state.iter().map(|var| var.id).collect()
}

impl<'a, G: MicroBatchBackend> MicroBatches<'a, G> {
    /// The groups `range` of a value of the whole batch, in the same memory.
    fn slice(&self, var: &TapeValue<G>, range: &Range<usize>) -> TapeValue<Self> {
        let value = self.device().groups(&var.value, range.clone());
        let shape = self.device().shape(&value);
        TapeValue { id: var.id, value: Deferred::known(shape, value) }
    }
}
