//! What networks start with and what twenty training steps make of them, to the bit.
//!
//! The numbers were recorded when weights lay in one piece of memory. Whoever changes where weights are kept must not
//! change what they are. Steps depend on the instruction set, which decides what is fused and in which order sums go.

use enas_child::{Arc, Child, MacroArc, MacroChild, MacroConfig, NamedTensor, Seed, Step};
use enas_kernels::Level;
use enas_testing::tensors::flat;

use crate::task::{CLASSES, INPUT, arcs, batch, config};

/// FNV-1a over names, shapes and bits.
fn digest(tensors: &[NamedTensor]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    let mut eat = |bytes: &[u8]| {
        for byte in bytes {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    };
    for (name, tensor) in tensors {
        eat(name.as_bytes());
        tensor.dims().iter().for_each(|axis| eat(&axis.to_le_bytes()));
        flat(tensor).iter().for_each(|x| eat(&x.to_bits().to_le_bytes()));
    }
    hash
}

fn step(global_step: u64) -> Step {
    Step { lr: 0.05, global_step, total_steps: 20, seed: Seed::new(3) }
}

fn run(mut child: Child, arcs: &[Arc]) -> [u64; 2] {
    let start = digest(&child.state().unwrap());
    child.keep_average().unwrap();
    for i in 0..20 {
        let (images, labels) = batch(i);
        child.train_step(&arcs[i as usize % arcs.len()], &images, &labels, &step(i)).unwrap();
        child.update_average(0.9).unwrap();
    }
    [start, digest(&child.state().unwrap())]
}

/// Of the start, and after twenty steps with each instruction set.
struct Recorded {
    start: u64,
    portable: u64,
    avx2: u64,
    avx512: u64,
}

fn check(what: &str, [start, trained]: [u64; 2], recorded: Recorded) {
    assert_eq!(start, recorded.start, "{what}: initial weights are {start:#x}");
    let (level, expected) = match enas_kernels::level() {
        Level::Portable => ("portable", recorded.portable),
        Level::Avx2 => ("avx2", recorded.avx2),
        Level::Avx512 => ("avx512", recorded.avx512),
    };
    assert_eq!(trained, expected, "{what}: after twenty steps, {level}, they are {trained:#x}");
}

#[test]
fn shared_weights() {
    let child = Child::shared(&config(1e-4), INPUT, CLASSES, Seed::new(1)).unwrap();
    let recorded = Recorded {
        start: 0x7f1a_9c17_399a_b924,
        portable: 0x4cab_29ae_83d2_a639,
        avx2: 0x6c2c_6d56_5ed4_6833,
        avx512: 0x3dc8_9e97_1c04_9a59,
    };
    check("shared", run(child, &arcs()), recorded);
}

#[test]
fn a_network_of_one_arc() {
    let [arc, _] = arcs();
    let child = Child::fixed(&config(1e-4), &arc, INPUT, CLASSES, Seed::new(2)).unwrap();
    let recorded = Recorded {
        start: 0xb38b_1df0_726e_6ae1,
        portable: 0x5533_45ec_42b6_368b,
        avx2: 0x4707_071e_bf67_6188,
        avx512: 0x24b9_143c_2002_4617,
    };
    check("fixed", run(child, &[arc]), recorded);
}

#[test]
fn a_network_of_the_macro_space() {
    let config = MacroConfig { layers: 3, filters: 4, clip_norm: 1.0, ..MacroConfig::default() };
    let arc = MacroArc::parse_any("1 = conv-3x3(0); 2 = max-pool-3x3(1) + 0; 3 = sep-conv-5x5(2)").unwrap();
    let mut child = MacroChild::shared(&config, INPUT, CLASSES, Seed::new(4)).unwrap();
    let start = digest(&child.weights().unwrap());
    for i in 0..20 {
        let (images, labels) = batch(i);
        child.train_step(&arc, &images, &labels, &step(i)).unwrap();
    }
    let recorded = Recorded {
        start: 0x1e57_dda9_598b_de32,
        portable: 0xe999_9bd4_73c3_e756,
        avx2: 0xb117_da9f_28bb_803b,
        avx512: 0x6269_fd39_d9da_8618,
    };
    check("macro", [start, digest(&child.weights().unwrap())], recorded);
}
