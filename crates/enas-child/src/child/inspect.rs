//! A training pass with all intermediate results, for tests and inspection.

use candle_core::{Device, Tensor};
use enas_arc::Arc;
use enas_kernels::Activation;
use enas_kernels::candle::Guards;

use super::Child;
use super::device::{HostMap, HostResults};
use crate::batch::Batch;
use crate::config::Config;
use crate::error::Error;
use crate::network::Training;
use crate::noise::Noise;
use crate::params::{NamedTensor, Weights};

/// All results of a training pass; see [`Child::inspect`].
#[derive(Clone, Debug)]
pub struct Inspection {
    /// Logits `[n, classes]`.
    pub logits: Tensor,
    /// Logits of the auxiliary head `[n, classes]`, if the network has one.
    pub aux_logits: Option<Tensor>,
    /// Mean cross entropy, in nats.
    pub loss: f32,
    /// Mean cross entropy of the auxiliary head, in nats; 0 without one.
    pub aux_loss: f32,
    /// `loss + aux_weight·aux_loss + l2·Σ w²`.
    pub total_loss: f32,
    /// The output of every cell, `[n, c, h, w]`.
    pub cells: Vec<NamedTensor>,
    /// The gradient of `total_loss` with respect to every trained tensor.
    pub gradients: Vec<NamedTensor>,
    /// L2 norm of all gradients together.
    pub grad_norm: f32,
}

impl Child {
    /// Computes a training pass that changes nothing and returns its intermediate results.
    ///
    /// Shapes: `images` `[n, c, h, w]` of F32, normalised; `labels` `[n]`, whole numbers. `step` of
    /// `total_steps` is the position in the run, for drop-path.
    ///
    /// # Errors
    /// As for [`train_step`](Self::train_step).
    pub fn inspect(
        &self,
        arc: &Arc,
        images: &Tensor,
        labels: &Tensor,
        noise: &dyn Noise,
        step: u64,
        total_steps: u64,
    ) -> Result<Inspection, Error> {
        let training = Training { noise, step, total_steps, with_aux: true };
        let batch = Batch::labelled(images, labels)?;
        self.check_labelled(arc, &batch)?;
        let results = match &self.device {
            Some(device) => device.inspect(self.subnetwork(arc), &batch, training)?,
            None => self.params.read(|weights| self.inspect_on_host(arc, &batch, training, weights))?,
        };
        self.fetch()?;
        let Config { l2, aux_weight, .. } = self.network.config;
        let (squares, gradients) = self
            .params
            .read(|weights| Ok((weights.squares(), weights.export_gradients(&results.gradients, l2)?)))?;
        let penalty = f64::from(l2) * squares;
        let guards = Guards::new(gradients.iter().map(|(_, gradient)| gradient));
        let squares: f64 = guards.slices()?.into_iter().flatten().map(|g| f64::from(*g).powi(2)).sum();
        drop(guards);
        let classes = self.n_classes();
        let rows = |logits: Vec<f32>| {
            let n = logits.len() / classes;
            Tensor::from_vec(logits, (n, classes), &Device::Cpu)
        };
        let cells = results.cells.iter().enumerate().map(|(i, cell)| named_cell(i, cell));
        Ok(Inspection {
            total_loss: (f64::from(results.loss + aux_weight * results.aux_loss) + penalty) as f32,
            cells: cells.collect::<Result<_, _>>()?,
            logits: rows(results.logits)?,
            aux_logits: results.aux_logits.map(rows).transpose()?,
            loss: results.loss,
            aux_loss: results.aux_loss,
            gradients,
            grad_norm: squares.sqrt() as f32,
        })
    }

    fn inspect_on_host(
        &self,
        arc: &Arc,
        batch: &Batch,
        training: Training<'_>,
        weights: Weights<'_>,
    ) -> Result<HostResults, Error> {
        let pass = self.pass_on_host(arc, batch, training, weights, true)?;
        let fetch = |value: &Activation| HostMap { shape: value.map.shape(), data: value.to_nchw() };
        let cells = pass.cells.iter().map(|cell| cell.iter().map(|value| fetch(&value.value)).collect());
        Ok(HostResults {
            cells: cells.collect(),
            aux_loss: pass.aux.as_ref().map_or(0.0, |(_, loss)| loss.mean),
            aux_logits: pass.aux.map(|(logits, _)| logits),
            logits: pass.logits,
            loss: pass.loss.mean,
            gradients: pass.gradients,
        })
    }
}

/// The output of cell `i`, whose channels lie in several maps, as one tensor `[n, c, h, w]`.
fn named_cell(i: usize, maps: &[HostMap]) -> Result<NamedTensor, Error> {
    let (n, _, h, w) = maps[0].shape;
    let channels: usize = maps.iter().map(|map| map.shape.1).sum();
    let of_image = |image: usize| {
        maps.iter().flat_map(move |map| {
            let size = map.shape.1 * h * w;
            &map.data[image * size..][..size]
        })
    };
    let data: Vec<f32> = (0..n).flat_map(of_image).copied().collect();
    Ok((format!("layer_{i}"), Tensor::from_vec(data, (n, channels, h, w), &Device::Cpu)?))
}
