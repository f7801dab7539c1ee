//! Nesterov momentum on variables against the rule on slices.

use candle_core::backprop::GradStore;
use candle_core::{Device, Tensor, Var};
use candle_nn::Optimizer;
use enas_kernels::Nesterov;
use enas_kernels::candle::{NesterovConfig, NesterovSgd};
use enas_testing::tensors::flat;

/// Numbers that repeat late, of size one.
fn numbers(len: usize, salt: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * 7919 + salt * 104_729) % 1013) as f32 / 506.0 - 1.0).collect()
}

fn vars() -> Vec<(String, Var, usize)> {
    let var = |salt, shape: (usize, usize), rows| {
        let var = Var::from_vec(numbers(shape.0 * shape.1, salt), shape, &Device::Cpu).unwrap();
        (format!("v{salt}"), var, rows)
    };
    // One of them longer than what is added up in single precision at once.
    vec![var(1, (4, 5), 4), var(2, (3, 7000), 3), var(3, (1, 1), 1), var(4, (20, 1000), 1)]
}

/// What three steps of the rule itself make of them, row by row.
fn expected(config: NesterovConfig, visited: impl Fn(usize, usize) -> bool) -> (Vec<Vec<f32>>, Vec<f32>) {
    let vars = vars();
    let mut weights: Vec<Vec<f32>> = vars.iter().map(|(_, var, _)| flat(var)).collect();
    let mut momentum: Vec<Vec<f32>> = weights.iter().map(|w| vec![0.0; w.len()]).collect();
    let mut norms = Vec::new();
    for step in 0..3 {
        let mut rule =
            Nesterov { lr: config.lr as f32, momentum: config.momentum, l2: config.l2, scale: 1.0 };
        let gradient = |i: usize, len: usize| numbers(len, 10 * step + i);
        let mut pass = |rule: &Nesterov, writes: bool| {
            let mut squares = 0.0;
            for (i, (w, m)) in weights.iter_mut().zip(&mut momentum).enumerate() {
                let row = w.len() / vars[i].2;
                let all = gradient(i, w.len());
                for r in 0..vars[i].2 {
                    let at = r * row..(r + 1) * row;
                    let g = visited(i, r).then(|| &all[at.clone()]);
                    squares += if writes {
                        rule.step(&mut w[at.clone()], &mut m[at], g)
                    } else {
                        rule.norm_squared(&w[at], g)
                    };
                }
            }
            squares.sqrt() as f32
        };
        if config.clip_norm > 0.0 {
            rule.scale = config.clip_norm / pass(&rule, false).max(config.clip_norm);
        }
        norms.push(pass(&rule, true));
    }
    (weights, norms)
}

const CONFIGS: [NesterovConfig; 2] = [
    NesterovConfig { lr: 0.05, momentum: 0.9, l2: 1e-3, clip_norm: 0.0 },
    NesterovConfig { lr: 0.05, momentum: 0.9, l2: 1e-3, clip_norm: 2.0 },
];

#[test]
fn rows_are_updated_as_the_rule_updates_slices() {
    let visited = |i: usize, r: usize| (i + r) % 3 != 1;
    for config in CONFIGS {
        let (weights, norms) = expected(config, visited);
        let vars = vars();
        let mut optimizer = NesterovSgd::named(vars.clone(), config).unwrap();
        for (step, norm) in norms.iter().enumerate() {
            let gradients: Vec<Vec<f32>> = vars
                .iter()
                .enumerate()
                .map(|(i, (_, var, _))| numbers(var.elem_count(), 10 * step + i))
                .collect();
            let row = |i: usize, r: usize| {
                let row = gradients[i].len() / vars[i].2;
                visited(i, r).then(|| &gradients[i][r * row..(r + 1) * row])
            };
            assert_eq!(optimizer.step_rows(row).unwrap(), *norm);
            assert_eq!(optimizer.gradient_norm(), *norm);
        }
        for ((_, var, _), weights) in vars.iter().zip(&weights) {
            assert_eq!(&flat(var), weights);
        }
    }
}

#[test]
fn candles_gradients_give_the_same_bits() {
    for config in CONFIGS {
        let (weights, norms) = expected(config, |i, _| i != 1);
        let vars = vars();
        let mut optimizer = NesterovSgd::named(vars.clone(), config).unwrap();
        for (step, norm) in norms.iter().enumerate() {
            let mut grads = GradStore::default();
            for (i, (_, var, _)) in vars.iter().enumerate().filter(|(i, _)| *i != 1) {
                let gradient = numbers(var.elem_count(), 10 * step + i);
                grads.insert(var, Tensor::from_vec(gradient, var.shape(), &Device::Cpu).unwrap());
            }
            optimizer.step(&grads).unwrap();
            assert_eq!(optimizer.gradient_norm(), *norm);
        }
        for ((_, var, _), weights) in vars.iter().zip(&weights) {
            assert_eq!(&flat(var), weights);
        }
    }
}

#[test]
fn momentum_is_exported_and_taken_over_by_name() {
    let vars = vars();
    let mut optimizer = NesterovSgd::named(vars.clone(), CONFIGS[0]).unwrap();
    optimizer.step_rows(|_, _| None).unwrap();
    let state: Vec<(String, Vec<f32>)> = optimizer.state().map(|(name, t)| (name, flat(t))).collect();
    assert_eq!(state[3].0, "momentum/v4");
    assert!(state[3].1.iter().any(|m| *m != 0.0));
    let other = NesterovSgd::named(vars, CONFIGS[0]).unwrap();
    assert!(state.iter().all(|(name, numbers)| other.load(name, numbers).unwrap()));
    assert!(!other.load("momentum/unknown", &[]).unwrap() && !other.load("v4", &[]).unwrap());
    assert_eq!(other.state().map(|(name, t)| (name, flat(t))).collect::<Vec<_>>(), state);
    assert!(other.load("momentum/v3", &[1.0, 2.0]).unwrap_err().to_string().contains("v3 is 2 numbers"));
}

#[test]
fn what_cannot_be_updated_is_refused() {
    let var = Var::new(&[[1.0f32, 2.0], [3.0, 4.0]], &Device::Cpu).unwrap();
    let config = NesterovConfig::default();
    let refused = |vars| NesterovSgd::new(vars, config).unwrap_err().to_string();
    assert!(refused(vec![var.clone(), var.clone()]).contains("share their numbers"));
    let doubles = Var::new(&[1.0f64], &Device::Cpu).unwrap();
    assert!(refused(vec![doubles]).contains("F64"));
    let rows = NesterovSgd::named(vec![("w".into(), var.clone(), 3)], config).unwrap_err().to_string();
    assert!(rows.contains("w [2, 2] does not have 3 equal rows"), "{rows}");

    let mut optimizer = NesterovSgd::new(vec![var.clone()], config).unwrap();
    let mut grads = GradStore::default();
    grads.insert(&var, var.as_detached_tensor());
    let error = optimizer.step(&grads).unwrap_err().to_string();
    assert!(error.contains("shares its numbers with a variable"), "{error}");
    grads.insert(&var, Tensor::new(&[1.0f32], &Device::Cpu).unwrap());
    let error = optimizer.step(&grads).unwrap_err().to_string();
    assert!(error.contains("is [1], expected [2, 2]"), "{error}");
    assert_eq!(flat(&var), [1.0, 2.0, 3.0, 4.0]);
}
