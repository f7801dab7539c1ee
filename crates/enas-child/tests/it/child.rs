//! What a child network promises beyond equality with the reference.

use candle_core::Tensor;
use enas_arc::Arc;
use enas_child::{
    AuxHead, Batch, BatchStatistics, Child, Config, InputShape, MixedLabels, NamedTensor, Norm, Reductions,
    SharedInit, Step,
};
use enas_rng::Seed;
use enas_testing::tensors::{self, Numbers, flat, numbers, tensors, vector};

use crate::support::labelled_images;

const ARC: &str = "0 0 1 4 2 2 0 3  0 1 1 4 2 2 1 3";

fn config() -> Config {
    Config {
        aux_head: AuxHead::Trained,
        keep_prob: 0.9,
        drop_path_keep: 0.8,
        l2: 1e-4,
        ..Config::plain(4, 2, 2)
    }
}

fn arc() -> Arc {
    ARC.parse().expect("a valid arc")
}

fn step(global_step: u64) -> Step {
    Step { lr: 0.05, global_step, total_steps: 10, seed: Seed::new(4) }
}

const INPUT: InputShape = InputShape { channels: 1, height: 8, width: 8 };

fn train(child: &mut Child, steps: std::ops::Range<u64>) -> Vec<f32> {
    let (images, labels) = labelled_images(20, INPUT);
    steps.map(|s| child.train_step(&arc(), &images, &labels, &step(s)).expect("it trains").loss).collect()
}

/// The standard deviation of a normal distribution of deviation 1 that is cut at two deviations.
const TRUNCATED: f64 = 0.8796;

#[test]
fn shared_tables_start_with_the_fan_in_that_their_setting_names() {
    // Kernels of 3×3: 9 inputs for a depthwise filter, 64 channels for a 1×1 convolution, as the first cell of so small
    // a network is a reduction cell. Tables count their rows: the inputs that node `n` may read, n + 2 of them.
    for (shared_init, depthwise, pointwise) in
        [(SharedInit::Table, [2.0_f64, 3.0], [2.0_f64, 3.0]), (SharedInit::Kernel, [9.0, 9.0], [64.0, 64.0])]
    {
        let config = Config { filters: 32, shared_init, ..config() };
        let child = Child::shared(&config, INPUT, 3, Seed::new(1)).expect("valid");
        let weights = child.weights().expect("they can be copied");
        for node in 0..2 {
            for (table, fan_in) in [("w_depth", depthwise[node]), ("w_point", pointwise[node])] {
                let name = format!("layer_0/cell_{node}/x/conv_3x3/stack_0/{table}");
                let (_, tensor) = weights.iter().find(|(own, _)| *own == name).expect("a published name");
                let numbers: Vec<f32> = tensor.flatten_all().unwrap().to_vec1().unwrap();
                let squares: f64 = numbers.iter().map(|x| f64::from(*x).powi(2)).sum();
                let deviation = (squares / numbers.len() as f64).sqrt();
                let expected = TRUNCATED * (2.0 / fan_in).sqrt();
                assert!((deviation / expected - 1.0).abs() < 0.1, "{name}: {deviation}, not {expected}");
            }
        }
    }
}

#[test]
fn both_kinds_learn_a_simple_task() {
    for mut child in [
        Child::shared(&config(), INPUT, 3, Seed::new(1)).expect("valid"),
        Child::fixed(&config(), &arc(), INPUT, 3, Seed::new(1)).expect("valid"),
    ] {
        let losses = train(&mut child, 0..30);
        assert!(losses[29] < 0.5 * losses[0], "{losses:?}");
    }
}

#[test]
fn a_network_that_no_machine_can_hold_is_refused_before_memory_is_taken() {
    let refusal =
        |config: Config, input| Child::shared(&config, input, 3, Seed::new(1)).unwrap_err().to_string();
    let large = Config { filters: 4096, layers: 200, nodes: 20, ..config() };
    let error = refusal(large, INPUT);
    assert!(
        error.contains("weights in the whole network") && error.contains("1073741824 weights"),
        "{error}"
    );
    let wide = Config { filters: 4096, layers: 1, ..config() };
    let error = refusal(wide.clone(), InputShape { channels: 3, height: 4096, width: 4096 });
    assert!(
        error.contains("child.filters = 4096 on 4096x4096 pixels") && error.contains("134217728"),
        "{error}"
    );
    let endless = InputShape { channels: 3, height: usize::MAX, width: usize::MAX };
    assert!(refusal(config(), endless).contains("here are 18446744073709551615"));
}

