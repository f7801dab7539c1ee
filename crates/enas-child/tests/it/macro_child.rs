//! Networks of the macro space: their gradients, sizes and costs, and that training uses what the arc says.

use candle_core::Tensor;
use enas_child::{FixedOps, InputShape, MacroArc, MacroChild, MacroConfig, MacroOp, Norm, Seed, Step};
use enas_testing::tensors::{self, Numbers, flat, tensors, vector};

use crate::support::images;

const INPUT: InputShape = InputShape { channels: 2, height: 7, width: 6 };
const CLASSES: usize = 3;

fn config(layers: usize) -> MacroConfig {
    MacroConfig { layers, filters: 4, ..MacroConfig::default() }
}

/// Every operation once, and skips that cross no, one and two reductions.
fn arc() -> MacroArc {
    MacroArc::parse_any(
        "1 = conv-3x3(0)
         2 = sep-conv-3x3(1) + 0
         3 = conv-5x5(2) + 0 + 1
         4 = sep-conv-5x5(3) + 1 + 2
         5 = avg-pool-3x3(4)
         6 = max-pool-3x3(5) + 0 + 2 + 4",
    )
    .unwrap()
}

fn numbers(name: &str, len: usize) -> Vec<f32> {
    let mut stream = Seed::new(7).stream(name, &[]);
    (0..len).map(|_| 2.0 * stream.uniform() - 1.0).collect()
}

fn batch(n: usize) -> (Tensor, Tensor) {
    let data = numbers("images", n * INPUT.channels * INPUT.height * INPUT.width);
    let labels: Vec<u32> = (0..n).map(|i| (i * 2 % CLASSES) as u32).collect();
    (images(data, INPUT), tensors::labels(&labels))
}

