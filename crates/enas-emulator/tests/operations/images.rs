//! Resident images against the same images normalised on the host.

use enas_kernels::gpu::{Gpu, GpuActivation, GpuImages, Precision};
use enas_rng::Seed;
use enas_testing::gpus;
use enas_testing::numbers::bits;

use crate::{in_all_orders, on_maps, support};

/// `(c, h, w)` and a number of images: whole words, parts of words, a single byte, several blocks.
const SETS: [((usize, usize, usize), usize); 5] =
    [((1, 4, 4), 5), ((3, 3, 3), 20), ((1, 1, 1), 40), ((2, 5, 7), 17), ((3, 9, 11), 3)];

struct Set {
    shape: (usize, usize, usize),
    pixels: Vec<u8>,
    labels: Vec<u32>,
    tables: Vec<[f32; 256]>,
}

impl Set {
    fn new(shape: (usize, usize, usize), n: usize) -> Self {
        let mut stream = Seed::new(5).stream("set", &[n as u64]);
        let (c, h, w) = shape;
        let pixels = (0..n * c * h * w).map(|_| stream.below(256) as u8).collect();
        // Divisions by odd numbers: every route but the host's own would round differently somewhere.
        let table = |channel: usize| {
            std::array::from_fn(|v| (v as f32 - (100.3 + channel as f32)) / (63.7 + channel as f32))
        };
        let labels = (0..n).map(|i| 7 * i as u32 + 1).collect();
        Self { shape, pixels, labels, tables: (0..c).map(table).collect() }
    }

    fn size(&self) -> usize {
        let (c, h, w) = self.shape;
        c * h * w
    }

    fn on(&self, gpu: &Gpu) -> GpuImages {
        let images = self.pixels.chunks_exact(self.size());
        GpuImages::upload(gpu, self.shape, images, &self.labels, &self.tables).expect("it fits")
    }

    fn normalised(&self, indices: &[usize]) -> Vec<f32> {
        let (_, h, w) = self.shape;
        let value =
            |i: usize, at: usize| self.tables[at / (h * w)][self.pixels[i * self.size() + at] as usize];
        indices
            .iter()
            .flat_map(|&i| (0..self.size()).map(move |at| (i, at)))
            .map(|(i, at)| value(i, at))
            .collect()
    }
}

/// In no order, some twice, and not a multiple of sixteen.
fn indices(n: usize) -> Vec<usize> {
    (0..19).map(|i| (i * 7 + 3) % n).collect()
}

#[test]
fn resident_batches_equal_those_of_the_host_to_the_bit() {
    for (precision, (shape, n)) in Precision::ALL.into_iter().flat_map(|p| SETS.map(|set| (p, set))) {
        let set = Set::new(shape, n);
        let indices = indices(n);
        let want = support::stored(precision, set.normalised(&indices));
        let got = on_maps(precision, "pictures", |gpu| {
            let resident = set.on(gpu);
            let map = resident.choose(&indices).expect("they are there").map(precision);
            vec![GpuActivation::plain(map).to_nchw().expect("the kernels run")]
        });
        assert!(bits(&got[0]) == bits(&want), "{n} of {shape:?}, {precision:?}");
    }
}

#[test]
fn labels_follow_their_images() {
    let got = in_all_orders("labels", |gpu| {
        let resident = Set::new((1, 2, 3), 300).on(gpu);
        let chosen = resident.choose(&[299, 0, 8, 8]).expect("they are there");
        vec![chosen.labels().download(0, 4).expect("the kernel runs")]
    });
    assert_eq!(bits(&got[0]), [7 * 299 + 1, 1, 57, 57]);
}

#[test]
fn the_first_of_a_choice_are_its_beginning() {
    let gpu = gpus::emulated(0);
    let resident = Set::new((1, 2, 2), 9).on(&gpu);
    let images = |indices: &[usize], n: usize| {
        let chosen = resident.choose(indices).expect("they are there").first(n);
        GpuActivation::plain(chosen.map(Precision::F32)).to_nchw().expect("the kernels run")
    };
    assert_eq!(images(&[4, 1, 7], 2), images(&[4, 1], 2));
    assert_eq!(images(&[4, 1], 9), images(&[4, 1], 2));
}

#[test]
fn a_picture_that_is_not_there_cannot_be_chosen() {
    let gpu = gpus::emulated(0);
    let resident = Set::new((1, 2, 2), 9).on(&gpu);
    assert!(resident.choose(&[8, 0]).is_some());
    assert!(resident.choose(&[0, 9]).is_none());
}

/// More than goes to the device at once.
#[test]
fn large_sets_arrive_whole() {
    let gpu = gpus::emulated(0);
    let set = Set::new((3, 100, 101), 40);
    let resident = set.on(&gpu);
    for i in [0, 33, 34, 35, 39] {
        let map = resident.choose(&[i]).expect("it is there").map(Precision::F32);
        let got = GpuActivation::plain(map).to_nchw().expect("the kernels run");
        assert!(bits(&got) == bits(&set.normalised(&[i])), "picture {i}");
    }
}
