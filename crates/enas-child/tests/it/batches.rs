//! Images that are on the GPU already are as good as the host's, to the bit.

use candle_core::Tensor;
use enas_arc::Arc;
use enas_child::{Batch, Child, Config, Error, InputShape, Norm, ResidentImages, Step, StepStats};
use enas_kernels::gpu::{Gpu, Precision};
use enas_rng::Seed;
use enas_testing::gpus;
use enas_testing::tensors::{flat, labels};

use crate::support::images;

/// Images of 45 bytes, which are no whole words.
const INPUT: InputShape = InputShape { channels: 1, height: 5, width: 9 };
const CLASSES: usize = 3;

fn arc() -> Arc {
    "0 0 1 4 2 2 0 3  0 1 1 4 2 2 1 3".parse().expect("a valid arc")
}

fn child() -> Child {
    let config = Config { keep_prob: 0.9, drop_path_keep: 0.8, l2: 1e-4, ..Config::plain(4, 1, 2) };
    Child::fixed(&config, &arc(), INPUT, CLASSES, Seed::new(1)).expect("valid")
}

fn on(gpu: &Gpu) -> Child {
    let mut child = child();
    child.use_gpu(gpu, Precision::F32).expect("it fits");
    child
}

/// Thirty images with their labels, and what every byte means.
struct Set {
    pixels: Vec<u8>,
    labels: Vec<u32>,
    tables: [[f32; 256]; 1],
}

impl Set {
    fn new() -> Self {
        let mut stream = Seed::new(2).stream("pixels", &[]);
        Self {
            pixels: (0..30 * 45).map(|_| stream.below(256) as u8).collect(),
            labels: (0..30).map(|i| i % CLASSES as u32).collect(),
            tables: [std::array::from_fn(|v| (v as f32 - 127.3) / 73.9)],
        }
    }

    fn resident(&self, gpu: &Gpu) -> ResidentImages {
        let image = |i: usize| &self.pixels[i * 45..][..45];
        let placed = ResidentImages::place(gpu, INPUT, image, &self.labels, &self.tables);
        placed.expect("the GPU does not fail").expect("it fits")
    }

    fn batch(&self, indices: &[usize]) -> Batch {
        let (images, labels) = self.host(indices);
        Batch::labelled(&images, &labels).expect("labels are whole numbers")
    }

    fn host(&self, indices: &[usize]) -> (Tensor, Tensor) {
        let pixels = indices.iter().flat_map(|&i| &self.pixels[i * 45..][..45]);
        let data = pixels.map(|&p| self.tables[0][usize::from(p)]).collect();
        (images(data, INPUT), labels(&indices.iter().map(|&i| self.labels[i]).collect::<Vec<u32>>()))
    }
}

/// A partly filled second group of sixteen, other images in every step.
fn indices(step: u64) -> Vec<usize> {
    (0..17).map(|i| (i * 7 + step as usize) % 30).collect()
}

fn step(global_step: u64) -> Step {
    Step { lr: 0.05, global_step, total_steps: 3, seed: Seed::new(4) }
}

/// Three steps on batches that `batch` makes of indices; what they saw, and the bits of the state they led to.
fn train(gpu: &Gpu, mut batch: impl FnMut(&[usize]) -> Batch) -> (Vec<StepStats>, Vec<u32>) {
    let mut child = on(gpu);
    let mut one =
        |s: u64| child.train_on(&arc(), &batch(&indices(s)), &step(s), &mut || ()).expect("it trains");
    let stats = (0..3).map(&mut one).collect();
    let state = child.state().expect("it can be fetched");
    (stats, state.iter().flat_map(|(_, tensor)| flat(tensor)).map(f32::to_bits).collect())
}

#[test]
fn training_does_not_depend_on_where_images_are() {
    let set = Set::new();
    for gpu in gpus::all() {
        let resident = set.resident(&gpu);
        let want = train(&gpu, |indices| set.batch(indices));
        let uploaded = train(&gpu, |indices| set.batch(indices).upload(&gpu).expect("it fits"));
        let chosen = train(&gpu, |indices| resident.batch(indices.to_vec()).expect("there are such"));
        assert_eq!((&uploaded.0, &chosen.0), (&want.0, &want.0));
        assert!(uploaded.1 == want.1 && chosen.1 == want.1, "{}: other weights", gpu.name());
    }
}

