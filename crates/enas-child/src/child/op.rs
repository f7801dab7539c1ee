//! The network as one candle operation.
//!
//! Its inputs are the images and a token that stands for all weights. Inside, activations use the kernels' blocked
//! layout and gradients are added in place, as in training steps. Candle sees only features, logits or a loss, and
//! one gradient per weight tensor.

use std::sync::PoisonError;

use candle_core::{CpuStorage, CudaStorage, CustomOp2, Layout, Shape, Tensor, bail};
use enas_kernels::candle::Tied;
use enas_kernels::{BatchStats, LANES, RunningStats, gpu};
use rayon::prelude::*;

use super::evaluation::{Evaluation, NetworkParts, Output, PassRecording, Recording, Values};
use crate::autograd::Tape;
use crate::backend::{Cpu, Statistics, Train, in_thread_pool};
use crate::error::Error;
use crate::loss::LossRule;
use crate::network::pass::{Heads, LogitGradients, Losses};
use crate::network::{Features, PassOptions};
use crate::params::{Gradients, Weights};

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
        let output = match &self.parts.device {
            None => in_thread_pool(|| self.forward(images)),
            Some(device) => self.forward_on(device, &device.gpu.upload(images), images.len()),
        };
        let (values, shape) = output.map_err(candle_core::Error::wrap)?;
        Ok((CpuStorage::F32(values), shape))
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
        let (values, shape) = gpu::with_buffers(&[(images, layout)], |images| {
            self.forward_on(device, &images[0], len).map_err(candle_core::Error::wrap)
        })?;
        device.gpu.upload(&values).into_storage(shape)
    }

    fn bwd(
        &self,
        _: &Tensor,
        token: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let recording = self.recording.lock().unwrap_or_else(PoisonError::into_inner).take();
        let (Some(recording), Some(slot)) = (recording, &self.gradients) else {
            bail!("what the network recorded is used up; evaluate it again before another backward pass");
        };
        let params = &self.parts.params;
        let grad = grad.flatten_all()?.to_vec1::<f32>()?;
        slot.put(match (recording, &self.parts.device) {
            (Recording::Gpu(recording), Some(device)) => {
                self.backward_on(device, recording, grad).map_err(candle_core::Error::wrap)?
            }
            (Recording::Cpu(recording), _) => {
                let backward = || params.read(|weights| self.backward(weights, recording, grad));
                params.gradient_tensors(in_thread_pool(backward).map_err(candle_core::Error::wrap)?)?
            }
            (Recording::Gpu(_), None) => bail!("the network has left its GPU"),
        });
        Ok((None, Some(Tied::token_gradient(token)?)))
    }
}

impl Evaluation {
    fn forward(&self, images: &[f32]) -> Result<Values, Error> {
        let NetworkParts { network, params, running, .. } = &self.parts;
        let n = images.len() / self.image_len();
        if self.statistics == Statistics::Batch {
            let (output, batch_stats) = params.read(|weights| self.evaluate(weights, images, n))?;
            if self.step.is_some() {
                running.update(&batch_stats)?;
            }
            return Ok(output);
        }
        let stats = running.current()?;
        let groups = images.par_chunks(LANES * self.image_len());
        params.read(|weights| {
            // With moving statistics the images of a batch are independent. Each group of 16 images goes through the
            // whole network on one thread, so that its activations stay in that core's cache.
            let groups = groups.map(|group| self.features(weights, &stats, group));
            let features = groups.collect::<Result<Vec<Vec<f32>>, _>>()?.concat();
            let cpu = Cpu { weights, running: &stats, loss: LossRule::default() };
            Ok(match self.output {
                Output::Features => self.features_output(features),
                _ => {
                    let heads = network.heads(&cpu, features, None, n, None);
                    self.logits_output(&heads.logits, None)
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
        Ok(network.forward(&mut tape, arc, input, PassOptions::store_all(None))?.main)
    }

    /// A pass with batch statistics; also returns these statistics.
    fn evaluate(
        &self,
        weights: Weights<'_>,
        images: &[f32],
        n: usize,
    ) -> Result<(Values, Vec<(usize, BatchStats)>), Error> {
        let NetworkParts { network, arc, recompute, .. } = &self.parts;
        let cpu = Cpu { weights, running: &[], loss: self.loss_rule() };
        let mut tape = Tape::new(&cpu, Statistics::Batch, self.gradients.is_some());
        let input = tape.input(self.map(images));
        let noise = self.noise();
        let training = self.training(noise.as_ref());
        let strategy = match self.gradients {
            None => recompute.strategy(n),
            Some(_) => recompute.recording_strategy(),
        };
        let options = PassOptions::new(training, &*strategy);
        let Features { main, aux, .. } = network.forward(&mut tape, arc, input, options)?;
        let batch_stats = std::mem::take(&mut tape.batch_stats);
        let Output::Loss { targets, .. } = &self.output else {
            if matches!(self.output, Output::Features) {
                self.store_recording(tape, None, None);
                return Ok((self.features_output(main), batch_stats));
            }
            let heads = network.heads(&cpu, main, aux, n, training);
            let output = self.logits_output(&heads.logits, heads.aux.as_ref().map(|(_, logits)| &logits[..]));
            self.store_recording(tape, Some(heads), None);
            return Ok((output, batch_stats));
        };
        let heads = network.heads(&cpu, main, aux, n, training);
        let Losses { main, aux, gradients } = network.losses(&cpu, &heads, targets);
        let total = main.mean + network.config.aux_weight * aux.map_or(0.0, |loss| loss.mean);
        self.store_recording(tape, Some(heads), Some(gradients));
        Ok(((vec![total], Shape::from(())), batch_stats))
    }

    fn store_recording(
        &self,
        tape: Tape<'_, Cpu<'_>>,
        heads: Option<Heads<Vec<f32>>>,
        loss_gradients: Option<LogitGradients<Vec<f32>>>,
    ) {
        if self.gradients.is_some() {
            self.store(Recording::Cpu(PassRecording { tape: tape.into_recorded(), heads, loss_gradients }));
        }
    }

    fn backward(
        &self,
        weights: Weights<'_>,
        PassRecording { tape, heads, loss_gradients }: PassRecording<Cpu<'static>>,
        grad: Vec<f32>,
    ) -> Result<Gradients, Error> {
        let NetworkParts { network, arc, recompute, .. } = &self.parts;
        let cpu = Cpu { weights, running: &[], loss: self.loss_rule() };
        let noise = self.noise();
        let training = self.training(noise.as_ref());
        let tape = tape.resume(&cpu);
        let strategy = recompute.recording_strategy();
        let options = PassOptions::new(training, &*strategy);
        let Some(heads) = heads else {
            return network.propagate_means(tape, arc, &[grad], cpu.gradients(), options);
        };
        let grads = match loss_gradients {
            Some(LogitGradients { main, aux }) => {
                LogitGradients { main: times(main, grad[0]), aux: aux.map(|aux| times(aux, grad[0])) }
            }
            None => self.split(grad, heads.aux.is_some()),
        };
        network.propagate(tape, arc, &heads, grads, options)
    }
}

/// Values times a factor.
fn times(mut values: Vec<f32>, factor: f32) -> Vec<f32> {
    values.iter_mut().for_each(|x| *x *= factor);
    values
}
