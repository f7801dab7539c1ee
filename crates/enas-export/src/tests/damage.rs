//! The check rejects files that do not compute the same as the network.

use prost::Message;

use super::subject::{DEEP, LOOSE_INPUT, Shape, Subject, WIDE};
use crate::error::Error;
use crate::proto::{Attribute, Model, Node, Tensor};

fn assert_refused(subject: &Subject, model: &Model, what: &str) {
    let verdict = subject.verdict(model);
    assert!(matches!(verdict, Err(Error::Differs { .. })), "{what}: {verdict:?}");
}

/// A copy of the file with a change.
fn changed(model: &Model, change: impl FnOnce(&mut Model)) -> Model {
    let mut changed = model.clone();
    change(&mut changed);
    changed
}

fn tensor(model: &mut Model, i: usize) -> &mut Tensor {
    &mut model.graph.as_mut().unwrap().initializer[i]
}

#[test]
fn no_constant_can_be_changed_without_being_noticed() {
    let subject = Shape::small(DEEP).network();
    let model = subject.exported();
    for (i, constant) in model.graph.as_ref().unwrap().initializer.iter().enumerate() {
        if constant.data_type != Some(Tensor::FLOAT) {
            continue;
        }
        let damaged = changed(&model, |model| {
            let bytes = tensor(model, i).raw_data.as_mut().unwrap();
            for x in bytes.chunks_exact_mut(4) {
                let old = f32::from_le_bytes([x[0], x[1], x[2], x[3]]);
                x.copy_from_slice(&(1.1 * old + 0.02).to_le_bytes());
            }
        });
        assert_refused(&subject, &damaged, constant.name.as_deref().unwrap());
    }
}

#[test]
fn a_single_perturbed_weight_is_refused_with_its_place() {
    let subject = Shape::small(WIDE).network();
    let damaged = changed(&subject.exported(), |model| {
        let constants = &mut model.graph.as_mut().unwrap().initializer;
        let fc = constants.iter_mut().find(|c| c.name.as_deref() == Some("fc/w")).unwrap();
        // The first weight of class 3.
        fc.raw_data.as_mut().unwrap()[12..16].copy_from_slice(&9.0f32.to_le_bytes());
    });
    let message = subject.verdict(&damaged).unwrap_err().to_string();
    assert!(
        message.contains("m.onnx") && message.contains("class 3)") && message.contains("is allowed"),
        "{message}"
    );
}

/// A copy of the file in which `change` was applied to attribute `name` of all nodes with operator `op`.
///
/// `change` returns whether it changed something; at least one call must.
fn with_attribute(
    model: &Model,
    op: &str,
    name: &str,
    change: impl Fn(&Node, &mut Attribute) -> bool,
) -> Model {
    changed(model, |model| {
        let nodes = &mut model.graph.as_mut().unwrap().node;
        let mut hits = 0;
        for node in nodes.iter_mut().filter(|node| node.op_type.as_deref() == Some(op)) {
            let before = node.clone();
            let attribute = node.attribute.iter_mut().find(|a| a.name.as_deref() == Some(name)).unwrap();
            hits += usize::from(change(&before, attribute));
        }
        assert!(hits > 0, "no {op} with such {name}");
    })
}

#[test]
fn averages_over_padding_are_refused() {
    let subject = Shape::small(WIDE).network();
    let damaged = with_attribute(&subject.exported(), "AveragePool", "count_include_pad", |_, attribute| {
        attribute.i = Some(1);
        true
    });
    assert_refused(&subject, &damaged, "count_include_pad");
}

#[test]
fn padding_on_the_wrong_side_is_refused() {
    // With an even size and stride 2, SAME padding is larger on one side than on the other.
    let subject = Shape::small(LOOSE_INPUT).network();
    for op in ["Conv", "AveragePool", "MaxPool"] {
        let damaged = with_attribute(&subject.exported(), op, "pads", |_, attribute| {
            let swapped = [2, 3, 0, 1].map(|i| attribute.ints[i]);
            let differs = swapped[..] != attribute.ints[..];
            attribute.ints = swapped.to_vec();
            differs
        });
        assert_refused(&subject, &damaged, op);
    }
}

#[test]
fn swapped_outputs_are_refused() {
    let subject = Shape::small(WIDE).network();
    let damaged = changed(&subject.exported(), |model| model.graph.as_mut().unwrap().output.swap(0, 1));
    assert_refused(&subject, &damaged, "outputs");
}

#[test]
fn numbers_that_are_none_are_refused() {
    let subject = Shape::small(WIDE).network();
    let damaged = changed(&subject.exported(), |model| {
        let last = model.graph.as_ref().unwrap().initializer.len() - 1;
        tensor(model, last).raw_data.as_mut().unwrap()[..4].copy_from_slice(&f32::NAN.to_le_bytes());
    });
    assert_refused(&subject, &damaged, "NaN");
}

#[test]
fn a_truncated_file_is_an_error_that_names_it() {
    let subject = Shape::small(WIDE).network();
    let whole = subject.exported().encode_to_vec();
    for n in (0..whole.len()).step_by(whole.len() / 40) {
        let message = subject
            .verdict_on_bytes(&whole[..n])
            .expect_err(&format!("{n} of {} bytes", whole.len()))
            .to_string();
        assert!(message.contains("m.onnx"), "{n} bytes: {message}");
    }
}
