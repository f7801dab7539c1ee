//! The structure of an exported file.

use std::collections::BTreeSet;

use prost::Message;

use super::subject::{DEEP, Shape, WIDE};
use crate::proto::{Model, Tensor};

#[test]
fn equal_networks_give_equal_bytes() {
    let bytes = || Shape::small(WIDE).network().exported().encode_to_vec();
    assert!(bytes() == bytes());
}

#[test]
fn a_file_reads_back_as_it_was_written() {
    let model = Shape::small(DEEP).network().exported();
    assert_eq!(Model::decode(model.encode_to_vec().as_slice()).unwrap(), model);
}

#[test]
fn names_are_unique_and_nodes_read_what_is_there() {
    let model = Shape::small(WIDE).network().exported();
    let graph = model.graph.unwrap();
    let mut known: BTreeSet<String> = graph.input.iter().map(|input| input.name.clone().unwrap()).collect();
    let constants = graph.initializer.iter().map(|constant| constant.name.clone().unwrap());
    constants.for_each(|name| assert!(known.insert(name.clone()), "{name} twice"));
    for node in &graph.node {
        assert!(node.input.iter().all(|input| known.contains(input)), "{node:?}");
        node.output.iter().for_each(|name| assert!(known.insert(name.clone()), "{name} twice"));
    }
    assert!(graph.output.iter().all(|output| known.contains(output.name.as_deref().unwrap())));
    // Some runtimes keep nodes and values in one table.
    for node in &graph.node {
        let name = node.name.clone().unwrap();
        assert!(known.insert(name.clone()), "{name} is the name of a value or another node");
    }
}

#[test]
fn everything_computed_is_used() {
    let graph = Shape::small(WIDE).network().exported().graph.unwrap();
    let outputs = graph.output.iter().map(|output| output.name.as_deref().unwrap());
    let read: BTreeSet<&str> =
        graph.node.iter().flat_map(|node| node.input.iter().map(String::as_str)).chain(outputs).collect();
    for node in &graph.node {
        assert!(read.contains(node.output[0].as_str()), "nobody reads {node:?}");
    }
    for constant in &graph.initializer {
        assert!(read.contains(constant.name.as_deref().unwrap()), "nobody reads {constant:?}");
    }
}

#[test]
fn only_widely_known_operators_are_used_and_batch_norms_are_gone() {
    let graph = Shape::small(WIDE).network().exported().graph.unwrap();
    let found: BTreeSet<String> = graph.node.into_iter().map(|node| node.op_type.unwrap()).collect();
    let known = [
        "Add",
        "AveragePool",
        "Concat",
        "Conv",
        "Flatten",
        "GlobalAveragePool",
        "MatMul",
        "MaxPool",
        "Mul",
        "Relu",
        "Slice",
        "Softmax",
        "Sub",
    ];
    assert_eq!(found.iter().map(String::as_str).collect::<Vec<_>>(), known);
}

#[test]
fn constants_are_raw_and_as_long_as_their_shape() {
    let graph = Shape::small(WIDE).network().exported().graph.unwrap();
    for Tensor { dims, data_type, name, raw_data } in graph.initializer {
        let width = if data_type == Some(Tensor::FLOAT) { 4 } else { 8 };
        assert_eq!(raw_data.unwrap().len() as i64, width * dims.iter().product::<i64>(), "{name:?}");
    }
}
