//! The network as one candle operation, computed on a GPU.
//!
//! Candle sees only a few values of a pass: features, logits or a loss, and their gradients. These go through the
//! host. Images, activations and the gradients of weights stay on the device.

use std::cell::RefCell;
use std::sync::PoisonError;

use candle_core::{Shape, Tensor};
use enas_kernels::gpu::{self, Buffer, Gpu, GpuFeatureMap, GpuTargets};

use super::op::{Evaluation, NetworkParts, Output, Record};
use crate::Error;
use crate::backend::{Backend, Numbers, OnGpu};
use crate::checkpointing::StoreAll;
use crate::config::InputShape;
use crate::device::{OnDevice, STATS};
use crate::loss::Targets;
use crate::network::Features;
use crate::pass::{Heads, LogitGradients};
use crate::tape::{Recorded, Tape};

/// What the forward pass recorded on a GPU for the backward pass.
pub(super) struct RecordOnGpu {
    tape: Recorded<OnGpu<'static>>,
    /// `None` if only features were asked for.
    heads: Option<Heads<Numbers>>,
    /// The gradients of the logits, if the output is a loss.
    of_loss: Option<LogitGradients<Numbers>>,
}

/// The output's values and shape, and as much of the heads as the output needs.
type Made = ((Vec<f32>, Shape), Option<Heads<Numbers>>, Option<LogitGradients<Numbers>>);

impl Evaluation {
    /// The output for images `[n, c, h, w]` on the device, which hold `numbers` values in all.
    pub(super) fn forward_on(
        &self,
        device: &OnDevice,
        images: &Buffer,
        numbers: usize,
    ) -> Result<(Vec<f32>, Shape), Error> {
        let NetworkParts { network, params, arc, .. } = &self.parts;
        let InputShape { channels, height, width } = network.plan.input;
        let shape = (numbers / self.image_len(), channels, height, width);
        let (stats, mut running) = (device.gpu.zeros(STATS), device.running());
        let backend = device.backend(params, &stats, &running);
        let mut tape = Tape::new(&backend, self.statistics, self.gradients.is_some());
        let input =
            tape.input(GpuFeatureMap::from_pictures(images, device.precision(self.statistics), shape));
        let noise = self.noise();
        let training = self.training(noise.as_ref());
        let features = network.forward(&mut tape, arc, input, training, (&StoreAll, false))?;
        let moments = std::mem::take(&mut tape.batch_stats);
        let (made, heads, of_loss) = self.output_on(&backend, features, shape.0)?;
        let tape = self.gradients.is_some().then(move || tape.into_recorded());
        if let Some(tape) = tape {
            let record = RecordOnGpu { tape, heads, of_loss };
            *self.recorded.lock().unwrap_or_else(PoisonError::into_inner) = Some(Record::OnGpu(record));
        }
        if self.step.is_some() {
            moments.iter().for_each(|(index, moments)| running[*index].update(moments));
        }
        Ok(made)
    }

    /// The output for the features of `n` images. Waits for the device.
    fn output_on(&self, backend: &OnGpu<'_>, features: Features<OnGpu<'_>>, n: usize) -> Result<Made, Error> {
        let network = &self.parts.network;
        let Features { main, aux, .. } = features;
        if matches!(self.output, Output::Features) {
            return Ok((self.of_features(fetch(&main)?), None, None));
        }
        let noise = self.noise();
        let heads = network.heads(backend, (main, aux), n, self.training(noise.as_ref()));
        let Output::Loss { targets, .. } = &self.output else {
            let aux = heads.aux.as_ref().map(|(_, logits)| fetch(logits)).transpose()?;
            return Ok((self.of_logits(&fetch(&heads.logits)?, aux.as_deref()), Some(heads), None));
        };
        let targets = on_device(backend.gpu, targets);
        let (loss, aux_loss, grads) = network.losses(backend, &heads, &targets);
        let stats = backend.stats.download(0, STATS)?;
        let total = stats[loss] + network.config.aux_weight * aux_loss.map_or(0.0, |place| stats[place]);
        Ok(((vec![total], Shape::from(())), Some(heads), Some(grads)))
    }

    /// The gradients of all tensors, given that of the output.
    pub(super) fn backward_on(
        &self,
        device: &OnDevice,
        RecordOnGpu { tape, heads, of_loss }: RecordOnGpu,
        grad: Vec<f32>,
    ) -> Result<Vec<Option<Tensor>>, Error> {
        let NetworkParts { network, params, arc, .. } = &self.parts;
        let (stats, running) = (device.gpu.buffer(STATS), device.running());
        let tables = params.names().count();
        let visited = Some(RefCell::new(vec![false; tables]));
        let backend = OnGpu { visited, ..device.backend(params, &stats, &running) };
        let noise = self.noise();
        let way = (self.training(noise.as_ref()), &StoreAll as _);
        let (gpu, tape) = (&device.gpu, tape.resume(&backend));
        let gradients = match heads {
            None => {
                let means = [sent(gpu, &grad)];
                network.propagate_means(tape, arc, &means, backend.gradients(), way)?
            }
            Some(heads) => {
                let grads = match of_loss {
                    Some((main, aux)) => (times(main, grad[0]), aux.map(|aux| times(aux, grad[0]))),
                    None => {
                        let (main, aux) = self.split(grad, heads.aux.is_some());
                        (sent(gpu, &main), aux.map(|aux| sent(gpu, &aux)))
                    }
                };
                network.propagate(tape, arc, &heads, grads, way)?
            }
        };
        let visited = backend.visited.map(RefCell::into_inner).unwrap_or_default();
        gpu.finish()?;
        Ok(params.gradient_tensors_on(&gradients, &visited)?)
    }
}

fn on_device(gpu: &Gpu, Targets { labels, mix }: &Targets) -> GpuTargets {
    let mix = mix.as_ref().map(|mix| (gpu.upload_u32(&mix.others), gpu.upload(&mix.shares)));
    GpuTargets { labels: gpu.upload_u32(labels), mix }
}

fn fetch(numbers: &Numbers) -> Result<Vec<f32>, gpu::Error> {
    numbers.data.download(0, numbers.len)
}

fn sent(gpu: &Gpu, numbers: &[f32]) -> Numbers {
    Numbers { data: gpu.upload(numbers), len: numbers.len() }
}

fn times(numbers: Numbers, factor: f32) -> Numbers {
    if factor == 1.0 {
        return numbers;
    }
    let factors = numbers.data.gpu().upload(&vec![factor; numbers.len]);
    Numbers { data: gpu::scale_features(&numbers.data, &factors, numbers.len), len: numbers.len }
}
