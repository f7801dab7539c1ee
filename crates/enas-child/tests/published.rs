//! Numbers that the reference code prints or computes: parameter counts, layouts and schedules.
#![forbid(unsafe_code)]

use std::path::Path;

use enas_arc::Arc;
use enas_child::schedule::{Cosine, Staircase};
use enas_child::{Child, Config, InputShape, Reductions};
use enas_rng::Seed;
use enas_testing::goldens::json;
use serde_json::Value;

fn golden(name: &str) -> Value {
    json(&Path::new(env!("CARGO_MANIFEST_DIR")).join("goldens").join(name))
}

fn config(filters: usize, layers: usize, nodes: usize, reductions: Reductions) -> Config {
    Config { reductions, keep_prob: 1.0, ..Config::reference(filters, layers, nodes) }
}

fn number(value: &Value, key: &str) -> usize {
    value[key].as_u64().unwrap_or_else(|| panic!("{key} is a number")) as usize
}

fn variant(value: &Value) -> Reductions {
    if value == "seed" { Reductions::Three } else { Reductions::Two }
}

/// Every network of `param_counts.json`: the totals that the reference prints, five of them also in its logs.
#[test]
fn parameter_counts_equal_the_references() {
    let file = golden("param_counts.json");
    let counts = file["counts"].as_array().expect("a list of counts");
    assert!(counts.len() >= 14);
    for entry in counts {
        let config = config(
            number(entry, "out_filters"),
            number(entry, "num_layers"),
            number(entry, "num_cells"),
            variant(&entry["variant"]),
        );
        let hwc = &entry["image_hwc"];
        let size = |i: usize| hwc[i].as_u64().expect("three sizes") as usize;
        let input = InputShape { channels: size(2), height: size(0), width: size(1) };
        let child = match entry["arc"].as_str() {
            Some(arc) => {
                Child::fixed(&config, &arc.parse::<Arc>().expect("a valid arc"), input, 10, Seed::new(0))
            }
            None => Child::shared(&config, input, 10, Seed::new(0)),
        }
        .expect("a valid network");
        let settings = &entry["settings"];
        assert_eq!(child.n_params(), number(entry, "num_vars_printed"), "{settings}");
        assert_eq!(child.n_aux_params(), number(entry, "aux_head_params"), "{settings}, auxiliary head");
        if let Some(per_layer) = entry["per_layer"].as_object() {
            for (layer, count) in per_layer {
                let ours: usize = child
                    .tensors()
                    .iter()
                    .filter(|(name, _)| name.split('/').next() == Some(layer) && !name.contains("/moving_"))
                    .map(|(_, tensor)| tensor.elem_count())
                    .sum();
                assert_eq!(ours as u64, count.as_u64().expect("a count"), "{settings}, {layer}");
            }
        }
    }
}

/// The published searches of MNIST and CIFAR-10 had an auxiliary head one reduction earlier than today's code;
/// the trunk is the same.
#[test]
fn published_search_networks_have_their_logged_sizes() {
    for (channels, size, reductions, params) in [
        (1, 32, Reductions::Two, 5_372_060),
        (3, 32, Reductions::Two, 5_373_140),
        (3, 64, Reductions::Three, 14_406_260),
    ] {
        let input = InputShape { channels, height: size, width: size };
        let child =
            Child::shared(&config(20, 6, 5, reductions), input, 10, Seed::new(0)).expect("a valid network");
        assert_eq!(child.n_params(), params);
    }
}

#[test]
fn layouts_equal_the_references() {
    let file = golden("schedules.json");
    for entry in file["layout"].as_array().expect("a list of layouts") {
        let layers = number(entry, "num_layers");
        for (name, reductions) in [("authors", Reductions::Two), ("seed", Reductions::Three)] {
            let want: Vec<usize> =
                serde_json::from_value(entry[name]["pool_layers"].clone()).expect("indices");
            assert_eq!(reductions.cells(layers), want, "{name}, {layers} layers");
            let input = InputShape { channels: 1, height: 64, width: 64 };
            let layout = enas_child::NetworkLayout::new(&config(4, layers, 1, reductions), input);
            assert_eq!(layout.aux_after, Some(number(&entry[name], "aux")), "{name}, {layers} layers");
        }
    }
}

