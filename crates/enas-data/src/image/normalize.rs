//! Normalisation of pixels from 0 to 255 to values around zero, and its statistics.

use serde::{Deserialize, Serialize};

/// Mean and standard deviation per channel: `x = (pixel - mean) / std`, for pixels from 0 to 255.
///
/// A model file stores the values of the training split and applies them to new images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Normalization {
    /// Mean per channel, in pixel values.
    pub mean: Vec<f32>,
    /// Standard deviation per channel, in pixel values, above zero.
    pub std: Vec<f32>,
}

impl Normalization {
    /// Normalises one image `[c, h, w]` into `out` of the same shape.
    ///
    /// # Panics
    /// If the lengths differ or are not a multiple of the number of channels.
    pub fn apply(&self, pixels: &[u8], out: &mut [f32]) {
        let channels = self.mean.len();
        assert!(
            pixels.len() == out.len() && pixels.len().is_multiple_of(channels),
            "{} pixels into {} values of {channels} channels",
            pixels.len(),
            out.len()
        );
        let plane = (pixels.len() / channels).max(1);
        let planes = pixels.chunks_exact(plane).zip(out.chunks_exact_mut(plane));
        for ((source, target), table) in planes.zip(self.tables()) {
            target.iter_mut().zip(source).for_each(|(t, &s)| *t = table[usize::from(s)]);
        }
    }

    /// The normalised value of each of the 256 pixel values, one table per channel, for devices.
    pub fn tables(&self) -> impl Iterator<Item = [f32; 256]> {
        // A division, not a multiplication by the inverse, so that every device gives the same bits.
        let table = |(mean, std): (&f32, &f32)| std::array::from_fn(|v| (v as f32 - mean) / std);
        self.mean.iter().zip(&self.std).map(table)
    }

    /// The pixels, 0 to 255, that normalise to `values` `[c, h, w]`, rounded and clamped.
    pub fn undo(&self, values: &[f32]) -> Vec<u8> {
        let plane = (values.len() / self.mean.len()).max(1);
        let pixel = |(i, &x): (usize, &f32)| (x * self.std[i / plane] + self.mean[i / plane]).round() as u8;
        values.iter().enumerate().map(pixel).collect()
    }

    /// Mean and population standard deviation of every channel, over images with `plane` pixels per channel.
    pub(crate) fn per_channel(images: &[Sums], plane: usize) -> Self {
        let channels = images.first().map_or(0, |sums| sums.0.len());
        let moments = |channel: usize| {
            let add = |(s, q): (u64, u64), sums: &Sums| (s + sums.0[channel].0, q + sums.0[channel].1);
            let (sum, squares) = images.iter().fold((0, 0), add);
            mean_and_std(sum, squares, (images.len() * plane) as u64)
        };
        let (mean, std) = (0..channels).map(moments).map(|(m, s)| (m as f32, non_zero(s as f32))).unzip();
        Self { mean, std }
    }

    /// The two numbers of the TensorFlow reference, equal for all channels: the mean of the images' means, and the
    /// mean of the images' population deviations.
    pub(crate) fn reference(images: &[Sums], plane: usize) -> Self {
        let channels = images.first().map_or(0, |sums| sums.0.len());
        let n = images.len() as f64;
        let mut means = 0.0;
        let mut stds = 0.0;
        for Sums(one) in images {
            let (sum, squares) = one.iter().fold((0, 0), |(s, q), channel| (s + channel.0, q + channel.1));
            let (mean, std) = mean_and_std(sum, squares, (channels * plane) as u64);
            means += mean;
            stds += std;
        }
        Self { mean: vec![(means / n) as f32; channels], std: vec![non_zero((stds / n) as f32); channels] }
    }
}

/// Exact sums of an image's values and of their squares, per channel.
#[derive(Clone, Debug)]
pub(crate) struct Sums(Vec<(u64, u64)>);

impl Sums {
    /// The sums of an image `[channels, h, w]`.
    pub(crate) fn of(pixels: &[u8], channels: usize) -> Self {
        Self(pixels.chunks_exact((pixels.len() / channels).max(1)).map(sums).collect())
    }
}

/// Exact sums of the values and of their squares.
fn sums(pixels: &[u8]) -> (u64, u64) {
    pixels.iter().fold((0, 0), |(s, q), &p| (s + u64::from(p), q + u64::from(p) * u64::from(p)))
}

/// Mean and population deviation. The difference of large numbers is an integer subtraction, so nothing cancels.
fn mean_and_std(sum: u64, squares: u64, n: u64) -> (f64, f64) {
    let s = u128::from(sum);
    let q = u128::from(squares);
    let n = u128::from(n);
    let n_squared_variance = (n * q - s * s) as f64;
    (s as f64 / n as f64, n_squared_variance.sqrt() / n as f64)
}

/// Replaces a zero deviation by 1, so that a constant channel is not divided by zero.
fn non_zero(std: f32) -> f32 {
    if std > 0.0 { std } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sums_of(pixels: &[u8], channels: usize, plane: usize) -> Vec<Sums> {
        pixels.chunks_exact(channels * plane).map(|image| Sums::of(image, channels)).collect()
    }

    #[test]
    fn per_channel_moments_are_those_of_all_pixels_of_the_channel() {
        // Two images of two channels and two pixels. Channel 0: 0, 2, 4, 6; channel 1: always 9.
        let n = Normalization::per_channel(&sums_of(&[0, 2, 9, 9, 4, 6, 9, 9], 2, 2), 2);
        assert_eq!(n.mean, [3.0, 9.0]);
        assert_eq!(n.std, [5f32.sqrt(), 1.0]);
    }

    #[test]
    fn reference_moments_average_each_images_own() {
        // Means 1 and 15, deviations 1 and 5; the deviation over all pixels would be 7.87.
        let n = Normalization::reference(&sums_of(&[0, 2, 10, 20], 1, 2), 2);
        assert_eq!((n.mean[0], n.std[0]), (8.0, 3.0));
        // One scalar for both channels: mean 8, deviation of 0, 2, 10, 20 is 7.874.
        let n = Normalization::reference(&sums_of(&[0, 2, 10, 20], 2, 2), 2);
        assert_eq!(n.mean, [8.0, 8.0]);
        assert!((n.std[0] - 7.874_008).abs() < 1e-5 && n.std[0] == n.std[1]);
    }

    #[test]
    fn applying_and_undoing_gives_the_pixels_back() {
        let n = Normalization { mean: vec![33.5, 120.0], std: vec![72.0, 50.0] };
        let pixels: Vec<u8> = (0..=255).collect();
        let mut values = vec![0.0; 256];
        n.apply(&pixels, &mut values);
        assert_eq!(values[0], -33.5 / 72.0);
        assert_eq!(values[255], 135.0 / 50.0);
        assert_eq!(n.undo(&values), pixels);
    }
}
