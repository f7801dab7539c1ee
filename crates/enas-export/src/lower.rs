//! Lowering of a network to an ONNX graph.
//!
//! This file does not know cells or arcs. The network lists its operations ([`InferenceGraph`]), and each becomes one
//! or a few ONNX nodes. All sizes except the batch are known, so all padding is explicit (`pads`).

use std::collections::BTreeMap;

use candle_core::{Device, Result, Tensor};
use enas_child::{Axis, Convolution, InferenceGraph, NamedTensor, Operation, Pool, PoolKind};
use enas_data::Normalization;

use crate::graph::{Builder, value};
use crate::proto::Graph;

/// Name of the graph's input.
pub(crate) const IMAGES: &str = "pictures";
/// Name of the output with the logits.
pub(crate) const LOGITS: &str = "logits";
/// Name of the output with the class probabilities.
pub(crate) const PROBABILITIES: &str = "probabilities";

/// Builds the graph of a network for images with values from 0 to 1.
///
/// Input: `images` `[batch, c, h, w]`. Outputs: `logits` and `probabilities`, both `[batch, classes]`.
/// Probabilities are the softmax of the logits divided by `temperature`.
///
/// # Errors
/// None in practice: the tensors of an inference graph have the shapes that it describes.
pub(crate) fn lower(
    inference_graph: &InferenceGraph,
    normalization: &Normalization,
    temperature: f64,
    order: &str,
) -> Result<Graph> {
    let mut graph = Builder::default();
    let images = graph.reserve(IMAGES);
    let first = normalize(&mut graph, &images, normalization)?;
    let mut lowering = Lowering { graph, values: vec![first], derived: BTreeMap::new() };
    for operation in &inference_graph.operations {
        let value = lowering.operation(operation)?;
        lowering.values.push(value);
    }
    let Lowering { mut graph, .. } = lowering;
    let scores = if temperature == 1.0 {
        LOGITS.to_owned()
    } else {
        let scale = Tensor::new(&[(1.0 / temperature) as f32], &Device::Cpu)?;
        let scale = graph.floats("calibrate/scale", &scale)?;
        graph.node("calibrate/scaled", "Mul", &[LOGITS, &scale])
    };
    graph.node(PROBABILITIES, "Softmax", &[&scores]);
    graph.set("axis", 1);
    let shape = [inference_graph.input.channels, inference_graph.input.height, inference_graph.input.width];
    let doc = format!("{order} pictures, [batch, channels, height, width], values byte/255 from 0 to 1");
    let inputs = vec![value(IMAGES, &shape, &doc)];
    let outputs = vec![
        value(LOGITS, &[inference_graph.classes], "class scores before the softmax"),
        value(
            PROBABILITIES,
            &[inference_graph.classes],
            "calibrated class probabilities; each row sums to 1",
        ),
    ];
    Ok(graph.finish("enas", inputs, outputs))
}

/// Adds `(x − mean)/std` for values from 0 to 1; `mean` and `std` refer to bytes from 0 to 255.
///
/// This cannot be folded into the first convolution. That one pads with zeros, which do not correspond to zero pixels
/// before the normalisation.
fn normalize(
    graph: &mut Builder,
    images: &str,
    Normalization { mean, std }: &Normalization,
) -> Result<String> {
    let mut constant = |name: &str, numbers: Vec<f32>| {
        let shape = (numbers.len(), 1, 1);
        graph.floats(name, &Tensor::from_vec(numbers, shape, &Device::Cpu)?)
    };
    let means = mean.iter().map(|m| (f64::from(*m) / 255.0) as f32).collect();
    let means = constant("normalize/mean", means)?;
    let scales = std.iter().map(|s| (255.0 / f64::from(*s)) as f32).collect();
    let scales = constant("normalize/scale", scales)?;
    let centred = graph.node("normalize/centred", "Sub", &[images, &means]);
    Ok(graph.node("normalize/scaled", "Mul", &[&centred, &scales]))
}

