//! The network as one candle operation.
//!
//! Its inputs are the images and a token that stands for all weights. Inside, activations use the kernels' blocked
//! layout and gradients are added in place, as in training steps. Candle sees only features, logits or a loss, and
//! one gradient per weight tensor.

use std::sync::{Arc as SyncArc, Mutex, PoisonError};

use candle_core::{CpuStorage, CudaStorage, CustomOp2, Layout, Shape, Tensor, bail};
use enas_arc::Arc;
use enas_kernels::candle::{Gradients as Slot, Tied};
use enas_kernels::gpu;
use enas_kernels::{FeatureMap, LANES, RunningStats};
use rayon::prelude::*;

use super::op_on_gpu::RecordOnGpu;
use super::{on_pool, walk_of};
use crate::backend::{Backend, Cpu, Statistics};
use crate::checkpointing::{Checkpointing, PerCell, Recompute, StoreAll};
use crate::config::InputShape;
use crate::device::OnDevice;
use crate::loss::{LossRule, Targets};
use crate::network::{Features, Network, Training};
use crate::noise::SeededNoise;
use crate::params::{Params, Weights};
use crate::pass::{Heads, LogitGradients};
use crate::running::Running;
use crate::tape::{Recorded, Tape};
use crate::{Error, Step};

/// The parts of a network that its candle operations hold.
#[derive(Clone)]
pub(super) struct NetworkParts {
    pub(super) network: SyncArc<Network>,
    pub(super) params: SyncArc<Params>,
    pub(super) running: SyncArc<Running>,
    pub(super) arc: Arc,
    pub(super) recompute: Recompute,
    /// The GPU that passes are computed on; `None` for the CPU.
    pub(super) device: Option<OnDevice>,
}

/// What the operation returns.
pub(super) enum Output {
    /// `[n, channels]`, before dropout.
    Features,
    /// `[n, classes]`, or `[n, 2·classes]` with an auxiliary head.
    Logits,
    /// A scalar.
    Loss { targets: Targets, class_weights: Option<Vec<f32>>, smoothing: f32 },
}

/// One evaluation of a network.
pub(super) struct Evaluation {
    pub(super) parts: NetworkParts,
    pub(super) output: Output,
    pub(super) statistics: Statistics,
    /// Training position, with dropout and drop-path; `None` without them.
    pub(super) step: Option<Step>,
    /// Whether the auxiliary head is evaluated.
    pub(super) with_aux: bool,
    /// Where the gradients of the weights are put; `None` if they are not wanted.
    pub(super) gradients: Option<Slot>,
    pub(super) recorded: Mutex<Option<Record>>,
}

/// What the forward pass recorded for the backward pass.
pub(super) enum Record {
    Here(RecordHere),
    OnGpu(RecordOnGpu),
}

/// The record of a pass on the CPU.
pub(super) struct RecordHere {
    tape: Recorded<Cpu<'static>>,
    /// `None` if only features were asked for.
    heads: Option<Heads<Vec<f32>>>,
    /// The gradients of the logits, if the output is a loss.
    of_loss: Option<LogitGradients<Vec<f32>>>,
}

impl CustomOp2 for Evaluation {
    fn name(&self) -> &'static str {
        "network"
    }

    fn cpu_fwd(
        &self,
        images: &CpuStorage,
        layout: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> candle_core::Result<(CpuStorage, Shape)> {
        let (CpuStorage::F32(images), Some((from, to))) = (images, layout.contiguous_offsets()) else {
            bail!("images {:?} are not contiguous F32 numbers", layout.shape());
        };
        let images = &images[from..to];
        let made = match &self.parts.device {
            None => on_pool(|| self.forward(images)),
            Some(device) => self.forward_on(device, &device.gpu.upload(images), images.len()),
        };
        let (numbers, shape) = made.map_err(candle_core::Error::wrap)?;
        Ok((CpuStorage::F32(numbers), shape))
    }

    fn cuda_fwd(
        &self,
        images: &CudaStorage,
        layout: &Layout,
        _: &CudaStorage,
        _: &Layout,
    ) -> candle_core::Result<(CudaStorage, Shape)> {
        let Some(device) = &self.parts.device else { bail!("the images are on a GPU, the network is not") };
        let len = layout.shape().elem_count();
        let (numbers, shape) = gpu::with_buffers(&[(images, layout)], |images| {
            self.forward_on(device, &images[0], len).map_err(candle_core::Error::wrap)
        })?;
        device.gpu.upload(&numbers).into_storage(shape)
    }

    fn bwd(
        &self,
        _: &Tensor,
        token: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let record = self.recorded.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (Some(record), Some(slot)) = (record, &self.gradients) else {
            bail!("what the network recorded is used up; evaluate it again before another backward pass");
        };
        let (params, grad) = (&self.parts.params, grad.flatten_all()?.to_vec1::<f32>()?);
        slot.put(match (record, &self.parts.device) {
            (Record::OnGpu(record), Some(device)) => {
                self.backward_on(device, record, grad).map_err(candle_core::Error::wrap)?
            }
            (Record::Here(record), _) => {
                let backward = || params.read(|weights| self.backward(weights, record, grad));
                params.gradient_tensors(on_pool(backward).map_err(candle_core::Error::wrap)?)?
            }
            (Record::OnGpu(_), None) => bail!("the network has left its GPU"),
        });
        Ok((None, Some(Tied::token_gradient(token)?)))
    }
}