#[test]
fn logits_do_not_depend_on_where_images_are() {
    let set = Set::new();
    for gpu in gpus::all() {
        let child = on(&gpu);
        let resident = set.resident(&gpu);
        let indices = indices(0);
        let (images, _) = set.host(&indices);
        let uploaded = set.batch(&indices).upload(&gpu).expect("it fits");
        let logits = |images: Batch| {
            flat(&child.logits(&arc(), images, Norm::RunningStatistics, None).expect("it runs"))
        };
        let want = logits((&images).into());
        assert_eq!(logits(uploaded), want);
        assert_eq!(logits(resident.batch(indices).expect("there are such")), want);
    }
}

/// Whatever the host does meanwhile: the next batch may be sent while a step is under way.
#[test]
fn a_batch_sent_ahead_leaves_the_step_under_way_alone() {
    let set = Set::new();
    let batches: Vec<Batch> = (0..3).map(|s| set.batch(&indices(s))).collect();
    for gpu in gpus::all() {
        let run = |ahead: bool| {
            let mut child = on(&gpu);
            let send = |s: usize| batches.get(s).map(|batch| batch.upload(&gpu).expect("it fits"));
            let mut next = send(0);
            let mut losses = Vec::new();
            while let Some(batch) = next.take() {
                let s = losses.len();
                let mut meanwhile = || next = if ahead { send(s + 1) } else { None };
                let stats = child.train_on(&arc(), &batch, &step(s as u64), &mut meanwhile);
                losses.push(stats.expect("it trains").loss);
                if !ahead {
                    next = send(s + 1);
                }
            }
            losses
        };
        assert_eq!(run(true).len(), 3);
        assert_eq!(run(true), run(false));
    }
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, Error>, word: &str) {
    let error = result.expect_err("it is refused");
    assert!(matches!(&error, Error::Batch(_)) && error.to_string().contains(word), "{error}");
}

#[test]
fn batches_that_do_not_fit_are_refused_with_a_reason() {
    let set = Set::new();
    let gpu = gpus::all().remove(0);
    let mut child = on(&gpu);
    let resident = set.resident(&gpu);
    let (pixels, classes) = set.host(&[0, 1]);
    let few = labels(&[0]);
    let wrong = labels(&[0, 3]);
    let batch = |images: &Tensor, labels: &Tensor| Batch::labelled(images, labels).expect("whole numbers");
    let uploaded =
        |images: &Tensor, labels: &Tensor| batch(images, labels).upload(&gpu).expect("the GPU does not fail");
    let mut run = |batch: Batch| child.train_on(&arc(), &batch, &step(0), &mut || ());
    refused(resident.batch(vec![3, 30]), "no image 30 among the 30");
    refused(resident.batch(vec![]), "no images");
    refused(run(uploaded(&pixels, &few)), "1 labels for 2");
    let flat = pixels.flatten_all().expect("contiguous");
    refused(run(uploaded(&flat, &classes)), "images are [90] of F32, the network takes [n, 1, 5, 9]");
    refused(run(uploaded(&pixels, &wrong)), "label 3");
    refused(run(batch(&pixels, &wrong)), "label 3");
    let shares = labels(&[0, 1]).to_dtype(candle_core::DType::F32).expect("numbers");
    refused(Batch::labelled(&pixels, &shares), "labels are [2] of F32, the network takes [n] of U32");

    let some = |set: ResidentImages| set.batch(vec![1]).expect("there is one");
    let odd = Set { labels: vec![5; 30], ..Set::new() };
    refused(run(some(odd.resident(&gpu))), "label 5");
    let elsewhere = gpus::all().remove(0);
    refused(run(some(set.resident(&elsewhere))), "another GPU");
    let mut on_cpu = self::child();
    refused(on_cpu.train_on(&arc(), &some(resident), &step(0), &mut || ()), "the network is not");
}

#[test]
fn sets_of_another_shape_are_refused() {
    let gpu = gpus::all().remove(0);
    let set = Set::new();
    let place = |len: usize, tables: &[[f32; 256]]| {
        ResidentImages::place(&gpu, INPUT, |i| &set.pixels[i..][..len], &set.labels, tables).map(drop)
    };
    place(45, &set.tables).expect("it fits");
    let error = place(44, &set.tables).expect_err("a byte is missing");
    assert!(error.to_string().contains("image 0 has 44 bytes"), "{error}");
    let error = place(45, &[]).expect_err("a channel has no table");
    assert!(error.to_string().contains("0 tables for 1 channels"), "{error}");
}