#[test]
fn a_network_is_built_within_a_number_of_weights_or_not_at_all() {
    let whole = Child::fixed(&config(), &arc(), INPUT, 3, Seed::new(1)).expect("valid");
    let weights = whole.n_params() + whole.n_aux_params();
    let within = |most| Child::fixed_within(&config(), &arc(), INPUT, 3, Seed::new(1), most);
    assert_eq!(
        flat(&within(weights).expect("as many as it has").weights().unwrap()[0].1),
        flat(&whole.weights().unwrap()[0].1)
    );
    let error = within(weights - 1).unwrap_err().to_string();
    assert!(error.contains(&format!("with {weights} weights")), "{error}");
}

/// Weights, momentum and statistics are all that continuing needs.
#[test]
fn a_restored_child_continues_to_the_same_bytes() {
    let make = || Child::fixed(&config(), &arc(), INPUT, 3, Seed::new(1)).expect("valid");
    let mut straight = make();
    train(&mut straight, 0..6);
    let mut first = make();
    train(&mut first, 0..3);
    let mut second = make();
    second.load(&first.state().expect("on the CPU")).expect("the state fits");
    train(&mut second, 3..6);
    assert_eq!(state(&straight), state(&second));
}

#[test]
fn threads_do_not_change_a_bit() {
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
        pool.install(|| {
            let mut child = Child::shared(&config(), INPUT, 3, Seed::new(1)).expect("valid");
            let (images, labels) = labelled_images(70, INPUT);
            for s in 0..3 {
                child.train_step(&arc(), &images, &labels, &step(s)).expect("it trains");
            }
            state(&child)
        })
    };
    let one = run(1);
    assert!(one == run(2) && one == run(3));
}

/// Sizes that do not halve evenly, down to a single pixel, and images that are not square.
#[test]
fn any_size_works() {
    for (height, width) in [(1, 1), (2, 3), (5, 5), (7, 7), (7, 9), (28, 28), (13, 6)] {
        for reductions in [Reductions::Two, Reductions::Three] {
            let input = InputShape { channels: 3, height, width };
            let config = Config { reductions, layers: 4, ..config() };
            let (images, labels) = labelled_images(5, input);
            for mut child in [
                Child::shared(&config, input, 3, Seed::new(1)).expect("valid"),
                Child::fixed(&config, &arc(), input, 3, Seed::new(1)).expect("valid"),
            ] {
                let stats = child.train_step(&arc(), &images, &labels, &step(0)).expect("it trains");
                assert!(stats.loss.is_finite() && stats.grad_norm.is_finite(), "{height}x{width}: {stats:?}");
                let logits = child.logits(&arc(), &images, Norm::BatchStatistics, None).expect("it runs");
                assert!(flat(&logits).iter().all(|l| l.is_finite()), "{height}x{width}");
            }
        }
    }
}

/// An image's logits do not depend on what else is in the batch once statistics are fixed.
#[test]
fn running_statistics_make_images_independent() {
    let mut child = Child::fixed(&config(), &arc(), INPUT, 3, Seed::new(1)).expect("valid");
    train(&mut child, 0..3);
    let (images, _) = labelled_images(37, INPUT);
    let together = flat(&child.logits(&arc(), &images, Norm::RunningStatistics, None).expect("it runs"));
    for i in 0..37 {
        let image = images.narrow(0, i, 1).expect("there are so many");
        let alone = child.logits(&arc(), &image, Norm::RunningStatistics, None).expect("it runs");
        assert_eq!(flat(&alone), together[3 * i..3 * i + 3], "image {i}");
    }
}

