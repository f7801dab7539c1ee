//! All instruction sets agree, and the number of threads does not matter at all.

use std::fmt::Write as _;
use std::path::Path;

use enas_kernels::{
    Activation, BatchStats, ConvBlock, ConvBranch, FeatureMap, Im2row, Level, Nesterov, Pool, PoolKind, Term,
    add, add_backward, concat, level, relu_mean, relu_mean_backward,
};
use enas_rng::Stream;
use enas_testing::instruction_sets::{results_at, results_file};
use enas_testing::numbers::{Tolerance, assert_close, bits};

use crate::support::{Shape, coarse, map, stream, uniform, value};

/// Named results of every operation, forward and backward, on shapes with every kind of remainder.
fn results() -> Vec<(String, Vec<f32>)> {
    let mut out = Vec::new();
    for shape in [(1, 3, 1, 1), (17, 5, 7, 9), (33, 20, 16, 15), (3, 21, 33, 31)] {
        let rng = &mut stream("levels", shape);
        conv_blocks(rng, shape, &mut out);
        others(rng, shape, &mut out);
    }
    optimisers(&mut out);
    out
}

fn conv_blocks(rng: &mut Stream, shape: Shape, out: &mut Vec<(String, Vec<f32>)>) {
    let c = shape.1;
    let filter = uniform(rng, 25 * c);
    let depthwise = |k: usize, stride| Im2row::Depthwise { filter: &filter[..k * k * c], k, stride };
    let kinds = [
        vec![Im2row::Pixels],
        vec![Im2row::EverySecond { offset: 0 }, Im2row::EverySecond { offset: 1 }],
        vec![depthwise(3, 1)],
        vec![depthwise(3, 2)],
        vec![depthwise(5, 1)],
        vec![depthwise(5, 2)],
        vec![Im2row::Patches { k: 3 }],
    ];
    for rows in kinds {
        let name = format!("{shape:?} {} {}", rows.len(), kind_name(&rows[0]));
        let taps = if let Im2row::Patches { k } = rows[0] { k * k } else { 1 };
        let weights: Vec<Vec<f32>> = rows.iter().map(|_| uniform(rng, taps * c * 11)).collect();
        let branches: Vec<ConvBranch> = rows
            .iter()
            .zip(&weights)
            .map(|(rows, weight)| ConvBranch { rows: *rows, weight, outputs: 11 })
            .collect();
        let inputs = [value(rng, shape, true).0];
        let conv_block = ConvBlock { inputs: &inputs, relu: true, branches: &branches };
        let (z, stats) = conv_block.forward(true);
        let stats = stats.expect("asked for");
        let gamma = uniform(rng, z.c());
        let (gy, _) = map(rng, z.shape());
        let mut gradients = [None];
        let got = conv_block.backward(&z, &stats, &gamma, &gy, Some(&mut gradients));
        let mut put = |what: &str, values: Vec<f32>| out.push((format!("{name} {what}"), values));
        put("z", z.to_nchw());
        put("mean", stats.mean);
        put("variance", stats.variance);
        put("gamma", got.gamma);
        put("beta", got.beta);
        put("weights", got.weights.concat());
        put("filters", got.filters.concat());
        put("input", gradients[0].as_ref().expect("created").to_nchw());
    }
}

fn kind_name(rows: &Im2row) -> String {
    match rows {
        Im2row::Depthwise { k, stride, .. } => format!("depthwise {k}/{stride}"),
        other => format!("{other:?}"),
    }
}

