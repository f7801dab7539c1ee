//! Pictures that are on the GPU already are as good as the host's, to the bit.
#![forbid(unsafe_code)]

mod devices;
mod support;

use candle_core::Tensor;
use enas_arc::Arc;
use enas_child::{
    AuxHead, Child, Config, Error, Examples, Images, InputShape, Norm, Reductions, ResidentImages,
    SharedInit, Staged, Step, StepStats,
};
use enas_kernels::gpu::{Gpu, Precision};
use enas_rng::Seed;
use support::{flat, images, labels};

/// Pictures of 45 bytes, which are no whole words.
const INPUT: InputShape = InputShape { channels: 1, height: 5, width: 9 };
const CLASSES: usize = 3;

fn arc() -> Arc {
    "0 0 1 4 2 2 0 3  0 1 1 4 2 2 1 3".parse().expect("a valid arc")
}

fn child() -> Child {
    let config = Config {
        filters: 4,
        layers: 1,
        nodes: 2,
        reductions: Reductions::Two,
        aux_head: AuxHead::Off,
        aux_weight: 0.4,
        shared_init: SharedInit::Kernel,
        keep_prob: 0.9,
        drop_path_keep: 0.8,
        l2: 1e-4,
        momentum: 0.9,
        clip_norm: 0.0,
    };
    Child::fixed(&config, &arc(), INPUT, CLASSES, Seed::new(1)).expect("valid")
}

fn on(gpu: &Gpu) -> Child {
    let mut child = child();
    child.use_gpu(gpu, Precision::F32).expect("it fits");
    child
}

/// Thirty pictures with their labels, and what every byte means.
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

    fn host(&self, indices: &[usize]) -> (Tensor, Tensor) {
        let pixels = indices.iter().flat_map(|&i| &self.pixels[i * 45..][..45]);
        let data = pixels.map(|&p| self.tables[0][usize::from(p)]).collect();
        (images(data, INPUT), labels(&indices.iter().map(|&i| self.labels[i]).collect::<Vec<u32>>()))
    }
}

/// A partly filled second group of sixteen, other pictures in every step.
fn indices(step: u64) -> Vec<usize> {
    (0..17).map(|i| (i * 7 + step as usize) % 30).collect()
}

fn step(global_step: u64) -> Step {
    Step { lr: 0.05, global_step, total_steps: 3, seed: Seed::new(4) }
}

/// Three steps on batches that `feed` passes on; what they saw, and the bits of the state they led to.
fn train(
    gpu: &Gpu,
    mut feed: impl FnMut(&mut dyn FnMut(Examples<'_>) -> StepStats, &[usize]) -> StepStats,
) -> (Vec<StepStats>, Vec<u32>) {
    let mut child = on(gpu);
    let mut one = |s: u64| {
        let mut run = |examples: Examples<'_>| {
            child.train_on(&arc(), examples, &step(s), &mut || ()).expect("it trains")
        };
        feed(&mut run, &indices(s))
    };
    let stats = (0..3).map(&mut one).collect();
    let state = child.state().expect("it can be fetched");
    (stats, state.iter().flat_map(|(_, tensor)| flat(tensor)).map(f32::to_bits).collect())
}

#[test]
fn training_does_not_depend_on_where_pictures_wait() {
    let set = Set::new();
    for gpu in devices::all() {
        let resident = set.resident(&gpu);
        let want = train(&gpu, |run, indices| {
            let (images, labels) = set.host(indices);
            run(Examples::Tensors { images: &images, labels: &labels, mix: None })
        });
        let staged = train(&gpu, |run, indices| {
            let (images, labels) = set.host(indices);
            run(Examples::Staged(&Staged::new(&gpu, &images, &labels).expect("they fit")))
        });
        let chosen = train(&gpu, |run, indices| run(Examples::Resident { set: &resident, indices }));
        assert_eq!((&staged.0, &chosen.0), (&want.0, &want.0));
        assert!(staged.1 == want.1 && chosen.1 == want.1, "{}: other weights", gpu.name());
    }
}

#[test]
fn logits_do_not_depend_on_where_pictures_wait() {
    let set = Set::new();
    for gpu in devices::all() {
        let (child, resident, indices) = (on(&gpu), set.resident(&gpu), indices(0));
        let (images, labels) = set.host(&indices);
        let staged = Staged::new(&gpu, &images, &labels).expect("they fit");
        let logits = |images: Images<'_>| {
            flat(&child.logits(&arc(), images, Norm::RunningStatistics, None).expect("it runs"))
        };
        let want = logits((&images).into());
        assert_eq!(logits(Images::Staged(&staged)), want);
        assert_eq!(logits(Images::Resident { set: &resident, indices: &indices }), want);
    }
}

