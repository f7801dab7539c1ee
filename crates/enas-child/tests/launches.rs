//! What training steps of the published sizes ask of a GPU: launches, waits and memory. Nothing is computed.
#![forbid(unsafe_code)]

mod sizes;

use std::sync::LazyLock;

use enas_child::Error;
use enas_kernels::gpu::{LaunchCounts, Precision};
use sizes::{Size, dry};

/// Launches of one training step, memory set to zero included.
///
/// On a large GPU a step of these networks takes as long as its launches, so every one counts. A number here that
/// grew by accident is a loss of speed to be found and undone. One that changed on purpose is written anew, together
/// with the tables of docs/performance.md: `cargo run --release -p enas-child --example gpu_model` prints them.
const LAUNCHES: [(&str, u64); 5] =
    [("S1-search", 1636), ("S2-search", 1546), ("S3-search", 884), ("F1-step", 5371), ("F2-step", 1354)];

/// What two steps of a size asked of the device.
struct Steps {
    name: &'static str,
    /// Launches of the first step.
    launches: u64,
    /// Counts before the first, between both, and after the second.
    counts: [LaunchCounts; 3],
}

/// Measured once for all tests: the weights of the large sizes take a while to draw.
static STEPS: LazyLock<[Steps; 5]> = LazyLock::new(|| sizes::all().map(|size| steps(&size)));

fn steps(size: &Size) -> Steps {
    let (device, gpu) = dry(usize::MAX);
    let mut child = size.child(&gpu, Precision::F32).expect("it fits");
    let before = device.counts();
    size.step(&mut child, size.batch).expect("it runs");
    let between = device.counts();
    let launches = gpu.launches();
    size.step(&mut child, size.batch).expect("it runs");
    Steps { name: size.name, launches, counts: [before, between, device.counts()] }
}

#[test]
fn a_training_step_takes_as_many_launches_as_it_did() {
    let launches: Vec<(&str, u64)> = STEPS.iter().map(|steps| (steps.name, steps.launches)).collect();
    assert_eq!(launches, LAUNCHES);
}

#[test]
fn a_training_step_waits_for_the_device_once() {
    for Steps { name, counts: [before, between, after], .. } in STEPS.iter() {
        assert_eq!(between.downloads - before.downloads, 1, "{name}");
        assert_eq!(after.downloads - between.downloads, 1, "{name}");
    }
}

/// Everything that grows with the batch is a map, but for images and the few numbers of an image behind the pool.
#[test]
fn activations_in_bfloat16_take_half_the_memory_and_as_many_launches() {
    let size = named("F2-step");
    let [single, half] = Precision::ALL.map(|activations| {
        let (device, gpu) = dry(usize::MAX);
        let mut child = size.child(&gpu, activations).expect("it fits");
        let before = device.peak_bytes();
        size.step(&mut child, size.batch).expect("it runs");
        let bytes: u64 = gpu.report().iter().map(|kernel| kernel.cost.bytes).sum();
        (gpu.launches(), device.peak_bytes() - before, bytes)
    });
    assert_eq!(single.0, half.0, "launches");
    for (what, single, half) in
        [("memory", single.1 as f64, half.1 as f64), ("traffic", single.2 as f64, half.2 as f64)]
    {
        let share = half / single;
        assert!((0.5..0.62).contains(&share), "{what}: {share} of that in single precision");
    }
}

#[test]
fn images_and_labels_are_all_that_goes_to_the_device() {
    for Steps { name, counts: [before, between, _], .. } in STEPS.iter() {
        assert_eq!(between.uploads - before.uploads, 2, "{name}");
    }
}

#[test]
fn later_steps_use_the_memory_of_the_first() {
    for Steps { name, counts: [_, between, after], .. } in STEPS.iter() {
        assert_eq!(after.allocations, between.allocations, "{name}");
    }
}

fn named(name: &str) -> Size {
    sizes::all().into_iter().find(|size| size.name == name).expect("a published size")
}

/// The error names the largest batch that would fit, and it does.
#[test]
fn a_batch_that_is_too_large_names_one_that_fits() {
    for (name, shares) in [("S3-search", [40, 70]), ("F2-step", [25, 60])] {
        let size = named(name);
        let (device, gpu) = dry(usize::MAX);
        size.step(&mut size.child(&gpu, Precision::F32).expect("it fits"), size.batch).expect("it runs");
        for share in shares {
            let memory = device.peak_bytes() / 100 * share;
            let (_, gpu) = dry(memory);
            let mut child = size.child(&gpu, Precision::F32).expect("the weights fit");
            let error = size.step(&mut child, size.batch).expect_err("the batch does not");
            let Error::DeviceMemory { batch, fits: Some(fits), .. } = error else {
                panic!("{name}, {share} %: {error}");
            };
            assert_eq!(batch, size.batch);
            assert!(fits > 0 && fits < batch, "{name}, {share} %: {fits}");
            size.step(&mut child, fits).unwrap_or_else(|e| panic!("{name}, {share} %, {fits}: {e}"));
        }
    }
}

#[test]
fn where_not_even_a_small_batch_fits_the_error_says_so() {
    let size = named("F2-step");
    let (device, gpu) = dry(usize::MAX);
    size.child(&gpu, Precision::F32).expect("it fits");
    let (_, gpu) = dry(device.peak_bytes() + 4096);
    let mut child = size.child(&gpu, Precision::F32).expect("the weights fit");
    let error = size.step(&mut child, size.batch).expect_err("the batch does not");
    assert!(matches!(error, Error::DeviceMemory { fits: None, .. }), "{error}");
}
