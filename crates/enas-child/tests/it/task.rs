//! Two networks and their batches, for several test files.

use candle_core::Tensor;
use enas_child::{Arc, AuxHead, Config, InputShape};
use enas_rng::Seed;
use enas_testing::tensors;

use crate::support;

pub(crate) const INPUT: InputShape = InputShape { channels: 2, height: 10, width: 9 };
pub(crate) const CLASSES: usize = 3;
pub(crate) const N: usize = 19;

pub(crate) fn config(l2: f32) -> Config {
    Config {
        aux_head: AuxHead::Trained,
        keep_prob: 0.9,
        drop_path_keep: 0.7,
        l2,
        clip_norm: 1.0,
        ..Config::plain(6, 2, 2)
    }
}

pub(crate) fn arcs() -> [Arc; 2] {
    ["0 0 1 4 2 2 0 3  0 1 1 4 2 2 1 3", "1 1 0 0 1 3 2 1  1 0 1 2 0 4 1 0"].map(|arc| arc.parse().unwrap())
}

pub(crate) fn batch(step: u64) -> (Tensor, Tensor) {
    let mut stream = Seed::new(9).stream("images", &[step]);
    let len = N * INPUT.channels * INPUT.height * INPUT.width;
    let images = (0..len).map(|_| 2.0 * stream.uniform() - 1.0).collect();
    let labels: Vec<u32> = (0..N as u32).map(|i| (i + step as u32) % CLASSES as u32).collect();
    (support::images(images, INPUT), tensors::labels(&labels))
}
