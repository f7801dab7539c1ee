//! Test-time augmentation: the prediction is averaged over several views of an image.

use candle_core::Tensor;
use enas_arc::Arch;
use enas_child::Norm;
use enas_kernels::candle::{read, write};

use crate::config::Tta;
use crate::error::Result;
use crate::network::Network;

impl Tta {
    /// Class scores `[n, classes]` of images `[n, c, h, w]` in host memory: the logits, or the logarithms of the
    /// probabilities averaged over the views.
    ///
    /// # Errors
    /// As [`Network::logits`].
    pub fn logits(self, network: &Network, arch: &Arch, images: &Tensor) -> Result<Tensor> {
        let of = |images: &Tensor| network.logits(arch, images, Norm::RunningStatistics, None);
        let scores = of(images)?;
        if self.is_none() {
            return Ok(scores);
        }
        let mirrored = images.contiguous()?.copy()?;
        let width = network.input().width;
        write(&mirrored, |images| images.chunks_exact_mut(width).for_each(<[f32]>::reverse))?;
        let other = of(&mirrored)?;
        to_probabilities(&scores)?;
        to_probabilities(&other)?;
        // A floor for the logarithm: a score of -∞ would be reported as a divergence.
        let mean = |(a, b): (&mut f32, &f32)| *a = f32::midpoint(*a, *b).max(f32::MIN_POSITIVE).ln();
        read(&other, |other| write(&scores, |scores| scores.iter_mut().zip(other).for_each(mean)))??;
        Ok(scores)
    }
}

/// Softmax of the rows of `[n, classes]`, in place; no one else may use the tensor.
pub(crate) fn to_probabilities(scores: &Tensor) -> Result<()> {
    let (_, classes) = scores.dims2()?;
    Ok(write(scores, |scores| scores.chunks_exact_mut(classes.max(1)).for_each(softmax))?)
}

/// Softmax of one row, in place. The maximum is subtracted first against overflow.
pub fn softmax(row: &mut [f32]) {
    let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    row.iter_mut().for_each(|x| *x = (*x - max).exp());
    let sum: f32 = row.iter().sum();
    row.iter_mut().for_each(|x| *x /= sum);
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use enas_rng::Seed;

    use super::*;
    use crate::config::{ConfigBuilder, TrainConfig};

    #[test]
    fn an_image_and_its_mirror_image_get_the_same_mean_of_their_probabilities() {
        let small = ["child.filters=4", "child.layers=1", "child.nodes=2"];
        let layers = small.iter().fold(ConfigBuilder::preset("quick"), |layers, a| layers.set(*a));
        let config: TrainConfig = layers.load().unwrap();
        let arc: enas_arc::Arc = "0 0 1 4 2 2 0 3  0 1 1 4 2 2 1 3".parse().unwrap();
        let input = enas_child::InputShape { channels: 2, height: 6, width: 5 };
        let child = enas_child::Child::fixed(&config.child, &arc, input, 3, Seed::new(1)).unwrap();
        let child = Network::Micro(child);
        let arc = Arch::Micro(arc);
        let mut stream = Seed::new(2).stream("pictures", &[]);
        let images: Vec<f32> = (0..4 * 60).map(|_| stream.normal()).collect();
        let mut mirrored = images.clone();
        mirrored.chunks_exact_mut(5).for_each(<[f32]>::reverse);
        let of = |tta: Tta, images: &[f32]| -> Vec<f32> {
            let images = Tensor::from_slice(images, (4, 2, 6, 5), &Device::Cpu).unwrap();
            let rows = tta.logits(&child, &arc, &images).unwrap();
            to_probabilities(&rows).unwrap();
            rows.flatten_all().unwrap().to_vec1().unwrap()
        };
        let flip = of(Tta::Flip, &images);
        let back = of(Tta::Flip, &mirrored);
        let a = of(Tta::None, &images);
        let b = of(Tta::None, &mirrored);
        assert_ne!(a, b);
        for i in 0..flip.len() {
            assert!((flip[i] - back[i]).abs() < 1e-6 && (flip[i] - (a[i] + b[i]) / 2.0).abs() < 1e-6);
        }
    }

    #[test]
    fn certainty_has_finite_scores() {
        let mut row = vec![500.0, 0.0];
        softmax(&mut row);
        assert_eq!(row, [1.0, 0.0]);
        assert!(0.0f32.max(f32::MIN_POSITIVE).ln().is_finite());
    }
}