fn both_kinds() -> [MacroChild; 2] {
    let config = config(6);
    let seed = Seed::new(3);
    [
        MacroChild::shared(&config, INPUT, CLASSES, seed).unwrap(),
        MacroChild::fixed(&config, &arc(), INPUT, CLASSES, seed).unwrap(),
    ]
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

/// The same tensors, one of them moved along a direction.
fn moved(tensors: &[Numbers], name: &str, direction: &[f32], by: f32) -> Vec<Numbers> {
    let mut tensors = tensors.to_vec();
    let tensor = tensors.iter_mut().find(|tensor| tensor.name == name).unwrap();
    tensor.data.iter_mut().zip(direction).for_each(|(value, d)| *value += by * d);
    tensors
}

#[test]
fn gradients_are_those_of_finite_differences() {
    let (images, labels) = batch(21);
    for mut child in both_kinds() {
        let weights = tensors::numbers(child.weights().expect("on the CPU"));
        let (_, gradients) = child.gradients(&arc(), &images, &labels).unwrap();
        let mut compared = 0;
        for Numbers { name, data, .. } in &tensors::numbers(gradients) {
            let direction = numbers(name, data.len());
            let exact = dot(data, &direction);
            let mut loss = |by: f32| {
                child.load(&tensors(&moved(&weights, name, &direction, by))).unwrap();
                f64::from(child.gradients(&arc(), &images, &labels).unwrap().0)
            };
            // Long steps cross the kinks of ReLUs and of maxima, short ones show how single precision rounds.
            let slopes = [1e-3, 3e-4, 1e-4].map(|by| (loss(by) - loss(-by)) / (2.0 * f64::from(by)));
            let nearest = slopes.map(|slope| (exact - slope).abs()).into_iter().fold(f64::MAX, f64::min);
            assert!(nearest < 0.04 * exact.abs() + 6e-3, "{name}: {exact}, not one of {slopes:?}");
            compared += usize::from(exact.abs() > 0.005);
        }
        assert!(compared > 20, "{compared} gradients that are not zero");
    }
}

#[test]
fn only_the_branches_of_the_arc_have_gradients() {
    let (images, labels) = batch(5);
    let [shared, _] = both_kinds();
    let (_, gradients) = shared.gradients(&arc(), &images, &labels).unwrap();
    for (layer, of_arc) in arc().layers().iter().enumerate() {
        for op in MacroOp::ALL {
            let scope = format!("layer_{layer}/branch_{}/", op.id());
            let mut of_branch = gradients.iter().filter(|(name, _)| name.starts_with(&scope)).peekable();
            assert!(of_branch.peek().is_some(), "{scope}");
            let is_used = of_branch.any(|(_, tensor)| flat(tensor).iter().any(|g| *g != 0.0));
            assert_eq!(is_used, op == of_arc.op, "{scope}");
        }
    }
}

/// Not so in the published code, where every branch is the last one.
#[test]
fn each_operation_makes_another_network() {
    let (images, _) = batch(4);
    let child = MacroChild::shared(&config(1), INPUT, CLASSES, Seed::new(1)).unwrap();
    let logits = MacroOp::ALL.map(|op| {
        let arc = MacroArc::from_ints(&[op.id() as i64]).unwrap();
        flat(&child.logits(&arc, &images, Norm::BatchStatistics, None).unwrap())
    });
    for (i, a) in logits.iter().enumerate() {
        assert!(logits[i + 1..].iter().all(|b| a != b), "operation {i}");
    }
}

#[test]
fn sizes_and_costs_are_what_the_layers_add_up_to() {
    let input = InputShape { channels: 3, height: 32, width: 32 };
    let layers = 12;
    let f = 36;
    let published = MacroConfig::default();
    assert_eq!((published.layers, published.filters, published.reductions()), (layers, f, vec![3, 7]));
    let child = MacroChild::shared(&published, input, 10, Seed::new(0)).unwrap();
    let bn = 2 * f;
    let one = f * f;
    let conv = |k: usize| one + bn + k * k * one + bn;
    let separable = |k: usize| one + bn + k * k * f + one + bn;
    let layer = conv(3) + separable(3) + conv(5) + separable(5) + 2 * (one + bn);
    let reduced = (5 + 9) * (one + bn);
    let stem = 9 * 3 * f + bn;
    assert_eq!(child.n_params(), stem + layers * layer + (layers - 1) * bn + reduced + 10 * f);

    // One layer: stem, 1×1, 3×3, classifier; one with a pool has no 3×3.
    let child = MacroChild::shared(&config(1), INPUT, CLASSES, Seed::new(0)).unwrap();
    let macs = |op: i64| child.macs(&MacroArc::from_ints(&[op]).unwrap()).unwrap();
    let pixels = 7 * 6;
    assert_eq!(macs(0), pixels * (9 * 2 * 4 + 16 + 9 * 16) + 12);
    assert_eq!(macs(5), pixels * (9 * 2 * 4 + 16) + 12);
}

#[test]
fn a_network_of_one_arc_doubles_its_channels_and_joins_by_convolutions() {
    let arc = MacroArc::parse_any("1 = conv-3x3(0); 2 = sep-conv-3x3(1) + 0; 3 = conv-3x3(2)").unwrap();
    let child = |fixed_ops| {
        let config = MacroConfig { fixed_ops, ..config(3) };
        MacroChild::fixed(&config, &arc, INPUT, CLASSES, Seed::new(0)).unwrap()
    };
    // Reductions after layers 1 and 2: 4, 8 and 16 channels.
    let one = |f: usize| f * f;
    let bn = |f: usize| 2 * f;
    let conv = |f: usize| 9 * f * f;
    let branch = |f: usize| one(f) + bn(f) + conv(f) + bn(f);
    let stem = 9 * 2 * 4 + bn(4);
    let reductions = 2 * (4 * 8 + bn(8)) + 3 * (8 * 16 + bn(16));
    let joins = 2 * one(8) + bn(8) + one(16) + bn(16);
    let full = stem + branch(4) + branch(8) + branch(16) + reductions + joins + 16 * CLASSES;
    assert_eq!(child(FixedOps::FullConvolutions).n_params(), full);
    assert_eq!(child(FixedOps::AsSearched).n_params(), full - conv(8) + 9 * 8 + one(8));
}

#[test]
fn both_kinds_learn_and_train_alike_on_any_number_of_threads() {
    let (images, labels) = batch(12);
    for kind in 0..2 {
        let train = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let [shared, fixed] = both_kinds();
                let mut child = if kind == 0 { shared } else { fixed };
                let losses: Vec<f32> = (0..20)
                    .map(|global_step| {
                        let step = Step { lr: 0.05, global_step, total_steps: 20, seed: Seed::new(5) };
                        child.train_step(&arc(), &images, &labels, &step).unwrap().loss
                    })
                    .collect();
                let logits = flat(&child.logits(&arc(), &images, Norm::RunningStatistics, None).unwrap());
                (losses, logits, tensors::numbers(child.weights().expect("on the CPU")))
            })
        };
        let (losses, logits, weights) = train(1);
        assert!(losses[19] < 0.7 * losses[0], "{losses:?}");
        assert!(logits.iter().all(|logit| logit.is_finite()));
        assert_eq!(train(3), (losses, logits, weights));
    }
}

