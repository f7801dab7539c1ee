//! The network as one candle operation, computed on a GPU.
//!
//! Candle sees only a few values of a pass: features, logits or a loss, and their gradients. These go through the
//! host. Images, activations and the gradients of weights stay on the device.

use std::cell::RefCell;

use candle_core::{Shape, Tensor};
use enas_kernels::gpu::{self, Buffer, Gpu, GpuFeatureMap};

use super::device::{OnDevice, STATS};
use super::evaluation::{Evaluation, NetworkParts, Output, PassRecording, Recording, Values};
use crate::autograd::Tape;
use crate::backend::{GpuVector, OnGpu, Train};
use crate::batch::upload_targets;
use crate::config::InputShape;
use crate::error::Error;
use crate::network::pass::{Heads, LogitGradients, Losses};
use crate::network::{Features, PassOptions};

/// The output, and as much of the heads as it needs.
struct OutputOnGpu {
    values: Values,
    heads: Option<Heads<GpuVector>>,
    loss_gradients: Option<LogitGradients<GpuVector>>,
}

impl Evaluation {
    /// The output for images `[n, c, h, w]` on the device, which hold `numbers` values in all.
    pub(super) fn forward_on(
        &self,
        device: &OnDevice,
        images: &Buffer,
        numbers: usize,
    ) -> Result<Values, Error> {
        let NetworkParts { network, params, arc, .. } = &self.parts;
        let InputShape { channels, height, width } = network.layout.input;
        let shape = (numbers / self.image_len(), channels, height, width);
        let stats = device.gpu.zeros(STATS);
        let mut running = device.running();
        let backend = device.backend(params, &stats, &running);
        let mut tape = Tape::new(&backend, self.statistics, self.gradients.is_some());
        let input = tape.input(GpuFeatureMap::from_images(images, device.precision(self.statistics), shape));
        let noise = self.noise();
        let training = self.training(noise.as_ref());
        let features = network.forward(&mut tape, arc, input, PassOptions::store_all(training))?;
        let batch_stats = std::mem::take(&mut tape.batch_stats);
        let OutputOnGpu { values, heads, loss_gradients } = self.output_on(&backend, features, shape.0)?;
        let tape = self.gradients.is_some().then(move || tape.into_recorded());
        if let Some(tape) = tape {
            self.store(Recording::Gpu(PassRecording { tape, heads, loss_gradients }));
        }
        if self.step.is_some() {
            batch_stats.iter().for_each(|(index, batch_stats)| running[*index].update(batch_stats));
        }
        Ok(values)
    }

    /// The output for the features of `n` images. Waits for the device.
    fn output_on(
        &self,
        backend: &OnGpu<'_>,
        features: Features<OnGpu<'_>>,
        n: usize,
    ) -> Result<OutputOnGpu, Error> {
        let network = &self.parts.network;
        let Features { main, aux, .. } = features;
        if matches!(self.output, Output::Features) {
            let values = self.features_output(fetch(&main)?);
            return Ok(OutputOnGpu { values, heads: None, loss_gradients: None });
        }
        let noise = self.noise();
        let heads = network.heads(backend, main, aux, n, self.training(noise.as_ref()));
        let Output::Loss { targets, .. } = &self.output else {
            let aux = heads.aux.as_ref().map(|(_, logits)| fetch(logits)).transpose()?;
            let values = self.logits_output(&fetch(&heads.logits)?, aux.as_deref());
            return Ok(OutputOnGpu { values, heads: Some(heads), loss_gradients: None });
        };
        let targets = upload_targets(backend.gpu, targets);
        let Losses { main, aux, gradients } = network.losses(backend, &heads, &targets);
        let stats = backend.stats.download(0, STATS)?;
        let total = stats[main] + network.config.aux_weight * aux.map_or(0.0, |place| stats[place]);
        let values = (vec![total], Shape::from(()));
        Ok(OutputOnGpu { values, heads: Some(heads), loss_gradients: Some(gradients) })
    }

    /// The gradients of all tensors, given that of the output.
    pub(super) fn backward_on(
        &self,
        device: &OnDevice,
        PassRecording { tape, heads, loss_gradients }: PassRecording<OnGpu<'static>>,
        grad: Vec<f32>,
    ) -> Result<Vec<Option<Tensor>>, Error> {
        let NetworkParts { network, params, arc, .. } = &self.parts;
        let stats = device.gpu.buffer(STATS);
        let running = device.running();
        let tables = params.names().count();
        let visited = Some(RefCell::new(vec![false; tables]));
        let backend = OnGpu { visited, ..device.backend(params, &stats, &running) };
        let noise = self.noise();
        let options = PassOptions::store_all(self.training(noise.as_ref()));
        let gpu = &device.gpu;
        let tape = tape.resume(&backend);
        let gradients = match heads {
            None => {
                let means = [upload(gpu, &grad)];
                network.propagate_means(tape, arc, &means, backend.gradients(), options)?
            }
            Some(heads) => {
                let grads = match loss_gradients {
                    Some(LogitGradients { main, aux }) => {
                        LogitGradients { main: times(main, grad[0]), aux: aux.map(|aux| times(aux, grad[0])) }
                    }
                    None => {
                        let LogitGradients { main, aux } = self.split(grad, heads.aux.is_some());
                        LogitGradients { main: upload(gpu, &main), aux: aux.map(|aux| upload(gpu, &aux)) }
                    }
                };
                network.propagate(tape, arc, &heads, grads, options)?
            }
        };
        let visited = backend.visited.map(RefCell::into_inner).unwrap_or_default();
        gpu.finish()?;
        Ok(params.gradient_tensors_on(&gradients, &visited)?)
    }
}

fn fetch(vector: &GpuVector) -> Result<Vec<f32>, gpu::Error> {
    vector.data.download(0, vector.len)
}

fn upload(gpu: &Gpu, values: &[f32]) -> GpuVector {
    GpuVector { data: gpu.upload(values), len: values.len() }
}

/// Values times a factor.
fn times(vector: GpuVector, factor: f32) -> GpuVector {
    if factor == 1.0 {
        return vector;
    }
    let factors = vector.data.gpu().upload(&vec![factor; vector.len]);
    GpuVector { data: gpu::scale_features(&vector.data, &factors, vector.len), len: vector.len }
}