/// Whatever the host does meanwhile: the next batch may be sent while a step is under way.
#[test]
fn a_batch_sent_ahead_leaves_the_step_under_way_alone() {
    let set = Set::new();
    let batches: Vec<_> = (0..3).map(|s| set.host(&indices(s))).collect();
    for gpu in devices::all() {
        let run = |ahead: bool| {
            let mut child = on(&gpu);
            let staged =
                |(images, labels): &(Tensor, Tensor)| Staged::new(&gpu, images, labels).expect("they fit");
            let send = |s: usize| batches.get(s).map(staged);
            let mut next = send(0);
            let mut losses = Vec::new();
            while let Some(batch) = next.take() {
                let s = losses.len();
                let mut meanwhile = || next = if ahead { send(s + 1) } else { None };
                let examples = Examples::Staged(&batch);
                let stats = child.train_on(&arc(), examples, &step(s as u64), &mut meanwhile);
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
fn refused(result: Result<StepStats, Error>, word: &str) {
    let error = result.expect_err("it is refused");
    assert!(matches!(&error, Error::Batch(_)) && error.to_string().contains(word), "{error}");
}

#[test]
fn batches_that_do_not_fit_are_refused_with_a_reason() {
    let set = Set::new();
    let gpu = devices::all().remove(0);
    let (mut child, resident) = (on(&gpu), set.resident(&gpu));
    let (pixels, classes) = set.host(&[0, 1]);
    let (few, wrong) = (labels(&[0]), labels(&[0, 3]));
    let staged =
        |images: &Tensor, labels: &Tensor| Staged::new(&gpu, images, labels).expect("the GPU does not fail");
    let mut run = |examples: Examples<'_>| child.train_on(&arc(), examples, &step(0), &mut || ());
    refused(run(Examples::Resident { set: &resident, indices: &[3, 30] }), "no picture 30 among the 30");
    refused(run(Examples::Resident { set: &resident, indices: &[] }), "no pictures");
    refused(run(Examples::Staged(&staged(&pixels, &few))), "1 labels for 2");
    let flat = pixels.flatten_all().expect("contiguous");
    refused(
        run(Examples::Staged(&staged(&flat, &classes))),
        "images are [90] of F32, the network takes [n, 1, 5, 9]",
    );
    refused(run(Examples::Staged(&staged(&pixels, &wrong))), "label 3");
    refused(run(Examples::Tensors { images: &pixels, labels: &wrong, mix: None }), "label 3");
    let shares = labels(&[0, 1]).to_dtype(candle_core::DType::F32).expect("numbers");
    let examples = Examples::Tensors { images: &pixels, labels: &shares, mix: None };
    refused(run(examples), "labels are [2] of F32, the network takes [n] of U32");

    let padded_stride = Set { labels: vec![5; 30], ..Set::new() };
    refused(run(Examples::Resident { set: &padded_stride.resident(&gpu), indices: &[1] }), "label 5");
    let elsewhere = devices::all().remove(0);
    refused(run(Examples::Resident { set: &set.resident(&elsewhere), indices: &[1] }), "another GPU");
    let mut here = on_cpu();
    refused(here(Examples::Resident { set: &resident, indices: &[1] }), "the network is not");
}

/// Steps of a network on the CPU.
fn on_cpu() -> impl FnMut(Examples<'_>) -> Result<StepStats, Error> {
    let mut child = child();
    move |examples| child.train_on(&arc(), examples, &step(0), &mut || ())
}

#[test]
fn sets_of_another_shape_are_refused() {
    let gpu = devices::all().remove(0);
    let set = Set::new();
    let place = |len: usize, tables: &[[f32; 256]]| {
        ResidentImages::place(&gpu, INPUT, |i| &set.pixels[i..][..len], &set.labels, tables).map(drop)
    };
    place(45, &set.tables).expect("it fits");
    let error = place(44, &set.tables).expect_err("a byte is missing");
    assert!(error.to_string().contains("picture 0 has 44 bytes"), "{error}");
    let error = place(45, &[]).expect_err("a channel has no table");
    assert!(error.to_string().contains("0 tables for 1 channels"), "{error}");
}
