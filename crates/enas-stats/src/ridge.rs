//! Ridge regression whose penalty and value are judged by leave-one-out cross-validation.

use crate::estimate::{mean, variance};

/// Penalties that are tried, in units of standardised features.
const PENALTIES: [f64; 6] = [3.0, 10.0, 30.0, 100.0, 300.0, 1000.0];

/// A linear prediction of a value from features, fitted with an L2 penalty (ridge regression).
#[derive(Clone, Debug, PartialEq)]
pub struct Ridge {
    means: Vec<f64>,
    /// Reciprocal standard deviations; 0 for a feature that never varies.
    scales: Vec<f64>,
    weights: Vec<f64>,
    intercept: f64,
    explained: f64,
}

impl Ridge {
    /// Fits `targets` to `rows` of features, one row per target. Of several penalties it takes the one with the
    /// smallest squared leave-one-out error.
    ///
    /// `None` for fewer than four rows, and if the prediction of a left-out target is not better than the mean of the
    /// others.
    ///
    /// # Panics
    /// If the rows differ in length or their number is not that of the targets.
    pub fn fit(rows: &[Vec<f64>], targets: &[f64]) -> Option<Self> {
        assert_eq!(rows.len(), targets.len(), "one row per target");
        if rows.len() < 4 {
            return None;
        }
        let n_features = rows[0].len();
        let column = |j: usize| rows.iter().map(|row| row[j]).collect::<Vec<f64>>();
        let means: Vec<f64> = (0..n_features).map(|j| mean(&column(j))).collect();
        let scales: Vec<f64> = (0..n_features)
            .map(|j| variance(&column(j)).sqrt())
            .map(|sd| if sd > 0.0 { 1.0 / sd } else { 0.0 })
            .collect();
        let rows: Vec<Vec<f64>> = rows.iter().map(|row| standardize(row, &means, &scales)).collect();
        let intercept = mean(targets);
        let targets: Vec<f64> = targets.iter().map(|target| target - intercept).collect();
        let fits = PENALTIES.map(|penalty| solve(&rows, &targets, penalty));
        let (weights, error) = fits.into_iter().min_by(|(_, a), (_, b)| a.total_cmp(b))?;
        let n = rows.len() as f64;
        let baseline = targets.iter().map(|target| (target * n / (n - 1.0)).powi(2)).sum::<f64>();
        let explained = 1.0 - error / baseline;
        (explained > 0.0).then_some(Self { means, scales, weights, intercept, explained })
    }

    /// The predicted value.
    pub fn predict(&self, row: &[f64]) -> f64 {
        self.intercept + dot(&standardize(row, &self.means, &self.scales), &self.weights)
    }

    /// The share of the variance that predictions of left-out targets explain, above 0 and at most 1.
    pub fn explained(&self) -> f64 {
        self.explained
    }
}

/// Weights for one penalty, and the sum of squared leave-one-out errors.
///
/// The error of the left-out row i is `residual_i / (1 - h_i)`. Its leverage `h_i` is the diagonal of the hat matrix,
/// with `1/n` for the intercept (Hastie, Tibshirani and Friedman, *The Elements of Statistical Learning*, section
/// 7.10).
fn solve(rows: &[Vec<f64>], targets: &[f64], penalty: f64) -> (Vec<f64>, f64) {
    let n_features = rows[0].len();
    let mut gram = vec![vec![0.0; n_features]; n_features];
    let mut moments = vec![0.0; n_features];
    for (row, target) in rows.iter().zip(targets) {
        for (j, x) in row.iter().enumerate() {
            moments[j] += x * target;
            gram[j].iter_mut().zip(row).for_each(|(sum, y)| *sum += x * y);
        }
    }
    gram.iter_mut().enumerate().for_each(|(j, row)| row[j] += penalty);
    let factor = cholesky(gram);
    let weights = back_substitute(&factor, &forward_substitute(&factor, &moments));
    let leave_one_out = |(row, target): (&Vec<f64>, &f64)| {
        let half = forward_substitute(&factor, row);
        let leverage = dot(&half, &half) + 1.0 / rows.len() as f64;
        ((target - dot(row, &weights)) / (1.0 - leverage).max(1e-9)).powi(2)
    };
    let error = rows.iter().zip(targets).map(leave_one_out).sum();
    (weights, error)
}

/// The lower triangular `L` with `L Lᵀ = matrix`, a symmetric positive definite one.
fn cholesky(mut matrix: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
    for i in 0..matrix.len() {
        for j in 0..=i {
            let sum = matrix[i][j] - dot(&matrix[i][..j], &matrix[j][..j]);
            matrix[i][j] = if i == j { sum.sqrt() } else { sum / matrix[j][j] };
        }
    }
    matrix
}

