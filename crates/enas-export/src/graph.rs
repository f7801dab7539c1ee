//! Assembles an ONNX graph node by node.

use std::collections::BTreeMap;

use candle_core::Result;

use crate::proto::{Attribute, Dimension, Graph, Node, Shape, Tensor, TensorType, Type, ValueInfo};

/// The version of the ONNX operator set. It is of 2020, so that older runtimes can read the files, too.
pub(crate) const OPSET: i64 = 13;

/// A graph under construction.
#[derive(Debug, Default)]
pub(crate) struct Builder {
    nodes: Vec<Node>,
    constants: Vec<Tensor>,
    /// How often each name was requested.
    names: BTreeMap<String, usize>,
}

impl Builder {
    /// Adds a node and returns the name of its output: `name`, with a number appended if it is taken.
    ///
    /// The node itself has another name, because some runtimes keep nodes and values in one table.
    pub(crate) fn node(&mut self, name: &str, op: &str, inputs: &[&str]) -> String {
        let name = self.unique(name);
        self.nodes.push(Node {
            input: inputs.iter().map(|input| (*input).to_owned()).collect(),
            output: vec![name.clone()],
            name: Some(format!("{name}:{op}")),
            op_type: Some(op.to_owned()),
            attribute: Vec::new(),
        });
        name
    }

    /// Adds an integer attribute to the node that was added last.
    pub(crate) fn set(&mut self, name: &str, value: i64) {
        self.attribute(Attribute {
            name: Some(name.to_owned()),
            i: Some(value),
            ints: Vec::new(),
            r#type: Some(Attribute::INT),
        });
    }

    /// Adds an attribute with a list of integers to the node that was added last.
    pub(crate) fn set_all(&mut self, name: &str, values: &[usize]) {
        self.attribute(Attribute {
            name: Some(name.to_owned()),
            i: None,
            ints: values.iter().map(|value| *value as i64).collect(),
            r#type: Some(Attribute::INTS),
        });
    }

    fn attribute(&mut self, attribute: Attribute) {
        self.nodes.last_mut().expect("a setting follows its operation").attribute.push(attribute);
    }

    /// Reserves the name of a value that is not the output of a node.
    pub(crate) fn reserve(&mut self, name: &str) -> String {
        self.unique(name)
    }

    /// Adds a constant tensor of `f32` (an initializer) and returns its name.
    ///
    /// # Errors
    /// If the tensor has another type.
    pub(crate) fn floats(&mut self, name: &str, numbers: &candle_core::Tensor) -> Result<String> {
        let name = self.unique(name);
        let flat = numbers.flatten_all()?.to_vec1::<f32>()?;
        let bytes = flat.into_iter().flat_map(f32::to_le_bytes).collect();
        self.constants.push(constant(&name, Tensor::FLOAT, numbers.dims(), bytes));
        Ok(name)
    }

    /// Adds a constant vector of `i64` (an initializer) and returns its name.
    pub(crate) fn integers(&mut self, name: &str, numbers: &[i64]) -> String {
        let name = self.unique(name);
        let bytes = numbers.iter().flat_map(|x| x.to_le_bytes()).collect();
        self.constants.push(constant(&name, Tensor::INT64, &[numbers.len()], bytes));
        name
    }

    /// Returns the finished graph.
    pub(crate) fn finish(self, name: &str, input: Vec<ValueInfo>, output: Vec<ValueInfo>) -> Graph {
        Graph { node: self.nodes, name: Some(name.to_owned()), initializer: self.constants, input, output }
    }

    fn unique(&mut self, name: &str) -> String {
        let times = self.names.entry(name.to_owned()).or_default();
        *times += 1;
        // Names of the network contain no `#`, so a numbered name cannot equal another one.
        if *times == 1 { name.to_owned() } else { format!("{name}#{times}") }
    }
}

/// An input or output `[batch, sizes…]` of `f32` with a dynamic batch size.
pub(crate) fn value(name: &str, sizes: &[usize], doc: &str) -> ValueInfo {
    let batch = Dimension { dim_value: None, dim_param: Some("batch".to_owned()) };
    let sizes = sizes.iter().map(|size| Dimension { dim_value: Some(*size as i64), dim_param: None });
    let shape = Shape { dim: std::iter::once(batch).chain(sizes).collect() };
    let tensor_type = TensorType { elem_type: Some(Tensor::FLOAT), shape: Some(shape) };
    ValueInfo {
        name: Some(name.to_owned()),
        r#type: Some(Type { tensor_type: Some(tensor_type) }),
        doc_string: Some(doc.to_owned()),
    }
}

fn constant(name: &str, data_type: i32, shape: &[usize], bytes: Vec<u8>) -> Tensor {
    Tensor {
        dims: shape.iter().map(|size| *size as i64).collect(),
        data_type: Some(data_type),
        name: Some(name.to_owned()),
        raw_data: Some(bytes),
    }
}