impl Evaluation {
    fn forward(&self, images: &[f32]) -> Result<(Vec<f32>, Shape), Error> {
        let NetworkParts { network, params, running, .. } = &self.parts;
        let n = images.len() / self.image_len();
        if self.statistics == Statistics::Batch {
            let (made, moments) = params.read(|weights| self.evaluate(weights, images, n))?;
            if self.step.is_some() {
                running.update(&moments)?;
            }
            return Ok(made);
        }
        let (moments, groups) = (running.current()?, images.par_chunks(LANES * self.image_len()));
        params.read(|weights| {
            // With moving statistics the images of a batch are independent. Each group of 16 images goes through the
            // whole network on one thread, so that its activations stay in that core's cache.
            let groups = groups.map(|group| self.features(weights, &moments, group));
            let features = groups.collect::<Result<Vec<Vec<f32>>, _>>()?.concat();
            let cpu = Cpu { weights, running: &moments, loss: LossRule::default() };
            Ok(match self.output {
                Output::Features => self.of_features(features),
                _ => {
                    let heads = network.heads(&cpu, (features, None), n, None);
                    self.of_logits(&heads.logits, None)
                }
            })
        })
    }

    /// The features of images, with moving statistics.
    fn features(
        &self,
        weights: Weights<'_>,
        running: &[RunningStats],
        images: &[f32],
    ) -> Result<Vec<f32>, Error> {
        let NetworkParts { network, arc, .. } = &self.parts;
        let cpu = Cpu { weights, running, loss: LossRule::default() };
        let mut tape = Tape::new(&cpu, Statistics::Running, false);
        let input = tape.input(self.map(images));
        Ok(network.forward(&mut tape, arc, input, None, (&StoreAll, false))?.main)
    }

    /// A pass with batch statistics; also returns these statistics.
    #[expect(clippy::type_complexity, reason = "what it made, with its shape, and what it saw")]
    fn evaluate(
        &self,
        weights: Weights<'_>,
        images: &[f32],
        n: usize,
    ) -> Result<((Vec<f32>, Shape), Vec<(usize, enas_kernels::BatchStats)>), Error> {
        let NetworkParts { network, arc, recompute, .. } = &self.parts;
        let cpu = Cpu { weights, running: &[], loss: self.loss_rule() };
        let mut tape = Tape::new(&cpu, Statistics::Batch, self.gradients.is_some());
        let input = tape.input(self.map(images));
        let noise = self.noise();
        let training = self.training(noise.as_ref());
        let walk = match self.gradients {
            None => walk_of(*recompute, n),
            Some(_) => recording_walk(*recompute),
        };
        let Features { main, aux, .. } = network.forward(&mut tape, arc, input, training, (&*walk, false))?;
        let moments = std::mem::take(&mut tape.batch_stats);
        let Output::Loss { targets, .. } = &self.output else {
            if matches!(self.output, Output::Features) {
                self.keep(tape, None, None);
                return Ok((self.of_features(main), moments));
            }
            let heads = network.heads(&cpu, (main, aux), n, training);
            let made = self.of_logits(&heads.logits, heads.aux.as_ref().map(|(_, logits)| &logits[..]));
            self.keep(tape, Some(heads), None);
            return Ok((made, moments));
        };
        let heads = network.heads(&cpu, (main, aux), n, training);
        let (loss, aux_loss, grads) = network.losses(&cpu, &heads, targets);
        let total = loss.mean + network.config.aux_weight * aux_loss.map_or(0.0, |loss| loss.mean);
        self.keep(tape, Some(heads), Some(grads));
        Ok(((vec![total], Shape::from(())), moments))
    }

