//! Temperature scaling (Guo et al., ICML 2017): logits are divided by one number, fitted so that confidence matches
//! accuracy.

use candle_core::Tensor;
use enas_kernels::candle::read;

use crate::error::Result;

/// Lower and upper bound of the search.
///
/// If every prediction is right, the fit reaches the lower bound, and overconfidence cannot be estimated. At the
/// upper bound the probabilities are nearly uniform: they say next to nothing about the labels.
pub const TEMPERATURES: (f64, f64) = (0.05, 20.0);
/// Steps of the golden-section search. Each shortens the interval to 62 %; thirty leave less than a millionth.
const SECTIONS: usize = 30;
/// A temperature within this relative distance of a bound counts as lying at it.
const NEAR: f64 = 0.01;

/// Fits the temperature that minimises the cross entropy of the labels.
///
/// Shapes: `probabilities` is `[n, classes]` of F32, each row sums to 1; `labels` is `[n]` of U32.
///
/// The loss is convex in the inverse temperature, so it has one minimum. A golden-section search over the logarithm
/// of the temperature finds it. If every prediction is right the loss falls towards 0, and the result is the lower
/// bound.
///
/// # Errors
/// If the tensors have other shapes or types or are not on the CPU.
pub fn fit_temperature(probabilities: &Tensor, labels: &Tensor) -> Result<f64> {
    let ((_, classes), labels) = (probabilities.dims2()?, labels.to_vec1::<u32>()?);
    Ok(read(probabilities, |rows| fitted(rows, &labels, classes))?)
}

fn fitted(rows: &[f32], labels: &[u32], n_classes: usize) -> f64 {
    let loss = |log_t: f64| {
        let t = log_t.exp();
        let one =
            |(row, &label): (&[f32], &u32)| log_normalizer(row, t) - log_probability(row[label as usize]) / t;
        rows.chunks_exact(n_classes).zip(labels).map(one).sum::<f64>()
    };
    // With the golden ratio one of the two inner points is reused, so a step evaluates the loss once.
    let ratio = (5f64.sqrt() - 1.0) / 2.0;
    let mut low = TEMPERATURES.0.ln();
    let mut high = TEMPERATURES.1.ln();
    let mut a = high - ratio * (high - low);
    let mut b = low + ratio * (high - low);
    let mut at_a = loss(a);
    let mut at_b = loss(b);
    for _ in 0..SECTIONS {
        if at_a <= at_b {
            (high, b, at_b) = (b, a, at_a);
            a = high - ratio * (high - low);
            at_a = loss(a);
        } else {
            (low, a, at_a) = (a, b, at_b);
            b = low + ratio * (high - low);
            at_b = loss(b);
        }
    }
    ((low + high) / 2.0).exp()
}

/// The fitted temperature, for a model file; `None` if the split has too few mistakes to fit it.
///
/// # Errors
/// As [`fit_temperature`].
pub fn kept(probabilities: &Tensor, labels: &Tensor) -> Result<Option<f64>> {
    let fitted = fit_temperature(probabilities, labels)?;
    Ok((labels.elem_count() > 0 && !is_at_lower_bound(fitted)).then_some(fitted))
}

/// Whether a fitted temperature lies at the lower bound: there were too few mistakes to fit it.
pub fn is_at_lower_bound(temperature: f64) -> bool {
    temperature < TEMPERATURES.0 * (1.0 + NEAR)
}

/// Whether a fitted temperature lies at the upper bound: the probabilities say next to nothing about the labels.
pub fn is_at_upper_bound(temperature: f64) -> bool {
    temperature > TEMPERATURES.1 * (1.0 - NEAR)
}

/// The logarithm of a probability. A probability that was rounded to 0 counts as the smallest normal number.
pub fn log_probability(p: f32) -> f64 {
    f64::from(p.max(f32::MIN_POSITIVE)).ln()
}

/// ln Σ p^(1/t) of a row of probabilities, computed as log-sum-exp with the maximum factored out: the logarithm of the
/// normalising constant at temperature `t`.
pub fn log_normalizer(row: &[f32], t: f64) -> f64 {
    let most = log_probability(row.iter().copied().fold(0.0, f32::max)) / t;
    most + row.iter().map(|&p| (log_probability(p) / t - most).exp()).sum::<f64>().ln()
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    /// Ten images of two classes, `right` of them of class 0; the network always predicts `p` for class 0.
    fn kept_of(p: f32, right: usize) -> Option<f64> {
        let labels: Vec<u32> = (0..10).map(|i| u32::from(i >= right)).collect();
        let rows = Tensor::from_vec([p, 1.0 - p].repeat(10), (10, 2), &Device::Cpu).unwrap();
        kept(&rows, &Tensor::new(labels, &Device::Cpu).unwrap()).unwrap()
    }

    #[test]
    fn a_model_keeps_what_makes_confidence_equal_accuracy() {
        // The logits differ by ln 99; after division they must differ by ln 4.
        let t = kept_of(0.99, 8).unwrap();
        assert!((t - 99f64.ln() / 4f64.ln()).abs() < 1e-4, "{t}");
    }

    #[test]
    fn without_a_mistake_nothing_is_kept_and_with_nothing_known_the_upper_bound() {
        assert_eq!(kept_of(0.9, 10), None);
        assert!(is_at_upper_bound(kept_of(0.99, 5).unwrap()));
        let none = |dtype| Tensor::zeros(0, dtype, &Device::Cpu).unwrap();
        let rows = none(candle_core::DType::F32).reshape((0, 2)).unwrap();
        assert_eq!(kept(&rows, &none(candle_core::DType::U32)).unwrap(), None);
    }
}
