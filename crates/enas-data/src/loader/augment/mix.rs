//! Mixing of images in pairs: mixup (Zhang et al., ICLR 2018) and CutMix (Yun et al., ICCV 2019).

use enas_rng::Stream;

use super::config::Config;
use super::shape::Shape;

/// Second labels of a batch.
#[derive(Clone, Debug, PartialEq)]
pub struct Mix {
    /// Label of the image that was mixed in, `[n]`.
    pub others: Vec<u32>,
    /// Weight of the image's own label, 0 to 1, `[n]`; the other label has the rest.
    pub shares: Vec<f32>,
}

impl Config {
    /// Whether batches are mixed.
    pub(crate) fn mixes(&self) -> bool {
        self.mixup > 0.0 || self.cutmix > 0.0
    }

    /// Mixes every image of a batch `[n, c, h, w]` with a random partner: blends them (mixup) or copies a rectangle
    /// (CutMix). All pairs of a batch share one draw. If both are enabled, each is used in half of the batches.
    ///
    /// The share follows `Beta(α, α)`, with `α` = `mixup` or `cutmix`.
    pub(crate) fn mix(&self, shape: Shape, images: &mut [f32], labels: &[u32], stream: &mut Stream) -> Mix {
        let n = labels.len();
        let mut partners: Vec<usize> = (0..n).collect();
        stream.shuffle(&mut partners);
        // Drawn even if unused, so that one setting alone does not change the draws of the other.
        let cuts = stream.chance(0.5);
        let sources = images.to_vec();
        let source = |i: usize| &sources[partners[i] * shape.len()..][..shape.len()];
        let targets = images.chunks_exact_mut(shape.len()).enumerate();
        let share = if self.mixup == 0.0 || (cuts && self.cutmix > 0.0) {
            let part = Rectangle::draw(shape, 1.0 - beta(self.cutmix, stream), stream);
            targets.for_each(|(i, image)| part.copy(shape, source(i), image));
            1.0 - (part.height * part.width) as f32 / shape.plane() as f32
        } else {
            let share = beta(self.mixup, stream);
            let blend = |(x, other): (&mut f32, &f32)| *x = share * *x + (1.0 - share) * other;
            targets.for_each(|(i, image)| image.iter_mut().zip(source(i)).for_each(blend));
            share
        };
        Mix { others: partners.iter().map(|&i| labels[i]).collect(), shares: vec![share; n] }
    }
}

/// A rectangle of an image.
struct Rectangle {
    top: usize,
    left: usize,
    height: usize,
    width: usize,
}

impl Rectangle {
    /// A random rectangle with the aspect ratio of the image, around a uniform centre, clipped at the edges.
    fn draw(shape: Shape, area: f32, stream: &mut Stream) -> Self {
        let mut side = |n: usize| {
            let length = (area.sqrt() * n as f32).round() as usize;
            let middle = stream.below(n);
            let start = middle.saturating_sub(length / 2);
            (start, (middle + length.div_ceil(2)).min(n) - start)
        };
        let ((top, height), (left, width)) = (side(shape.height), side(shape.width));
        Self { top, left, height, width }
    }

    fn copy(&self, shape: Shape, from: &[f32], to: &mut [f32]) {
        for row in 0..shape.channels * self.height {
            let channel = row / self.height;
            let y = self.top + row % self.height;
            let start = channel * shape.plane() + y * shape.width + self.left;
            to[start..start + self.width].copy_from_slice(&from[start..start + self.width]);
        }
    }
}

/// A sample of `Beta(alpha, alpha)`, as a ratio of two gamma samples.
fn beta(alpha: f32, stream: &mut Stream) -> f32 {
    let a = gamma(f64::from(alpha), stream);
    let b = gamma(f64::from(alpha), stream);
    // For tiny `alpha` both can underflow to 0. The limit of the distribution then is one of the ends.
    if a + b > 0.0 { (a / (a + b)) as f32 } else { f32::from(u8::from(stream.chance(0.5))) }
}

