//! Right kernels: the emulator gives exact values, whatever the order of threads and blocks.

use enas_emulator::{Emulator, LaunchArg, LaunchRequest};

fn emulator() -> Emulator {
    Emulator::start().expect("the build made the program")
}

#[test]
fn a_block_reduction_is_exact_and_the_same_in_twenty_orders() {
    let gpu = emulator();
    let rows = 5_u32;
    let n = 1_000_u32;
    // Small whole numbers: their sums are exact in any order.
    let x: Vec<f32> = (0..rows * n).map(|i| (i * 37 % 101) as f32).collect();
    let expected: Vec<f32> = x.chunks(n as usize).map(|row| row.iter().sum()).collect();
    let x = gpu.upload(&x).unwrap();
    for order_seed in 0..20 {
        let y = gpu.alloc(4 * u64::from(rows)).unwrap();
        let launch = LaunchRequest {
            kernel: "emulator_row_sums",
            grid: [rows, 1, 1],
            block: [256, 1, 1],
            order_seed,
            ..LaunchRequest::default()
        };
        gpu.launch(&launch, &[LaunchArg::Buffer(x, 0), LaunchArg::Buffer(y, 0), LaunchArg::U32(n)]).unwrap();
        assert_eq!(gpu.download::<f32>(y).unwrap(), expected, "order seed {order_seed}");
    }
    assert_eq!(gpu.launches(), 20);
}

#[test]
fn wide_accesses_copy_every_length() {
    let gpu = emulator();
    for n in 1..=37_u32 {
        let values: Vec<f32> = (0..n).map(|i| i as f32 + 0.5).collect();
        let x = gpu.upload(&values).unwrap();
        let y = gpu.alloc(4 * u64::from(n)).unwrap();
        let launch = LaunchRequest {
            kernel: "emulator_copy4",
            grid: [2, 1, 1],
            block: [8, 1, 1],
            order_seed: u64::from(n),
            ..LaunchRequest::default()
        };
        gpu.launch(&launch, &[LaunchArg::Buffer(x, 0), LaunchArg::Buffer(y, 0), LaunchArg::U32(n)]).unwrap();
        assert_eq!(gpu.download::<f32>(y).unwrap(), values);
    }
}

#[test]
fn dynamic_shared_memory_holds_what_the_launch_says() {
    let gpu = emulator();
    let values: Vec<f32> = (0..128).map(|i| i as f32).collect();
    let x = gpu.upload(&values).unwrap();
    let launch = LaunchRequest {
        kernel: "emulator_rotate",
        block: [128, 1, 1],
        shared_bytes: 512,
        order_seed: 3,
        ..LaunchRequest::default()
    };
    gpu.launch(&launch, &[LaunchArg::Buffer(x, 0), LaunchArg::U32(130)]).unwrap();
    let expected: Vec<f32> = (0..128).map(|i| ((i + 2) % 128) as f32).collect();
    assert_eq!(gpu.download::<f32>(x).unwrap(), expected);
}

#[test]
fn warp_barriers_order_the_threads_of_a_warp() {
    let gpu = emulator();
    let x = gpu.upload(&(0..64_u32).collect::<Vec<_>>()).unwrap();
    for order_seed in 0..10 {
        let y = gpu.alloc(256).unwrap();
        let launch = LaunchRequest {
            kernel: "emulator_warp_order",
            block: [64, 1, 1],
            order_seed,
            ..LaunchRequest::default()
        };
        gpu.launch(&launch, &[LaunchArg::Buffer(x, 0), LaunchArg::Buffer(y, 0)]).unwrap();
        assert_eq!(gpu.download::<u32>(y).unwrap(), (1..=64).collect::<Vec<_>>());
    }
}

#[test]
fn shuffles_move_values_between_lanes() {
    let gpu = emulator();
    let y = gpu.alloc(4 * 128).unwrap();
    let launch = LaunchRequest {
        kernel: "emulator_shuffles",
        block: [32, 1, 1],
        order_seed: 9,
        ..LaunchRequest::default()
    };
    gpu.launch(&launch, &[LaunchArg::Buffer(y, 0)]).unwrap();
    let got = gpu.download::<i32>(y).unwrap();
    assert_eq!(&got[..32], [5; 32]);
    assert_eq!(
        got[32..64],
        std::array::from_fn::<i32, 32, _>(|i| if i < 3 { i as i32 } else { i as i32 - 3 })
    );
    assert_eq!(
        got[64..96],
        std::array::from_fn::<i32, 32, _>(|i| if i >= 29 { i as i32 } else { i as i32 + 3 })
    );
    assert_eq!(got[96..], std::array::from_fn::<i32, 32, _>(|i| i as i32 ^ 3));
}