#[test]
fn moving_statistics_do_not_join_the_images_of_a_batch() {
    let (images, labels) = batch(20);
    for mut child in both_kinds() {
        let step = Step { lr: 0.05, global_step: 0, total_steps: 1, seed: Seed::new(5) };
        child.train_step(&arc(), &images, &labels, &step).unwrap();
        let logits = |images: &Tensor, norm| flat(&child.logits(&arc(), images, norm, None).unwrap());
        let all = logits(&images, Norm::RunningStatistics);
        let one = logits(&images.narrow(0, 0, 1).unwrap(), Norm::RunningStatistics);
        assert_eq!(all[..CLASSES], one[..]);
        let batch = logits(&images, Norm::BatchStatistics);
        assert_ne!(all, batch);
    }
}

#[test]
fn maps_of_any_size_go_through() {
    for (height, width) in [(1, 1), (2, 5), (3, 3), (12, 12)] {
        let input = InputShape { channels: 1, height, width };
        let mut child = MacroChild::shared(&config(6), input, CLASSES, Seed::new(0)).unwrap();
        let images = images(numbers("any size", 5 * height * width), input);
        let labels = tensors::labels(&[0, 1, 2, 0, 1]);
        let step = Step { lr: 0.01, global_step: 0, total_steps: 1, seed: Seed::new(5) };
        let stats = child.train_step(&arc(), &images, &labels, &step).unwrap();
        assert!(stats.loss.is_finite() && stats.grad_norm.is_finite(), "{height}x{width}: {stats:?}");
    }
}

#[test]
fn what_does_not_fit_is_named() {
    let [shared, mut fixed] = both_kinds();
    let short = MacroArc::from_ints(&[0]).unwrap();
    let said = |error: enas_child::Error| error.to_string();
    assert!(said(shared.macs(&short).unwrap_err()).contains("it has 1 layers, the network 6 (macro.layers)"));
    let other = MacroArc::random(6, &mut Seed::new(1).stream("other", &[]));
    assert!(said(fixed.macs(&other).unwrap_err()).contains("the network was built for"));
    let full = MacroConfig { fixed_ops: FixedOps::FullConvolutions, ..config(6) };
    let error = said(MacroChild::fixed(&full, &arc(), INPUT, CLASSES, Seed::new(0)).unwrap_err());
    assert!(error.contains("layer 5 is avg-pool-3x3, and there are full convolutions only"), "{error}");
    let padded_stride = MacroConfig { filters: 5, ..config(6) };
    let error = said(MacroChild::shared(&padded_stride, INPUT, CLASSES, Seed::new(0)).unwrap_err());
    assert!(error.contains("macro.filters = 5 is out of range; allowed: even numbers"), "{error}");
    let error = said(MacroChild::shared(&config(6), INPUT, 1, Seed::new(0)).unwrap_err());
    assert!(error.contains("number of classes = 1"), "{error}");
    let error = said(fixed.gradients(&arc(), &vector(&[0.0; 5]), &tensors::labels(&[0])).unwrap_err());
    let both = "bad batch: images are [5] of F32, the network takes [n, 2, 7, 6] of F32";
    assert!(error.starts_with(both), "{error}");
    let mut weights = fixed.weights().expect("on the CPU");
    weights.pop();
    assert!(said(fixed.load(&weights).unwrap_err()).contains("is missing"));
}

#[test]
fn a_restored_network_goes_on_as_if_never_interrupted() {
    let (images, labels) = batch(6);
    let train = |child: &mut MacroChild, global_step: u64| {
        let step = Step { lr: 0.05, global_step, total_steps: 4, seed: Seed::new(2) };
        child.train_step(&arc(), &images, &labels, &step).unwrap()
    };
    for (mut first, mut second) in both_kinds().into_iter().zip(both_kinds()) {
        for step in 0..2 {
            train(&mut first, step);
        }
        second.load(&first.state().unwrap()).unwrap();
        assert_eq!(train(&mut first, 2), train(&mut second, 2));
        assert_eq!(tensors::numbers(first.state().unwrap()), tensors::numbers(second.state().unwrap()));
        let mut missing = first.weights().unwrap();
        missing.pop();
        assert!(second.load(&missing).is_err());
    }
}

#[test]
fn weights_of_classes_and_smoothing_change_the_loss_and_bad_ones_are_refused() {
    let (images, labels) = batch(6);
    let step = Step { lr: 0.05, global_step: 0, total_steps: 1, seed: Seed::new(2) };
    let loss = |change: fn(&mut MacroChild)| {
        let [mut child, _] = both_kinds();
        change(&mut child);
        child.train_step(&arc(), &images, &labels, &step).unwrap().loss
    };
    let plain = loss(|_| ());
    assert_ne!(loss(|child| child.weigh_classes(&vector(&[1.0, 2.0, 3.0])).unwrap()), plain);
    assert_ne!(loss(|child| child.smooth_labels(0.1).unwrap()), plain);
    let [mut child, _] = both_kinds();
    assert!(child.weigh_classes(&vector(&[1.0])).is_err() && child.smooth_labels(1.0).is_err());
}
