//! Class scores of images, and folded batch norms.

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use enas_arc::Arc;
use enas_kernels::candle::read;
use enas_rng::Stream;

use super::Child;
use super::evaluation::Output;
use crate::backend::{Cpu, Forward, Statistics};
use crate::batch::Batch;
use crate::error::Error;
use crate::loss::{LossRule, argmax};
use crate::network::fold::fold_batch_norms;
use crate::params::MAX_WEIGHTS;

/// Which statistics batch norms use outside training steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Norm {
    /// Those of the current batch: the only meaningful ones for shared weights, which have no moving statistics.
    BatchStatistics,
    /// The moving statistics; fixed networks only.
    RunningStatistics,
}

impl Child {
    /// Logits `[n, classes]` of images `[n, c, h, w]` of F32, without tracking gradients. The images may be on the
    /// network's GPU.
    ///
    /// `dropout` switches dropout on. The authors' search measures rewards with dropout
    /// (`micro_child.py:243-244, 333, 804`).
    ///
    /// # Errors
    /// - The images or the arc do not fit the network, or the images are on another device.
    /// - A shared network is asked for moving statistics.
    pub fn logits(
        &self,
        arc: &Arc,
        images: impl Into<Batch>,
        norm: Norm,
        dropout: Option<&mut Stream>,
    ) -> Result<Tensor, Error> {
        let batch = images.into();
        let statistics = self.statistics(norm)?;
        let n = self.check_batch(arc, &batch)?;
        if let Some(device) = &self.device {
            let factors = dropout.map(|stream| self.dropout_factors(stream, n).collect());
            let logits = device.logits(self.subnetwork(arc), &batch, statistics, factors)?;
            return self.logits_tensor(logits);
        }
        let (images, _) = batch.on_host()?;
        let Some(stream) = dropout else {
            return self.evaluate_untracked(arc, images, statistics, Output::Logits);
        };
        let features = self.evaluate_untracked(arc, images, statistics, Output::Features)?.flatten_all()?;
        let mut features = features.to_vec1::<f32>()?;
        features.iter_mut().zip(self.dropout_factors(stream, n)).for_each(|(x, factor)| *x *= factor);
        self.logits_tensor(self.params.read(|weights| {
            let cpu = Cpu { weights, running: &[], loss: LossRule::default() };
            Ok(cpu.classify(&self.network.classifier, &features))
        })?)
    }

    /// The dropout factors of the features of `n` images, `[n, channels]`.
    fn dropout_factors<'s>(&self, stream: &'s mut Stream, n: usize) -> impl Iterator<Item = f32> + use<'s> {
        let keep = self.network.config.keep_prob;
        (0..n * self.network.classifier.channels).map(move |_| (keep + stream.uniform()).floor() / keep)
    }

    /// The logits as a tensor `[n, classes]`.
    fn logits_tensor(&self, logits: Vec<f32>) -> Result<Tensor, Error> {
        let n = logits.len() / self.n_classes;
        Ok(Tensor::from_vec(logits, (n, self.n_classes), &Device::Cpu)?)
    }

    /// The statistics that batch norms use, if the network has them.
    pub(super) fn statistics(&self, norm: Norm) -> Result<Statistics, Error> {
        match norm {
            Norm::BatchStatistics => Ok(Statistics::Batch),
            Norm::RunningStatistics if self.arc.is_some() => Ok(Statistics::Running),
            Norm::RunningStatistics => {
                let why = "shared weights have no moving statistics; use those of the batch";
                Err(Error::Arc(why.to_owned()))
            }
        }
    }

    /// The most likely class of each image, `[n]` of U32, from logits `[n, classes]`; the first one among equals.
    ///
    /// # Errors
    /// If `logits` is not `[n, classes]` of F32 on the CPU.
    pub fn classes(logits: &Tensor) -> Result<Tensor, Error> {
        let (n, classes) = logits.dims2()?;
        let classes: Vec<u32> = read(&logits.contiguous()?, |logits| {
            logits.chunks_exact(classes.max(1)).map(|row| argmax(row) as u32).collect()
        })?;
        Ok(Tensor::from_vec(classes, n, &Device::Cpu)?)
    }

    /// The same network for inference, with every batch norm folded into the convolution before it.
    ///
    /// # Errors
    /// If the network shares weights: its batch norms have no moving statistics.
    pub fn folded(&self) -> Result<Self, Error> {
        let Some(arc) = &self.arc else {
            return Err(Error::Arc("shared weights have no moving statistics to fold".to_owned()));
        };
        let zeros = VarBuilder::zeros(DType::F32, &Device::Cpu);
        let config = &self.network.config;
        let input = self.input();
        let classes = self.n_classes;
        let mut folded = Self::new(config, Some(arc), input, classes, zeros.into(), MAX_WEIGHTS)?;
        folded.load(&self.weights()?)?;
        fold_batch_norms(&folded.params, &folded.running, folded.network.conv_layers())?;
        Ok(folded)
    }
}
