//! What the checks cost: accesses per second to each kind of memory, and a block that crosses thirty barriers.
#![forbid(unsafe_code)]

use criterion::{Criterion, Throughput};
use enas_emulator::{Emulator, LaunchArg, LaunchRequest};

const N: u32 = 1 << 20;

fn checks(criterion: &mut Criterion) {
    let gpu = Emulator::start().expect("the build made the program");
    let zeros = || LaunchArg::Buffer(gpu.upload(&vec![0_f32; N as usize]).expect("4 MB"), 0);
    let x = zeros();
    let y = zeros();
    let mut group = criterion.benchmark_group("accesses");
    let mut bench = |name: &str, accesses: u32, launch: LaunchRequest<'_>, args: &[LaunchArg]| {
        group.throughput(Throughput::Elements(accesses.into()));
        group.bench_function(name, |b| b.iter(|| gpu.launch(&launch, args).expect("the kernel is right")));
    };

    // Reads of memory that no thread writes: the check of bounds, and whether it was written.
    let sums = LaunchRequest {
        kernel: "emulator_row_sums",
        grid: [16, 1, 1],
        block: [256, 1, 1],
        ..LaunchRequest::default()
    };
    bench("read global", N, sums, &[x, y, LaunchArg::U32(N / 16)]);
    // One read through In, a read and a write of the same element.
    let add = LaunchRequest {
        kernel: "emulator_add",
        grid: [N / 256, 1, 1],
        block: [256, 1, 1],
        ..LaunchRequest::default()
    };
    bench("update global", 3 * N, add, &[x, y, LaunchArg::F32(0.5), LaunchArg::U32(N)]);
    let copy = LaunchRequest { kernel: "emulator_copy4", grid: [N / 1024, 1, 1], ..add };
    bench("copy by four", 2 * N, copy, &[x, y, LaunchArg::U32(N)]);
    // A read and a write of shared memory per turn, two barriers.
    let turns = 15;
    let rotate = LaunchRequest {
        kernel: "emulator_rotate",
        block: [256, 1, 1],
        shared_bytes: 1024,
        ..LaunchRequest::default()
    };
    bench("thirty barriers", 256 * 2 * turns, rotate, &[y, LaunchArg::U32(turns)]);
    bench(
        "thirty barriers, shuffled",
        256 * 2 * turns,
        LaunchRequest { order_seed: 1, ..rotate },
        &[y, LaunchArg::U32(turns)],
    );
    let long = 15_000;
    bench("shared, 30000 barriers", 256 * 2 * long, rotate, &[y, LaunchArg::U32(long)]);
    // The price of asking: no work at all.
    bench(
        "one thread",
        1,
        LaunchRequest { block: [1; 3], grid: [1; 3], ..add },
        &[x, y, LaunchArg::F32(0.5), LaunchArg::U32(0)],
    );
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    checks(&mut criterion);
    criterion.final_summary();
}