fn others(rng: &mut Stream, shape: Shape, out: &mut Vec<(String, Vec<f32>)>) {
    let (n, c, h, w) = shape;
    let mut put = |what: &str, values: Vec<f32>| out.push((format!("{shape:?} {what}"), values));
    let a = value(rng, shape, true).0;
    let b = value(rng, shape, false).0;
    for kind in [PoolKind::Average, PoolKind::Max] {
        for (k, stride) in [(3, 1), (3, 2), (5, 3)] {
            let pool = Pool::same(kind, k, stride, h, w).with_relu();
            let result = pool.forward(&a);
            let mut gradient = None;
            pool.backward(&a, &map(rng, result.shape()).0, &mut gradient);
            put(&format!("{kind:?} {k}/{stride}"), result.to_nchw());
            put(&format!("{kind:?} {k}/{stride} gradient"), gradient.expect("created").to_nchw());
        }
    }
    let factors = uniform(rng, n);
    put("add", add(Term { value: &a, factors: Some(&factors) }, Term { value: &b, factors: None }).to_nchw());
    let mut gradient: Option<FeatureMap> = None;
    add_backward(&a.map, Some(&factors), &mut gradient);
    add_backward(&b.map, None, &mut gradient);
    put("add gradient", gradient.expect("created").to_nchw());
    let stats = BatchStats::of(&a.map);
    put("moments", [stats.mean, stats.variance].concat());
    let values: [Activation; 2] = [a, b];
    put("mean", relu_mean(&values));
    put("concat", concat(&values).to_nchw());
    let mut gradients = [None, None];
    relu_mean_backward(&values, &uniform(rng, n * 2 * c), &mut gradients);
    put("mean gradient", gradients[0].as_ref().expect("created").to_nchw());
}

fn optimisers(out: &mut Vec<(String, Vec<f32>)>) {
    let rng = &mut stream("optimisers", (1, 1, 1, 1));
    let len = 40_003;
    let mut w = uniform(rng, len);
    let mut a = uniform(rng, len);
    let g = coarse(rng, len);
    let rule = Nesterov { lr: 0.05, momentum: 0.9, l2: 1e-4, scale: 0.5 };
    let squares = rule.step(&mut w, &mut a, Some(&g));
    out.push(("nesterov".into(), [w, a, vec![squares as f32]].concat()));
}

/// The instruction set of a process that `name` asks for, and the results there.
fn numbers_at(name: &str) -> (String, Vec<Vec<f32>>) {
    let text = String::from_utf8(results_at("levels::instruction_sets_agree", name)).unwrap();
    let (level, rest) = text.split_once('\n').unwrap();
    let numbers = |line: &str| {
        line.split(' ').filter(|w| !w.is_empty()).map(|w| f32::from_bits(w.parse().unwrap())).collect()
    };
    (level.to_owned(), rest.lines().map(numbers).collect())
}

fn write_results(path: &Path) {
    let mut text = format!("{:?}\n", level());
    for (_, values) in results() {
        for value in values {
            write!(text, "{} ", value.to_bits()).unwrap();
        }
        text.push('\n');
    }
    std::fs::write(path, text).unwrap();
}

#[test]
fn instruction_sets_agree() {
    if let Some(path) = results_file() {
        return write_results(&path);
    }
    let names: Vec<String> = results().into_iter().map(|(name, _)| name).collect();
    let (plain, expected) = numbers_at("portable");
    assert_eq!(plain, "Portable");
    for (name, wanted) in [("avx2", Level::Avx2), ("avx512", Level::Avx512)] {
        let (got, values) = numbers_at(name);
        assert!(got == format!("{wanted:?}") || level() < wanted, "{name} ran as {got}");
        assert_eq!(values.len(), names.len());
        for ((name, a), e) in names.iter().zip(&values).zip(&expected) {
            // Gradients of a batch norm cancel: what counts is the size of the tensor they are part of.
            assert_close(&format!("{got} {name}"), a, e, Tolerance { share: 1e-5, least: 1e-3 });
        }
    }
}

#[test]
fn the_number_of_threads_does_not_change_a_bit() {
    let with_threads = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(results).into_iter().map(|(name, values)| (name, bits(&values))).collect::<Vec<_>>()
    };
    let one = with_threads(1);
    for threads in [2, 3] {
        for (a, b) in with_threads(threads).iter().zip(&one) {
            assert!(a == b, "{} differs with {threads} threads", a.0);
        }
    }
}