/// Solves `L x = right`.
fn forward_substitute(factor: &[Vec<f64>], right: &[f64]) -> Vec<f64> {
    let mut x: Vec<f64> = Vec::with_capacity(right.len());
    for (row, right) in factor.iter().zip(right) {
        x.push((right - dot(&row[..x.len()], &x)) / row[x.len()]);
    }
    x
}

/// Solves `Lᵀ x = right`.
fn back_substitute(factor: &[Vec<f64>], right: &[f64]) -> Vec<f64> {
    let mut x = right.to_vec();
    for i in (0..x.len()).rev() {
        x[i] /= factor[i][i];
        for j in 0..i {
            x[j] -= factor[i][j] * x[i];
        }
    }
    x
}

fn standardize(row: &[f64], means: &[f64], scales: &[f64]) -> Vec<f64> {
    assert_eq!(row.len(), means.len(), "all rows have the same features");
    row.iter().zip(means).zip(scales).map(|((x, mean), scale)| (x - mean) * scale).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use enas_rng::Seed;

    /// Rows of `n_features` uniform numbers.
    fn rows(n: usize, n_features: usize) -> Vec<Vec<f64>> {
        let mut stream = Seed::new(3).stream("rows", &[]);
        (0..n).map(|_| (0..n_features).map(|_| f64::from(stream.uniform())).collect()).collect()
    }

    #[test]
    fn a_linear_rule_is_found() {
        let rows = rows(60, 5);
        let target = |row: &[f64]| 2.0 + 3.0 * row[0] - row[4];
        let targets: Vec<f64> = rows.iter().map(|row| target(row)).collect();
        let ridge = Ridge::fit(&rows, &targets).unwrap();
        assert!(ridge.explained() > 0.95, "{}", ridge.explained());
        assert!((ridge.predict(&[0.5; 5]) - target(&[0.5; 5])).abs() < 0.1);
    }

    #[test]
    fn the_leave_one_out_error_is_that_of_fits_without_the_row() {
        let rows: Vec<Vec<f64>> = rows(12, 3);
        let centred = |rows: &[Vec<f64>]| {
            let means: Vec<f64> =
                (0..3).map(|j| mean(&rows.iter().map(|row| row[j]).collect::<Vec<_>>())).collect();
            means
        };
        let targets: Vec<f64> = rows.iter().map(|row| row[0] * row[1] + row[2]).collect();
        // By hand: without row i, centred anew, with a penalty so small that it hardly matters.
        let by_hand: f64 = (0..rows.len())
            .map(|i| {
                let others: Vec<Vec<f64>> = (0..12).filter(|j| *j != i).map(|j| rows[j].clone()).collect();
                let of_others: Vec<f64> = (0..12).filter(|j| *j != i).map(|j| targets[j]).collect();
                let means = centred(&others);
                let centre = mean(&of_others);
                let ones = [1.0; 3];
                let fitted: Vec<Vec<f64>> =
                    others.iter().map(|row| standardize(row, &means, &ones)).collect();
                let fitted_targets: Vec<f64> = of_others.iter().map(|target| target - centre).collect();
                let (weights, _) = solve(&fitted, &fitted_targets, 1e-9);
                (targets[i] - centre - dot(&standardize(&rows[i], &means, &ones), &weights)).powi(2)
            })
            .sum();
        let means = centred(&rows);
        let centre = mean(&targets);
        let all: Vec<Vec<f64>> = rows.iter().map(|row| standardize(row, &means, &[1.0; 3])).collect();
        let all_targets: Vec<f64> = targets.iter().map(|target| target - centre).collect();
        let (_, error) = solve(&all, &all_targets, 1e-9);
        assert!((error / by_hand - 1.0).abs() < 1e-6, "{error} {by_hand}");
    }

    #[test]
    fn noise_is_not_predicted() {
        let mut stream = Seed::new(4).stream("targets", &[]);
        let fitted = (0..20).filter(|_| {
            let targets: Vec<f64> = (0..30).map(|_| f64::from(stream.uniform())).collect();
            Ridge::fit(&rows(30, 10), &targets).is_some_and(|ridge| ridge.explained() > 0.1)
        });
        assert!(fitted.count() <= 2);
        assert_eq!(Ridge::fit(&rows(3, 1), &[1.0, 2.0, 3.0]), None);
        assert_eq!(Ridge::fit(&rows(9, 2), &[1.0; 9]), None, "nothing varies");
    }
}