#[test]
fn atomic_additions_of_all_blocks_count() {
    let gpu = emulator();
    let count = gpu.upload(&[5_u32]).unwrap();
    let launch = LaunchRequest {
        kernel: "emulator_count",
        grid: [3, 2, 1],
        block: [16, 4, 1],
        order_seed: 1,
        ..LaunchRequest::default()
    };
    gpu.launch(&launch, &[LaunchArg::Buffer(count, 0)]).unwrap();
    assert_eq!(gpu.download::<u32>(count).unwrap(), [5 + 6 * 64]);
}

#[test]
fn atomic_additions_in_shared_memory_count() {
    let gpu = emulator();
    let y = gpu.alloc(12).unwrap();
    let launch = LaunchRequest {
        kernel: "emulator_count_shared",
        grid: [3, 1, 1],
        block: [100, 1, 1],
        order_seed: 4,
        ..LaunchRequest::default()
    };
    gpu.launch(&launch, &[LaunchArg::Buffer(y, 0)]).unwrap();
    assert_eq!(gpu.download::<u32>(y).unwrap(), [110; 3]);
}

#[test]
fn seeds_permute_threads_and_blocks() {
    let gpu = emulator();
    let arrivals = |order_seed| {
        let count = gpu.upload(&[0_u32]).unwrap();
        let order = gpu.alloc(4 * 24 * 24).unwrap();
        let launch = LaunchRequest {
            kernel: "emulator_arrivals",
            grid: [4, 3, 2],
            block: [2, 3, 4],
            order_seed,
            ..LaunchRequest::default()
        };
        gpu.launch(&launch, &[LaunchArg::Buffer(count, 0), LaunchArg::Buffer(order, 0)]).unwrap();
        gpu.download::<u32>(order).unwrap()
    };
    let natural: Vec<u32> = (0..24 * 24).collect();
    assert_eq!(arrivals(0), natural);
    for seed in 1..5 {
        let got = arrivals(seed);
        assert_eq!(got, arrivals(seed), "a seed is one order");
        assert_ne!(got, arrivals(seed + 1));
        let blocks: Vec<u32> = got.chunks(24).map(|block| block[0] / 24).collect();
        assert!(!blocks.is_sorted() && got.chunks(24).all(|block| !block.is_sorted()), "{got:?}");
        assert!(got.chunks(24).zip(&blocks).all(|(threads, block)| threads.iter().all(|t| t / 24 == *block)));
        let mut sorted = got;
        sorted.sort_unstable();
        assert_eq!(sorted, natural);
    }
}

#[test]
fn kernels_declared_by_a_macro_are_found() {
    let gpu = emulator();
    let x = gpu.upload(&[1.5_f32, -2.0]).unwrap();
    let y = gpu.upload(&[3_i32, -4]).unwrap();
    let launch =
        LaunchRequest { kernel: "emulator_double_float", block: [2, 1, 1], ..LaunchRequest::default() };
    gpu.launch(&launch, &[LaunchArg::Buffer(x, 0)]).unwrap();
    gpu.launch(&LaunchRequest { kernel: "emulator_double_int", ..launch }, &[LaunchArg::Buffer(y, 0)])
        .unwrap();
    assert_eq!(gpu.download::<f32>(x).unwrap(), [3.0, -4.0]);
    assert_eq!(gpu.download::<i32>(y).unwrap(), [6, -8]);
    let kernel = gpu.kernels().iter().find(|kernel| kernel.name == "emulator_double_int").unwrap();
    assert_eq!(kernel.max_threads, 128);
}

#[test]
fn memory_is_handed_to_helper_functions() {
    let gpu = emulator();
    let x = gpu.upload(&[1_f32, 2.0, 5.0]).unwrap();
    let y = gpu.alloc(12).unwrap();
    let z = gpu.upload(&[9_f32]).unwrap();
    let launch = LaunchRequest { kernel: "emulator_helpers", ..LaunchRequest::default() };
    gpu.launch(
        &launch,
        &[LaunchArg::Buffer(x, 0), LaunchArg::Buffer(y, 0), LaunchArg::Buffer(z, 0), LaunchArg::U32(3)],
    )
    .unwrap();
    assert_eq!(gpu.download::<f32>(y).unwrap(), [9.0, 12.0, 8.0]);
}

/// Round to nearest, ties to even, by the definition: the nearest of the two neighbours.
fn rounded(bits: u32) -> u16 {
    let x = f32::from_bits(bits);
    let lower = (bits >> 16) as u16;
    if x.is_nan() {
        return lower | 0x0040;
    }
    let rest = bits & 0xffff;
    let up = rest > 0x8000 || (rest == 0x8000 && lower % 2 == 1);
    lower + u16::from(up)
}