#[test]
fn folding_changes_no_logit() {
    let mut child = Child::fixed(&config(), &arc(), INPUT, 3, Seed::new(1)).expect("valid");
    train(&mut child, 0..5);
    let folded = child.folded().expect("a fixed network folds");
    let (images, _) = labelled_images(20, INPUT);
    let logits =
        |child: &Child| flat(&child.logits(&arc(), &images, Norm::RunningStatistics, None).expect("it runs"));
    let plain = logits(&child);
    let folded = logits(&folded);
    let largest = plain.iter().fold(0.0f32, |m, l| m.max(l.abs()));
    for (a, b) in plain.iter().zip(&folded) {
        assert!((a - b).abs() < 1e-5 * largest, "{a} became {b}");
    }
    assert_ne!(plain, folded, "folding rounds differently; equal bits mean nothing was folded");
}

/// Central differences along the gradient: the loss must rise by the gradient's squared norm.
#[test]
fn gradients_predict_the_loss() {
    let quiet = Config { keep_prob: 1.0, drop_path_keep: 1.0, ..config() };
    let weigh = |mut child: Child, weights: Option<[f32; 3]>| {
        weights.iter().for_each(|w| child.weigh_classes(&vector(w)).expect("one per class"));
        child
    };
    let weighed = Some([0.2, 2.3, 0.5]);
    for (child, weights) in [
        (Child::shared(&quiet, INPUT, 3, Seed::new(1)), None),
        (Child::fixed(&quiet, &arc(), INPUT, 3, Seed::new(1)), None),
        (Child::fixed(&quiet, &arc(), INPUT, 3, Seed::new(1)), weighed),
    ] {
        let child = weigh(child.expect("valid"), weights);
        let (images, labels) = labelled_images(20, INPUT);
        let noise = enas_child::SeededNoise { seed: Seed::new(0), step: 0 };
        let seen = child.inspect(&arc(), &images, &labels, &noise, 0, 1).expect("it runs");
        let squares = f64::from(seen.grad_norm).powi(2);
        let loss_at = |t: f32| {
            let moved = match child.arc() {
                Some(arc) => Child::fixed(&quiet, arc, INPUT, 3, Seed::new(1)),
                None => Child::shared(&quiet, INPUT, 3, Seed::new(1)),
            };
            let mut moved = weigh(moved.expect("valid"), weights);
            let mut weights = numbers(child.weights().expect("on the CPU"));
            for gradient in &numbers(seen.gradients.clone()) {
                let weight =
                    weights.iter_mut().find(|w| w.name == gradient.name).expect("gradients are of weights");
                weight.data.iter_mut().zip(&gradient.data).for_each(|(w, g)| *w += t * g);
            }
            moved.load(&tensors(&weights)).expect("the weights fit");
            f64::from(moved.inspect(&arc(), &images, &labels, &noise, 0, 1).expect("it runs").total_loss)
        };
        let t = 1e-3 / seen.grad_norm;
        let slope = (loss_at(t) - loss_at(-t)) / f64::from(2.0 * t);
        assert!((slope / squares - 1.0).abs() < 0.02, "slope {slope}, gradient² {squares}");
    }
}

#[test]
fn class_weights_of_one_change_no_bit_and_others_do() {
    let losses = |weights: Option<[f32; 3]>| {
        let mut child = Child::fixed(&config(), &arc(), INPUT, 3, Seed::new(1)).expect("valid");
        weights.iter().for_each(|w| child.weigh_classes(&vector(w)).expect("one per class"));
        (train(&mut child, 0..3), state(&child))
    };
    assert_eq!(losses(Some([1.0; 3])), losses(None));
    assert_ne!(losses(Some([0.5, 1.0, 1.5])).0, losses(None).0);
}

#[test]
fn class_weights_that_do_not_fit_are_refused() {
    let mut child = Child::fixed(&config(), &arc(), INPUT, 3, Seed::new(1)).expect("valid");
    let mut refused =
        |weights: &[f32]| child.weigh_classes(&vector(weights)).expect_err("refused").to_string();
    assert!(refused(&[1.0; 2]).contains("as many as there are classes: 3"), "{}", refused(&[1.0; 2]));
    assert!(refused(&[1.0, f32::NAN, 1.0]).contains("numbers above 0"), "{}", refused(&[1.0, -1.0, 1.0]));
}