/// The state of the lowering.
struct Lowering {
    graph: Builder,
    /// The ONNX name of each value of the inference graph.
    values: Vec<String>,
    /// Outputs of Relu, Concat and Slice nodes that exist already, by operator and inputs (common subexpressions).
    derived: BTreeMap<(&'static str, Vec<String>), String>,
}

impl Lowering {
    fn operation(&mut self, operation: &Operation) -> Result<String> {
        Ok(match operation {
            Operation::Convolve { inputs, relu, convolutions, bias } => {
                let source = self.source(inputs, *relu);
                self.convolve(&source, convolutions, bias)?
            }
            Operation::Pool { input, pool } => {
                let source = self.source(&[*input], pool.relu);
                self.pool(&source, pool)
            }
            Operation::Add { inputs: [a, b] } => {
                self.graph.node("add", "Add", &[&self.values[*a], &self.values[*b]])
            }
            Operation::Concat { inputs } => self.source(inputs, false),
            Operation::ReluMean { inputs } => {
                let source = self.source(inputs, true);
                let means = self.graph.node("mean", "GlobalAveragePool", &[&source]);
                self.flatten(&means)
            }
            Operation::Flatten { input } => {
                let source = self.values[*input].clone();
                self.flatten(&source)
            }
            Operation::Classify { input, matrix: (name, matrix) } => {
                let matrix = self.graph.floats(name, matrix)?;
                self.graph.node(LOGITS, "MatMul", &[&self.values[*input], &matrix])
            }
        })
    }

    /// Adds a Flatten node that turns a value `[batch, c, 1, 1]` into features `[batch, c]`.
    fn flatten(&mut self, source: &str) -> String {
        let features = self.graph.node("features", "Flatten", &[source]);
        self.graph.set("axis", 1);
        features
    }

    /// The concatenation of several values, each after a Relu if `relu`.
    fn source(&mut self, inputs: &[usize], relu: bool) -> String {
        let parts: Vec<String> = inputs.iter().map(|i| self.values[*i].clone()).collect();
        let parts: Vec<String> = if relu {
            parts.into_iter().map(|part| self.derive("Relu", vec![part])).collect()
        } else {
            parts
        };
        match <[String; 1]>::try_from(parts) {
            Ok([one]) => one,
            Err(parts) => self.derive("Concat", parts),
        }
    }

    /// Adds a Relu or Concat node, or returns the existing one with the same inputs.
    fn derive(&mut self, op: &'static str, inputs: Vec<String>) -> String {
        let key = (op, inputs);
        if let Some(name) = self.derived.get(&key) {
            return name.clone();
        }
        let name = match key.1.as_slice() {
            [one] => format!("{one}/relu"),
            _ => "concat".to_owned(),
        };
        let name = self.graph.node(&name, op, &key.1.iter().map(String::as_str).collect::<Vec<_>>());
        if op == "Concat" {
            self.graph.set("axis", 1);
        }
        self.derived.insert(key, name.clone());
        name
    }

    /// Adds parallel convolutions of one source and concatenates their outputs. Each gets its slice of the bias.
    fn convolve(
        &mut self,
        source: &str,
        convolutions: &[Convolution],
        (name, bias): &NamedTensor,
    ) -> Result<String> {
        let name = name.replace("/bn/offset", "/bias");
        let mut first = 0;
        let mut parts = Vec::with_capacity(convolutions.len());
        for convolution in convolutions {
            let outputs = convolution.matrix.1.dim(3)?;
            let share = bias.narrow(0, first, outputs)?;
            first += outputs;
            parts.push(self.convolution(source, convolution, (&name, &share))?);
        }
        Ok(match <[String; 1]>::try_from(parts) {
            Ok([one]) => one,
            Err(parts) => self.derive("Concat", parts),
        })
    }

