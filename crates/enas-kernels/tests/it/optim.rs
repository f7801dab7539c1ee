//! Optimiser arithmetic against its formulas in double precision.

use enas_kernels::Nesterov;
use enas_kernels::candle::TfAdamConfig;

use crate::reference::doubles;
use crate::support::*;

/// What one update in single precision may lose.
const ARITHMETIC: f64 = 2e-6;

#[test]
fn nesterov_follows_its_formula() {
    // Below, at and above the length that is added up in single precision at once.
    for len in [1, 7, 16, 100, 1 << 14, (1 << 14) + 5, 40_000] {
        for with_gradient in [true, false] {
            nesterov_case(len, with_gradient);
        }
    }
}

fn nesterov_case(len: usize, with_gradient: bool) {
    let rng = &mut stream("nesterov", (len, 1, 1, 1));
    let rule = Nesterov { lr: 0.05, momentum: 0.9, l2: 1e-2, scale: 0.7 };
    let mut weights = uniform(rng, len);
    let mut momentum = uniform(rng, len);
    for step in 0..3 {
        let gradient = with_gradient.then(|| uniform(rng, len));
        let before = doubles(&weights);
        let coasting = doubles(&momentum);
        let norm = rule.norm_squared(&weights, gradient.as_deref());
        let squares = rule.step(&mut weights, &mut momentum, gradient.as_deref());

        let g = gradient.map_or(vec![0.0; len], |g| doubles(&g));
        let total: Vec<f64> = before.iter().zip(&g).map(|(w, g)| g + 2.0 * f64::from(rule.l2) * w).collect();
        let lr = f64::from(rule.lr);
        let mu = f64::from(rule.momentum);
        let scale = f64::from(rule.scale);
        let a: Vec<f64> = coasting.iter().zip(&total).map(|(a, t)| mu * a + scale * t).collect();
        let w: Vec<f64> = (0..len).map(|i| before[i] - lr * (scale * total[i] + mu * a[i])).collect();
        let terms: Vec<f64> = (0..len).map(|i| before[i].abs() + coasting[i].abs() + g[i].abs()).collect();
        assert_within(&format!("momentum {step}"), &momentum, &a, &terms, ARITHMETIC);
        assert_within(&format!("weights {step}"), &weights, &w, &terms, ARITHMETIC);
        let expected: f64 = total.iter().map(|t| t * t).sum();
        assert!((squares - expected).abs() <= ARITHMETIC * expected, "{len}: {squares} for {expected}");
        assert!((norm - expected).abs() <= ARITHMETIC * expected, "{len}: {norm} for {expected}");
    }
}

#[test]
fn adam_follows_tensorflows_formula() {
    let rng = &mut stream("adam", (1, 1, 1, 1));
    let rule = TfAdamConfig { lr: 0.0035, beta2: 0.999, epsilon: 1e-3 };
    let len = 1000;
    let mut weights = uniform(rng, len);
    let mut v = vec![0.0; len];
    for t in 1..=5u64 {
        let gradient = uniform(rng, len);
        let before = doubles(&weights);
        let moments = doubles(&v);
        rule.step(t, &mut weights, &mut v, &gradient);

        let g = doubles(&gradient);
        let beta = rule.beta2;
        let epsilon = f64::from(rule.epsilon);
        let lr = rule.lr * (1.0 - beta.powi(t as i32)).sqrt();
        let second: Vec<f64> = moments.iter().zip(&g).map(|(v, g)| beta * v + (1.0 - beta) * g * g).collect();
        let w: Vec<f64> = (0..len).map(|i| before[i] - lr * g[i] / (second[i].sqrt() + epsilon)).collect();
        assert_within(&format!("second moment {t}"), &v, &second, &second, ARITHMETIC);
        assert_within(&format!("weights {t}"), &weights, &w, &vec![1.0; len], ARITHMETIC);
    }
}