#[test]
fn shared_and_fixed_networks_count_multiply_adds() {
    let shared = Child::shared(&config(), INPUT, 3, Seed::new(1)).expect("valid");
    let fixed = Child::fixed(&config(), &arc(), INPUT, 3, Seed::new(1)).expect("valid");
    // The stem alone costs 9·12 multiply-adds on each of 64 pixels.
    assert!(shared.macs(&arc()).expect("fits") > 9 * 12 * 64);
    assert!(fixed.macs(&arc()).expect("fits") > 9 * 12 * 64);
    let pools = "0 2 1 2 2 2 0 2  0 2 1 2 2 2 1 2".parse().expect("valid");
    assert!(shared.macs(&pools).expect("fits") < shared.macs(&arc()).expect("fits"));
}

#[test]
fn what_does_not_fit_is_refused_with_a_reason() {
    let child = Child::fixed(&config(), &arc(), INPUT, 3, Seed::new(1)).expect("valid");
    let other: Arc = "0 0 1 4 2 2 0 3  0 1 1 4 2 2 1 4".parse().expect("valid");
    let three = "0 0 1 4 2 2 0 3 0 0 0 0  0 1 1 4 2 2 1 3 0 0 0 0".parse().expect("valid");
    let (images, _) = labelled_images(2, INPUT);
    let message = |arc: &Arc, images: &Tensor| {
        child.logits(arc, images, Norm::RunningStatistics, None).expect_err("it must be refused").to_string()
    };
    assert!(message(&other, &images).contains("was built for"), "{}", message(&other, &images));
    assert!(
        message(&three, &images).contains("3 nodes per cell, the network 2"),
        "{}",
        message(&three, &images)
    );
    let both = "images are [2, 8, 8, 1] of F32, the network takes [n, 1, 8, 8] of F32";
    let turned = images.permute((0, 2, 3, 1)).expect("four axes");
    assert!(message(&arc(), &turned).contains(both), "{}", message(&arc(), &turned));
    let one = images.get(0).expect("an image");
    let none = images.narrow(0, 0, 0).expect("an empty batch");
    assert!(message(&arc(), &one).contains("images are [1, 8, 8] of F32"), "{}", message(&arc(), &one));
    assert!(message(&arc(), &none).contains("images are [0, 1, 8, 8] of F32"), "{}", message(&arc(), &none));
    let padded_stride =
        Child::shared(&Config { filters: 5, ..config() }, INPUT, 3, Seed::new(1)).expect_err("padded_stride");
    assert_eq!(padded_stride.to_string(), "child.filters = 5 is out of range; allowed: even numbers");
    let mut weights = child.weights().expect("on the CPU");
    weights[0].1 = Tensor::cat(&[&weights[0].1, &weights[0].1], 0).expect("two of a shape");
    let mut loaded = Child::fixed(&config(), &arc(), INPUT, 3, Seed::new(1)).expect("valid");
    let error = loaded.load(&weights).expect_err("a wrong shape").to_string();
    assert!(error.contains("stem_conv/w has shape [6, 3, 1, 12]"), "{error}");
    let shared = Child::shared(&config(), INPUT, 3, Seed::new(1)).expect("valid");
    let error = shared.logits(&arc(), &images, Norm::RunningStatistics, None).expect_err("no statistics");
    assert!(error.to_string().contains("no moving statistics"), "{error}");
}

fn fixed() -> Child {
    Child::fixed(&config(), &arc(), INPUT, 3, Seed::new(1)).expect("valid")
}

fn named(tensors: &[NamedTensor], name: &str) -> Vec<f32> {
    flat(&tensors.iter().find(|(own, _)| own == name).unwrap_or_else(|| panic!("no {name}")).1)
}

fn state(child: &Child) -> Vec<Numbers> {
    numbers(child.state().expect("on the CPU"))
}