/// Exact in single precision, but for the one step after each restart at which the reference mixes old and new
/// state; its file lists those steps, and there the textbook value is ours.
#[test]
fn cosine_schedules_equal_the_references() {
    let file = golden("schedules.json");
    let mut compared = 0;
    for name in ["cosine_search", "cosine_final_authors", "cosine_final_seed", "cosine_heldoutish"] {
        let entry = &file[name];
        let real = |key: &str| entry[key].as_f64().expect("a rate");
        let cosine = Cosine {
            lr_max: real("lr_max"),
            lr_min: real("lr_min"),
            t_0: number(entry, "T_0") as u64,
            t_mul: number(entry, "T_mul") as u64,
            per_step: false,
            warmup_epochs: 0.0,
        };
        let batches = number(entry, "num_train_batches") as u64;
        let restarts = restart_epochs(&cosine);
        let rows = entry["step_lr"].as_array().or(entry["step_lr_last_reset_Ti"].as_array()).expect("steps");
        for row in rows {
            let step = row[0].as_u64().expect("a step");
            let want = row[1].as_f64().expect("a rate") as f32;
            let epoch = step / batches;
            if step % batches == 0 && restarts.contains(&epoch) {
                assert_eq!(cosine.lr(epoch), cosine.lr(0), "{name}, restart at epoch {epoch}");
                continue;
            }
            // One unit in the last place: the cosine itself is rounded differently by different libraries.
            let conv_blocks = cosine.lr(epoch).to_bits().abs_diff(want.to_bits());
            assert!(conv_blocks <= 1, "{name}, step {step}: {} instead of {want}", cosine.lr(epoch));
            compared += 1;
        }
    }
    assert!(compared > 500, "only {compared} steps compared");
}

fn restart_epochs(cosine: &Cosine) -> Vec<u64> {
    let mut epoch = 0;
    let mut length = cosine.t_0;
    let mut epochs = Vec::new();
    while epoch < 1000 {
        epoch += length;
        length *= cosine.t_mul;
        epochs.push(epoch);
    }
    epochs
}

#[test]
fn the_staircase_equals_the_references() {
    let file = golden("schedules.json");
    let entry = &file["exponential_staircase"];
    let real = |key: &str| entry[key].as_f64().expect("a number");
    let every = number(entry, "lr_dec_every_steps") as u64;
    let stairs = Staircase { lr: real("lr_init"), rate: real("lr_dec_rate"), every, warmup_epochs: 0.0 };
    for row in entry["step_lr"].as_array().expect("steps") {
        let step = row[0].as_u64().expect("a step");
        let want = row[1].as_f64().expect("a rate") as f32;
        let got = stairs.lr(step);
        assert!((got - want).abs() <= 1e-6 * want, "step {step}: {got} instead of {want}");
    }
}

#[test]
fn drop_path_schedules_equal_the_references() {
    let file = golden("schedules.json");
    for entry in file["drop_path_keep_prob"].as_array().expect("a list") {
        let mut config = config(4, number(entry, "num_layers"), 1, Reductions::Two);
        config.drop_path_keep = entry["drop_path_keep_prob"].as_f64().expect("a probability") as f32;
        let total = number(entry, "num_train_steps") as u64;
        for row in entry["global_step_then_keep_prob_of_layer_0_1_"].as_array().expect("rows") {
            let row = row.as_array().expect("a row");
            let step = row[0].as_u64().expect("a step");
            for (cell, want) in row[1..].iter().enumerate() {
                let want = want.as_f64().expect("a probability") as f32;
                let got = config.drop_path_keep_at(cell, step, total);
                assert!((got - want).abs() <= 1.2e-7, "step {step}, cell {cell}: {got} instead of {want}");
            }
        }
    }
}
