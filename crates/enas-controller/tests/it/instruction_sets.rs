//! All instruction sets agree, and each repeats itself to the bit.

use enas_arc::Arc;
use enas_controller::{Config, Controller, Episode};
use enas_rng::Seed;
use enas_testing::instruction_sets::{results_at, results_file};
use enas_testing::numbers::bits;
use enas_testing::tensors::flat;

/// The full name of the test.
const TEST: &str = "instruction_sets::instruction_sets_agree_and_repeat_themselves";

/// Scores, a gradient and the weights after two updates, for given arcs: nothing drawn may depend on last bits.
fn results() -> Vec<f32> {
    let seed = Seed::new(3);
    let mut out = vec![];
    for config in [Config::reference(), Config { hidden_size: 20, lstm_layers: 2, ..Config::improved() }] {
        let mut controller = Controller::new(&config, 4, seed).unwrap();
        let bounds = config.bounds(0.5);
        let arcs: Vec<Arc> = (0..11).map(|i| Arc::random(4, &mut seed.stream("arc", &[i]))).collect();
        for arc in &arcs {
            let sample = controller.score(bounds, arc).unwrap();
            out.extend([sample.log_prob, sample.entropy]);
        }
        let gradient = controller.nll_gradient(bounds, &arcs, &[0.5; 11]).unwrap();
        out.extend(gradient.iter().flat_map(|(_, tensor)| flat(tensor)));
        let episode = |(i, arc): (usize, &Arc)| Episode { arc: arc.clone(), accuracy: i as f32 / 11.0 };
        let episodes: Vec<_> = arcs.iter().enumerate().map(episode).collect();
        for _ in 0..2 {
            let stats = controller.reinforce(bounds, &episodes).unwrap();
            out.extend([stats.loss, stats.grad_norm]);
        }
        out.extend(controller.state().iter().flat_map(|(_, tensor)| flat(tensor)));
    }
    out
}

/// The results in a process of its own with the instructions `name`.
fn numbers_at(name: &str) -> Vec<f32> {
    results_at(TEST, name).as_chunks::<4>().0.iter().map(|x| f32::from_le_bytes(*x)).collect()
}

#[test]
fn instruction_sets_agree_and_repeat_themselves() {
    if let Some(path) = results_file() {
        let bytes: Vec<u8> = results().into_iter().flat_map(f32::to_le_bytes).collect();
        std::fs::write(path, bytes).unwrap();
        return;
    }
    let [portable, avx2, avx512] = ["portable", "avx2", "avx512"].map(|name| {
        let got = numbers_at(name);
        let again = numbers_at(name);
        assert!(bits(&got) == bits(&again), "{name} repeats itself");
        got
    });
    for (name, got) in [("avx2", &avx2), ("avx512", &avx512)] {
        assert_eq!(got.len(), portable.len());
        let far = |(a, b): &(&f32, &f32)| (*a - *b).abs() > 1e-5 + 1e-4 * b.abs();
        assert_eq!(got.iter().zip(&portable).find(far), None, "{name}");
    }
    // Fused results differ in their last bits, so a variable that is not obeyed is seen.
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        assert_ne!(avx2, portable);
    }
}
