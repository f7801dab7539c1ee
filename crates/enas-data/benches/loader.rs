//! How fast one thread prepares batches, for every family of variations; to be compared with the images per second
//! that `enas search` and `enas train` show. `cargo bench -p enas-data`.
#![forbid(unsafe_code)]

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput};
use enas_data::augment::{self, AugmentMode};
use enas_data::{Config, EpochPlan, LoadOptions, load};
use enas_rng::Seed;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("epoch of the digits, 32×32");
    group.sample_size(10).warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(2));
    for (name, mode) in [
        ("as they are", AugmentMode::None),
        ("reference", AugmentMode::Reference),
        ("corrected", AugmentMode::Corrected),
        ("crop-flip", AugmentMode::CropFlip),
    ] {
        let augment = augment::Config { mode, ..Default::default() };
        let config = Config { image_size: 32, augment, ..Config::default() };
        let data = load(&config, &LoadOptions::new(Seed::new(1))).expect("the digits are built in");
        group.throughput(Throughput::Elements(data.train.len() as u64));
        group.bench_function(BenchmarkId::from_parameter(name), |b| {
            b.iter(|| {
                let batches = data.train.epoch(&EpochPlan::new(0, 128)).expect("the batch size is not zero");
                batches.for_each(|batch| drop(black_box(batch)));
            });
        });
    }
    group.finish();
    criterion.final_summary();
}