#[test]
fn bf16_goes_there_and_back_for_every_pattern() {
    let gpu = emulator();
    let patterns: Vec<u16> = (0..=u16::MAX).collect();
    let x = gpu.upload(&patterns).unwrap();
    let back = gpu.alloc(2 * 65_536).unwrap();
    let launch = LaunchRequest {
        kernel: "emulator_bf16_round_trip",
        grid: [256, 1, 1],
        block: [256, 1, 1],
        ..LaunchRequest::default()
    };
    gpu.launch(&launch, &[LaunchArg::Buffer(x, 0), LaunchArg::Buffer(back, 0), LaunchArg::U32(65_536)])
        .unwrap();
    let got = gpu.download::<u16>(back).unwrap();
    let expected: Vec<u16> = patterns.iter().map(|&p| rounded(u32::from(p) << 16)).collect();
    assert_eq!(got, expected);
    // All but signalling NaNs come back as they were.
    let changed = got.iter().zip(&patterns).filter(|(a, b)| a != b).count();
    assert_eq!(changed, 2 * 63);
}

#[test]
fn bf16_rounds_to_nearest_even_above_and_below_every_pattern() {
    let gpu = emulator();
    let lows = [0x0001, 0x7fff, 0x8000, 0x8001, 0xffff];
    for low in lows {
        let bits: Vec<u32> = (0..=u16::MAX).map(|high| u32::from(high) << 16 | low).collect();
        let x = gpu.upload(&bits).unwrap();
        let y = gpu.alloc(2 * 65_536).unwrap();
        let launch = LaunchRequest {
            kernel: "emulator_bf16_round",
            grid: [64, 1, 1],
            block: [1024, 1, 1],
            ..LaunchRequest::default()
        };
        gpu.launch(&launch, &[LaunchArg::Buffer(x, 0), LaunchArg::Buffer(y, 0), LaunchArg::U32(65_536)])
            .unwrap();
        let expected: Vec<u16> = bits.iter().map(|&bits| rounded(bits)).collect();
        assert_eq!(gpu.download::<u16>(y).unwrap(), expected, "lower half {low:#06x}");
    }
}

#[test]
fn bf16_moves_in_all_widths() {
    let gpu = emulator();
    let values: Vec<u16> = (0..24 * 32).collect();
    let x = gpu.upload(&values).unwrap();
    let y = gpu.alloc(2 * 24 * 32).unwrap();
    let launch =
        LaunchRequest { kernel: "emulator_bf16_wide", block: [32, 1, 1], ..LaunchRequest::default() };
    gpu.launch(&launch, &[LaunchArg::Buffer(x, 0), LaunchArg::Buffer(y, 0)]).unwrap();
    assert_eq!(gpu.download::<u16>(y).unwrap(), values);
}

#[test]
fn bits_and_arithmetic_are_the_devices() {
    let gpu = emulator();
    let y = gpu.alloc(32).unwrap();
    let args = [
        LaunchArg::Buffer(y, 0),
        LaunchArg::U32(6),
        LaunchArg::I32(-9),
        LaunchArg::F32(4.0),
        LaunchArg::U64(11 << 32),
    ];
    gpu.launch(&LaunchRequest { kernel: "emulator_arithmetic", ..LaunchRequest::default() }, &args).unwrap();
    let expected = [3, 0x6000_0000, 17_f32.to_bits(), 7, -9_i32 as u32, 11, 0.5_f32.to_bits(), 2 + 31];
    assert_eq!(gpu.download::<u32>(y).unwrap(), expected);
}

#[test]
fn a_parameter_may_be_null_or_part_of_a_buffer() {
    let gpu = emulator();
    let x = gpu.upload(&[1_f32, 2.0, 3.0]).unwrap();
    let y = gpu.upload(&[10_f32, 20.0, 30.0]).unwrap();
    let launch = LaunchRequest { kernel: "emulator_add", block: [4, 1, 1], ..LaunchRequest::default() };
    gpu.launch(&launch, &[LaunchArg::Null, LaunchArg::Buffer(y, 0), LaunchArg::F32(2.0), LaunchArg::U32(3)])
        .unwrap();
    gpu.launch(
        &launch,
        &[LaunchArg::Buffer(x, 4), LaunchArg::Slice(y, 0, 8), LaunchArg::F32(2.0), LaunchArg::U32(2)],
    )
    .unwrap();
    assert_eq!(gpu.download::<f32>(y).unwrap(), [14.0, 26.0, 30.0]);
}