#[test]
fn smoothed_labels_change_the_loss_and_a_smoothing_of_nothing_no_bit() {
    let losses = |smoothing: Option<f32>| {
        let mut child = fixed();
        smoothing.iter().for_each(|s| child.smooth_labels(*s).expect("within range"));
        (train(&mut child, 0..3), state(&child))
    };
    assert_eq!(losses(Some(0.0)), losses(None));
    assert_ne!(losses(Some(0.1)).0, losses(None).0);
    for wrong in [-0.1, 1.0, f32::NAN] {
        let error = fixed().smooth_labels(wrong).expect_err("refused").to_string();
        assert!(error.contains("0 or more and below 1"), "{error}");
    }
}

#[test]
fn mixed_targets_lie_between_those_of_their_classes() {
    let (images, labels) = labelled_images(20, INPUT);
    let others: Vec<u32> = (0..20).map(|i| (i + 1) % 3).collect();
    let mix = |others: &[u32], shares: &[f32]| MixedLabels {
        others: tensors::labels(others),
        shares: vector(shares),
    };
    let loss = |share: f32| {
        let mix = mix(&others, &[share; 20]);
        let batch = Batch::mixed(&images, &labels, &mix).expect("whole numbers");
        fixed().train_on(&arc(), &batch, &step(0), &mut || ()).expect("it trains").loss
    };
    let of = |labels: &Tensor| fixed().train_step(&arc(), &images, labels, &step(0)).expect("it trains").loss;
    let others_alone = tensors::labels(&others);
    assert_eq!((loss(1.0), loss(0.0)), (of(&labels), of(&others_alone)));
    assert!((loss(0.25) - (0.25 * of(&labels) + 0.75 * of(&others_alone))).abs() < 1e-5);
    let refused = |others: Vec<u32>, shares: Vec<f32>| {
        let mix = mix(&others, &shares);
        let batch = Batch::mixed(&images, &labels, &mix).expect("whole numbers");
        fixed().train_on(&arc(), &batch, &step(0), &mut || ()).expect_err("refused").to_string()
    };
    assert!(refused(vec![3; 20], vec![0.5; 20]).contains("label 3"));
    assert!(refused(vec![0; 20], vec![0.5; 19]).contains("19 labels for 20 images"));
    assert!(refused(vec![0; 20], vec![1.5; 20]).contains("1.5"));
}

#[test]
fn an_average_follows_the_weights_by_its_decay_and_moves_with_the_state() {
    let mut child = fixed();
    assert!(child.use_average().expect_err("none is kept").to_string().contains("no average"));
    let name = "fc/w";
    let start = named(&child.weights().expect("on the CPU"), name);
    child.keep_average().expect("on the CPU");
    let mut expected = start;
    for i in 0..3 {
        train(&mut child, i..i + 1);
        child.update_average(0.75).expect("on the CPU");
        let weights = child.weights().expect("on the CPU");
        let follow = |(e, w): (&mut f32, &f32)| *e += 0.25 * (w - *e);
        expected.iter_mut().zip(&named(&weights, name)).for_each(follow);
    }
    let of_child = child.state().expect("on the CPU");
    assert_eq!(named(&of_child, "average/fc/w"), expected);
    // Another child with this state gives the same next step.
    let mut other = fixed();
    assert!(other.load(&of_child).is_err(), "it keeps no average");
    let mut other = fixed();
    other.keep_average().expect("on the CPU");
    other.load(&of_child).expect("the state fits");
    for child in [&mut child, &mut other] {
        train(child, 3..4);
        child.update_average(0.5).expect("it can be written");
    }
    assert_eq!(state(&child), state(&other));
    // What is saved is the average; the state before leads back.
    let before = child.state().expect("on the CPU");
    child.use_average().expect("one is kept");
    let weights = child.weights().expect("on the CPU");
    assert_eq!(named(&weights, name), named(&before, "average/fc/w"));
    assert!(weights.iter().all(|(name, _)| !name.starts_with("average/")));
    child.load(&before).expect("its own state");
    assert_eq!(state(&child), numbers(before));
    // Weights without an average start a new one.
    child.load(&fixed().weights().expect("on the CPU")).expect("the weights fit");
    let of_child = child.state().expect("on the CPU");
    assert_eq!(named(&of_child, "average/fc/w"), named(&of_child, name));
}

