//! What a fixed network says it computes.

use enas_arc::Arc;
use enas_child::{AuxHead, Child, Config, InputShape, Operation};
use enas_rng::Seed;

/// Every operation in both cells, with several loose ends, one of them an input of the reduction cell.
const ARC: &str = "0 0 1 1 0 2 1 3 2 4 0 0  1 0 0 1 1 2 1 3 1 4 2 0";
const INPUT: InputShape = InputShape { channels: 3, height: 9, width: 7 };

fn config() -> Config {
    Config {
        aux_head: AuxHead::Trained,
        keep_prob: 0.9,
        drop_path_keep: 0.8,
        l2: 1e-4,
        ..Config::plain(4, 4, 3)
    }
}

fn child() -> Child {
    let arc: Arc = ARC.parse().expect("a valid arc");
    Child::fixed(&config(), &arc, INPUT, 5, Seed::new(1)).expect("valid")
}

/// Multiply-adds of an operation for one image.
fn macs(operation: &Operation) -> usize {
    match operation {
        Operation::Convolve { convolutions, .. } => {
            let weights = |c: &enas_child::Convolution| {
                (c.matrix.1.elem_count() + c.filter.as_ref().map_or(0, |(_, f)| f.elem_count()))
                    * c.y.out
                    * c.x.out
            };
            convolutions.iter().map(weights).sum()
        }
        Operation::Classify { matrix: (_, matrix), .. } => matrix.elem_count(),
        _ => 0,
    }
}

#[test]
fn an_inference_graph_costs_what_the_network_costs() {
    let child = child();
    let inference_graph = child.inference_graph().expect("a fixed network has one");
    let total: usize = inference_graph.operations.iter().map(macs).sum();
    assert_eq!(total as u64, child.macs(child.arc().expect("fixed")).expect("fits"));
    assert_eq!((inference_graph.input, inference_graph.classes), (INPUT, 5));
}

#[test]
fn operands_are_earlier_values_and_the_last_value_is_the_logits() {
    let inference_graph = child().inference_graph().expect("a fixed network has one");
    for (i, operation) in inference_graph.operations.iter().enumerate() {
        let inputs = match operation {
            Operation::Convolve { inputs, .. }
            | Operation::Concat { inputs }
            | Operation::ReluMean { inputs } => inputs.clone(),
            Operation::Add { inputs } => inputs.to_vec(),
            Operation::Pool { input, .. }
            | Operation::Flatten { input }
            | Operation::Classify { input, .. } => {
                vec![*input]
            }
        };
        assert!(!inputs.is_empty() && inputs.iter().all(|input| *input <= i), "operation {i}: {operation:?}");
    }
    let last = inference_graph.operations.last().expect("there are operations");
    assert!(
        matches!(last, Operation::Classify { matrix: (_, matrix), .. } if matrix.dims().last() == Some(&5)),
        "{last:?}"
    );
}

#[test]
fn the_auxiliary_head_is_no_part_of_inference() {
    let inference_graph = child().inference_graph().expect("a fixed network has one");
    let text = format!("{inference_graph:?}");
    assert!(text.contains("\"stem_conv/w\"") && text.contains("\"fc/w\""), "{text}");
    assert!(!text.contains("aux_head"), "{text}");
}

#[test]
fn shared_weights_have_no_inference_graph() {
    let shared = Child::shared(&config(), INPUT, 5, Seed::new(1)).expect("valid");
    let error = shared.inference_graph().expect_err("no statistics").to_string();
    assert!(error.contains("no moving statistics"), "{error}");
}