    fn keep(
        &self,
        tape: Tape<'_, Cpu<'_>>,
        heads: Option<Heads<Vec<f32>>>,
        of_loss: Option<LogitGradients<Vec<f32>>>,
    ) {
        if self.gradients.is_some() {
            let record = Record::Here(RecordHere { tape: tape.into_recorded(), heads, of_loss });
            *self.recorded.lock().unwrap_or_else(PoisonError::into_inner) = Some(record);
        }
    }

    fn backward(
        &self,
        weights: Weights<'_>,
        RecordHere { tape, heads, of_loss }: RecordHere,
        grad: Vec<f32>,
    ) -> Result<crate::params::Gradients, Error> {
        let NetworkParts { network, arc, recompute, .. } = &self.parts;
        let cpu = Cpu { weights, running: &[], loss: self.loss_rule() };
        let noise = self.noise();
        let training = self.training(noise.as_ref());
        let (tape, walk) = (tape.resume(&cpu), recording_walk(*recompute));
        let way = (training, &*walk);
        let Some(heads) = heads else {
            return network.propagate_means(tape, arc, &[grad], cpu.gradients(), way);
        };
        let grads = match of_loss {
            Some((main, aux)) => (times(main, grad[0]), aux.map(|aux| times(aux, grad[0]))),
            None => self.split(grad, heads.aux.is_some()),
        };
        network.propagate(tape, arc, &heads, grads, way)
    }

    /// Logits of both heads, concatenated row by row.
    pub(super) fn of_logits(&self, logits: &[f32], aux: Option<&[f32]>) -> (Vec<f32>, Shape) {
        let classes = self.parts.network.classifier.classes;
        let n = logits.len() / classes;
        match aux {
            None => (logits.to_vec(), Shape::from((n, classes))),
            Some(aux) => {
                let rows = logits.chunks_exact(classes).zip(aux.chunks_exact(classes));
                let both = rows.flat_map(|(main, aux)| main.iter().chain(aux)).copied().collect();
                (both, Shape::from((n, 2 * classes)))
            }
        }
    }

    /// Splits a gradient `[n, 2·classes]` into those of the main and the auxiliary logits: the inverse of
    /// [`of_logits`](Self::of_logits).
    pub(super) fn split(&self, grad: Vec<f32>, has_aux: bool) -> LogitGradients<Vec<f32>> {
        if !has_aux {
            return (grad, None);
        }
        let classes = self.parts.network.classifier.classes;
        let half = |first: usize| {
            grad.chunks_exact(2 * classes).flat_map(|row| &row[first..first + classes]).copied().collect()
        };
        (half(0), Some(half(classes)))
    }

    pub(super) fn of_features(&self, features: Vec<f32>) -> (Vec<f32>, Shape) {
        let channels = self.parts.network.classifier.channels;
        let n = features.len() / channels;
        (features, Shape::from((n, channels)))
    }

    fn loss_rule(&self) -> LossRule<'_> {
        match &self.output {
            Output::Loss { class_weights, smoothing, .. } => {
                LossRule { class_weights: class_weights.as_deref(), smoothing: *smoothing }
            }
            _ => LossRule::default(),
        }
    }

    pub(super) fn noise(&self) -> Option<(SeededNoise, Step)> {
        self.step.map(|step| (SeededNoise { seed: step.seed, step: step.global_step }, step))
    }

    pub(super) fn training<'n>(&self, noise: Option<&'n (SeededNoise, Step)>) -> Option<Training<'n>> {
        noise.map(|(noise, step)| Training {
            noise,
            step: step.global_step,
            total_steps: step.total_steps,
            with_aux: self.with_aux,
        })
    }

    pub(super) fn image_len(&self) -> usize {
        let InputShape { channels, height, width } = self.parts.network.plan.input;
        channels * height * width
    }

    fn map(&self, images: &[f32]) -> FeatureMap {
        self.parts.network.map(images)
    }
}

/// The strategy to evaluate cells if gradients are wanted later. [`MicroBatched`](crate::checkpointing::MicroBatched) keeps statistics
/// from the forward pass for the backward pass, and a record does not hold those. So micro-batches fall back to whole
/// cells.
fn recording_walk<'a>(recompute: Recompute) -> Box<dyn Checkpointing<Cpu<'a>> + 'a> {
    match recompute {
        Recompute::Nothing => Box::new(StoreAll),
        Recompute::Cells | Recompute::Groups(_) => Box::new(PerCell),
    }
}

fn times(mut numbers: Vec<f32>, factor: f32) -> Vec<f32> {
    numbers.iter_mut().for_each(|x| *x *= factor);
    numbers
}