#[test]
fn statistics_of_batches_are_their_mean_and_make_both_norms_agree() {
    let mut child = fixed();
    train(&mut child, 0..3);
    let before = child.state().expect("on the CPU");
    let (images, _) = labelled_images(32, INPUT);
    let of = |child: &Child, parts: &[&Tensor]| {
        let mut seen = BatchStatistics::default();
        for images in parts {
            child.gather_statistics(&arc(), *images, &mut seen).expect("it runs");
        }
        assert_eq!(seen.batches(), parts.len() as u64);
        seen
    };
    assert_eq!(state(&child), numbers(before.clone()), "gathering changes nothing");
    let mut set = |parts: &[&Tensor]| {
        let seen = of(&child, parts);
        child.set_statistics(&seen).expect("on the CPU");
        let weights = child.weights().expect("on the CPU");
        let mean = named(&weights, "stem_conv/bn/moving_mean");
        let variance = named(&weights, "stem_conv/bn/moving_variance");
        let logits = child.logits(&arc(), &images, Norm::RunningStatistics, None).expect("it runs");
        (mean, variance, flat(&logits))
    };
    let [a, b] = [0, 16].map(|first| images.narrow(0, first, 16).expect("half of them"));
    let whole = set(&[&images]);
    let first = set(&[&a]);
    let second = set(&[&b]);
    let both = set(&[&a, &b]);
    for i in 0..both.0.len() {
        assert!((both.0[i] - (first.0[i] + second.0[i]) / 2.0).abs() < 1e-5);
        assert!((both.1[i] - (first.1[i] + second.1[i]) / 2.0).abs() < 1e-5);
    }
    // With the statistics of the very batch, moving statistics normalise as those of the batch do, but for n/(n − 1).
    let batch = flat(&child.logits(&arc(), &images, Norm::BatchStatistics, None).expect("it runs"));
    let largest = batch.iter().map(|logit| logit.abs()).fold(0.0, f32::max);
    let apart = whole.2.iter().zip(&batch).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(apart < 0.05 * largest, "{apart} of {largest}");
    child.load(&before).expect("its own state");
    assert_eq!(state(&child), numbers(before));
}

#[test]
fn a_network_begins_with_what_fits_of_another_one() {
    let mut old = fixed();
    train(&mut old, 0..3);
    let weights = old.weights().expect("on the CPU");
    let mut same = fixed();
    let adopted = same.load_matching(&weights).expect("on the CPU");
    assert_eq!(adopted.loaded, adopted.total);
    assert_eq!(numbers(same.weights().expect("on the CPU")), numbers(weights.clone()));
    // Moving statistics go on from where they are instead of beginning anew with the next batch.
    let moved = |child: &mut Child| {
        train(child, 3..4);
        named(&child.weights().expect("on the CPU"), "stem_conv/bn/moving_mean")
    };
    let before = named(&weights, "stem_conv/bn/moving_mean");
    let after = moved(&mut same);
    let batch = moved(&mut fixed());
    for i in 0..before.len() {
        let nearer = (after[i] - before[i]).abs() <= 0.2 * (batch[i] - before[i]).abs() + 1e-3;
        assert!(nearer, "{} to {}, not {}", before[i], after[i], batch[i]);
    }
    // Other classes keep the body; another arc keeps what has the same name.
    let mut classes = Child::fixed(&config(), &arc(), INPUT, 5, Seed::new(2)).expect("valid");
    let of_old = classes.load_matching(&weights).expect("on the CPU");
    // The classifiers of the main and of the auxiliary head.
    assert_eq!((of_old.loaded, of_old.total), (adopted.total - 2, adopted.total));
    let other = "0 0 1 4 2 2 0 3  0 1 1 4 2 2 1 0".parse().expect("valid");
    let mut other = Child::fixed(&config(), &other, INPUT, 3, Seed::new(2)).expect("valid");
    let of_old = other.load_matching(&weights).expect("on the CPU");
    assert!(of_old.loaded > 5 && of_old.loaded < of_old.total, "{of_old:?}");
}