/// A sample of `Gamma(alpha, 1)` (Marsaglia and Tsang, 2000).
fn gamma(alpha: f64, stream: &mut Stream) -> f64 {
    if alpha < 1.0 {
        // Gamma(alpha) = Gamma(alpha + 1)·U^(1/alpha) for alpha below 1.
        let u = f64::from(1.0 - stream.uniform());
        return gamma(alpha + 1.0, stream) * u.powf(1.0 / alpha);
    }
    let d = alpha - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let x = f64::from(stream.normal());
        let v = (1.0 + c * x).powi(3);
        let u = f64::from(1.0 - stream.uniform());
        if v > 0.0 && u.ln() < 0.5 * x * x + d - d * v + d * v.ln() {
            return d * v;
        }
    }
}

#[cfg(test)]
mod tests {
    use enas_rng::Seed;

    use super::*;

    const SHAPE: Shape = Shape { channels: 2, height: 6, width: 4 };

    fn mixed(mixup: f32, cutmix: f32, i: u64) -> (Vec<f32>, Mix) {
        let config = Config { mixup, cutmix, ..Config::default() };
        // The value of every pixel is the label of its image.
        let labels: Vec<u32> = (0..5).collect();
        let mut images: Vec<f32> = labels.iter().flat_map(|l| vec![*l as f32; SHAPE.len()]).collect();
        let mix = config.mix(SHAPE, &mut images, &labels, &mut Seed::new(2).stream("mix", &[i]));
        (images, mix)
    }

    #[test]
    fn blended_pixels_have_the_shares_of_their_labels() {
        for i in 0..20 {
            let (images, mix) = mixed(0.4, 0.0, i);
            for (label, image) in images.chunks_exact(SHAPE.len()).enumerate() {
                let want =
                    mix.shares[label] * label as f32 + (1.0 - mix.shares[label]) * mix.others[label] as f32;
                assert!(image.iter().all(|x| (x - want).abs() < 1e-5), "{image:?}, not {want}");
            }
            let mut others = mix.others.clone();
            others.sort_unstable();
            assert_eq!(others, [0, 1, 2, 3, 4], "every image is mixed in once");
        }
    }

    #[test]
    fn a_rectangle_has_the_share_of_the_other_label() {
        let mut partial = 0;
        for i in 0..50 {
            let (images, mix) = mixed(0.0, 1.0, i);
            for (label, image) in images.chunks_exact(SHAPE.len()).enumerate() {
                let others = mix.others[label] as f32;
                let own = image.iter().filter(|x| **x == label as f32).count() as f32 / SHAPE.len() as f32;
                assert!(image.iter().all(|x| *x == label as f32 || *x == others));
                let share = if others == label as f32 { 1.0 } else { mix.shares[label] };
                assert!((own - share).abs() < 1e-6, "{own}, not {share}");
                partial += usize::from(own > 0.0 && own < 1.0);
            }
        }
        assert!(partial > 100, "{partial}");
    }

    #[test]
    fn both_take_turns_by_chance() {
        let blended = |i| mixed(1.0, 1.0, i).0.iter().any(|x| x.fract() != 0.0);
        let n = (0..200).filter(|i| blended(*i)).count();
        assert!((70..130).contains(&n), "{n}");
    }

    #[test]
    fn shares_have_the_moments_of_a_beta_distribution() {
        for alpha in [0.2f32, 1.0, 4.0] {
            let mut stream = Seed::new(5).stream("beta", &[]);
            let all: Vec<f64> = (0..20_000).map(|_| f64::from(beta(alpha, &mut stream))).collect();
            let mean = all.iter().sum::<f64>() / all.len() as f64;
            let variance = all.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / all.len() as f64;
            let want = 1.0 / (4.0 * (2.0 * f64::from(alpha) + 1.0));
            assert!(
                (mean - 0.5).abs() < 0.01 && (variance / want - 1.0).abs() < 0.04,
                "{alpha}: {mean}, {variance}"
            );
        }
    }
}