    fn convolution(
        &mut self,
        source: &str,
        convolution: &Convolution,
        (bias_name, bias): (&str, &Tensor),
    ) -> Result<String> {
        let Convolution { y, x, offset, filter, matrix: (name, matrix) } = convolution;
        let scope = name.rsplit_once('/').map_or(name.as_str(), |(scope, _)| scope);
        let bias = self.graph.floats(bias_name, bias)?;
        // `[k, k, c, outputs]` to `[outputs, c, k, k]`.
        let mut weight = matrix.permute((3, 2, 0, 1))?;
        if let Some((of_filter, filter)) = filter {
            // `[k, k, c]` to `[c, 1, k, k]`.
            let depthwise = self.graph.floats(of_filter, &filter.permute((2, 0, 1))?.unsqueeze(1)?)?;
            let filtered = self.graph.node(&format!("{scope}/depthwise"), "Conv", &[source, &depthwise]);
            self.window((*y, *x), 0);
            self.graph.set("group", filter.dim(2)? as i64);
            let weight = self.graph.floats(name, &weight)?;
            let output = self.graph.node(&format!("{scope}/pointwise"), "Conv", &[&filtered, &weight, &bias]);
            self.window((Axis::same(y.out, 1, 1), Axis::same(x.out, 1, 1)), 0);
            return Ok(output);
        }
        let mut source = source.to_owned();
        let mut skipped = 0;
        if *offset > 0 && y.size > *offset && x.size > *offset {
            source = self.skip(&source, *offset, [y.size, x.size]);
            skipped = *offset;
        } else if *offset > 0 {
            // No pixels are left after the offset. An empty tensor could be rejected by a runtime, so the weights are
            // zeroed instead.
            weight = weight.zeros_like()?;
        }
        let weight = self.graph.floats(name, &weight)?;
        let output = self.graph.node(scope, "Conv", &[&source, &weight, &bias]);
        self.window((*y, *x), skipped);
        Ok(output)
    }

    /// Adds a Slice node that drops the first `n` rows and columns of a value with height and width `size`.
    fn skip(&mut self, source: &str, n: usize, size: [usize; 2]) -> String {
        let key = ("Slice", vec![source.to_owned()]);
        if let Some(name) = self.derived.get(&key) {
            return name.clone();
        }
        let starts = self.graph.integers("slice/starts", &[n as i64; 2]);
        let ends = self.graph.integers("slice/ends", &size.map(|size| size as i64));
        let axes = self.graph.integers("slice/axes", &[2, 3]);
        let name = self.graph.node(&format!("{source}/odd"), "Slice", &[source, &starts, &ends, &axes]);
        self.derived.insert(key, name.clone());
        name
    }

    fn pool(&mut self, source: &str, pool: &Pool) -> String {
        let (name, op) = match pool.kind {
            PoolKind::Average => ("avg_pool", "AveragePool"),
            PoolKind::Max => ("max_pool", "MaxPool"),
        };
        let output = self.graph.node(name, op, &[source]);
        self.window((pool.y, pool.x), 0);
        if pool.kind == PoolKind::Average {
            // The mean excludes padding. This is the default of ONNX, but written to be independent of it.
            self.graph.set("count_include_pad", 0);
        }
        output
    }

    /// Sets the attributes of a window (`kernel_shape`, `strides`, `pads`) of the node that was added last.
    ///
    /// `skipped` is the number of rows and columns that were cut off before.
    fn window(&mut self, (y, x): (Axis, Axis), skipped: usize) {
        self.graph.set_all("kernel_shape", &[y.k, x.k]);
        self.graph.set_all("strides", &[y.stride, x.stride]);
        let after = |axis: Axis| {
            ((axis.out - 1) * axis.stride + axis.k).saturating_sub(axis.size - skipped + axis.before)
        };
        self.graph.set_all("pads", &[y.before, x.before, after(y), after(x)]);
    }
}
