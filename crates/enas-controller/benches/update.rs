//! What the controller costs at the published size: one draw, ten draws together, one update from ten given
//! arcs, and an update from ten arcs that are drawn for it.
#![forbid(unsafe_code)]

use criterion::Criterion;
use enas_controller::{Config, Controller, Episode};
use enas_rng::{Seed, Stream};

fn streams(n: u64) -> Vec<Stream> {
    (0..n).map(|i| Seed::new(1).stream("arc", &[i])).collect()
}

fn main() {
    let mut bench = Criterion::default().configure_from_args();
    let mut controller = Controller::new(&Config::reference(), 5, Seed::new(0)).expect("the preset is valid");
    let bounds = controller.config().bounds(0.0);
    let mut one = streams(1);
    let mut ten = streams(10);
    bench.bench_function("sample", |b| b.iter(|| controller.sample(bounds, &mut one[0])));
    bench.bench_function("sample 10 together", |b| b.iter(|| controller.sample_many(bounds, &mut ten)));
    let samples = controller.sample_many(bounds, &mut ten);
    let episodes: Vec<_> = samples.into_iter().map(|s| Episode { arc: s.arc, accuracy: 0.5 }).collect();
    bench.bench_function("update from 10", |b| b.iter(|| controller.reinforce(bounds, &episodes)));
    bench.bench_function("draw 10 and update", |b| {
        b.iter(|| {
            let samples = controller.sample_many(bounds, &mut ten);
            let episodes: Vec<_> =
                samples.into_iter().map(|s| Episode { arc: s.arc, accuracy: 0.5 }).collect();
            controller.reinforce(bounds, &episodes)
        });
    });
    bench.final_summary();
}
