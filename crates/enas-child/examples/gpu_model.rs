//! Predicts how long training steps of the published sizes take on GPUs, for both precisions of activations. A
//! roofline model uses the bytes and operations of every launch. Prints the tables of docs/performance.md. Needs no
//! GPU.
//!
//!     cargo run --release -p enas-child --example gpu_model
#![forbid(unsafe_code)]
// This example prints to the terminal.
#![allow(clippy::print_stdout)]

#[path = "../tests/sizes/mod.rs"]
mod sizes;

use enas_kernels::gpu::{Cost, KernelCost, Precision};

/// Microseconds between the starts of two launches whose kernels take no longer than that.
const LAUNCH: f64 = 3.0;

/// A GPU, with the figures of its data sheet.
struct Card {
    name: &'static str,
    /// Peak single-precision rate outside tensor cores, in TFLOP/s.
    tflops: f64,
    /// Memory bandwidth, in GB/s.
    bandwidth: f64,
}

const CARDS: [Card; 3] = [
    Card { name: "A100 80GB", tflops: 19.5, bandwidth: 2039.0 },
    Card { name: "H100 SXM", tflops: 66.9, bandwidth: 3350.0 },
    Card { name: "RTX 4090", tflops: 82.6, bandwidth: 1008.0 },
];

impl Card {
    /// Microseconds for all launches of one kernel: the larger of memory time and arithmetic time.
    fn roofline(&self, cost: Cost) -> f64 {
        let (memory, arithmetic) =
            (cost.bytes as f64 / self.bandwidth / 1e3, cost.flops as f64 / self.tflops / 1e6);
        memory.max(arithmetic)
    }

    /// Microseconds for a whole step.
    fn step(&self, kernels: &[KernelCost]) -> f64 {
        kernels.iter().map(|kernel| self.roofline(kernel.cost)).sum()
    }
}

/// The cost of one step, and the memory it needs.
struct Model {
    name: &'static str,
    kernels: Vec<KernelCost>,
    peak_bytes: usize,
}

impl Model {
    fn launches(&self) -> u64 {
        self.kernels.iter().map(|kernel| kernel.launches).sum()
    }

    fn total(&self) -> (f64, f64) {
        let sum =
            |of: fn(&Cost) -> u64| self.kernels.iter().map(|kernel| of(&kernel.cost) as f64).sum::<f64>();
        (sum(|cost| cost.bytes), sum(|cost| cost.flops))
    }
}

fn main() -> Result<(), enas_child::Error> {
    let models = |activations| -> Result<Vec<Model>, enas_child::Error> {
        sizes::all().iter().map(|size| model(size, activations)).collect()
    };
    let single = models(Precision::F32)?;
    let half = models(Precision::Bf16)?;
    by_kernel(&single[0]);
    println!();
    by_size(&single);
    println!("\nWith activations in bfloat16:\n");
    by_size(&half);
    Ok(())
}

fn model(size: &sizes::Size, activations: Precision) -> Result<Model, enas_child::Error> {
    let (device, gpu) = sizes::dry(usize::MAX);
    let mut child = size.child(&gpu, activations)?;
    size.step(&mut child, size.batch)?;
    Ok(Model { name: size.name, kernels: gpu.report(), peak_bytes: device.peak_bytes() })
}

/// Prints one row per kernel, ordered by its time on the first card, longest first.
fn by_kernel(model: &Model) {
    let names = CARDS.map(|card| format!("{}, µs", card.name)).join(" | ");
    println!("| kernel | launches | MB | GFLOP | {names} | launching, µs |");
    println!("|---|---|---|---|{}---|", "---|".repeat(CARDS.len()));
    let mut kernels = model.kernels.clone();
    kernels.sort_by(|a, b| CARDS[0].roofline(b.cost).total_cmp(&CARDS[0].roofline(a.cost)));
    for KernelCost { kernel, launches, cost } in &kernels {
        let times = CARDS.map(|card| format!("{:.0}", card.roofline(*cost))).join(" | ");
        let megabytes = cost.bytes as f64 / 1e6;
        let gflop = cost.flops as f64 / 1e9;
        let launching = LAUNCH * *launches as f64;
        println!("| {kernel} | {launches} | {megabytes:.1} | {gflop:.3} | {times} | {launching:.0} |");
    }
    let (bytes, flops) = model.total();
    let times = CARDS.map(|card| format!("{:.0}", card.step(&model.kernels))).join(" | ");
    let launches = model.launches();
    let launching = LAUNCH * launches as f64;
    println!("| all | {launches} | {:.1} | {:.3} | {times} | {launching:.0} |", bytes / 1e6, flops / 1e9);
}

/// Prints one row per size.
fn by_size(models: &[Model]) {
    let names = CARDS.map(|card| format!("{}, ms", card.name)).join(" | ");
    println!("| step | launches | GB | GFLOP | {names} | launching, ms | device memory, MB |");
    println!("|---|---|---|---|{}---|---|", "---|".repeat(CARDS.len()));
    for model in models {
        let (bytes, flops) = model.total();
        let times = CARDS.map(|card| format!("{:.2}", card.step(&model.kernels) / 1e3)).join(" | ");
        let launches = model.launches();
        let launching = LAUNCH * launches as f64 / 1e3;
        println!(
            "| {} | {launches} | {:.2} | {:.1} | {times} | {launching:.2} | {} |",
            model.name,
            bytes / 1e9,
            flops / 1e9,
            model.peak_bytes.div_ceil(1_000_000)
        );
    }
}
