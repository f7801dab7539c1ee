//! From what a network computes to an ONNX graph.
//!
//! Nothing here knows cells or arcs: the network spells out its operations ([`Outline`]), and each of them becomes one
//! or a few nodes. Sizes are known, so all padding is written as numbers; only the batch is open.

use std::collections::BTreeMap;

use enas_child::{Axis, Convolution, Named, Operation, Outline, Pool, PoolKind};
use enas_data::Normalization;

use crate::graph::{Builder, value};
use crate::proto::Graph;

/// Name of the graph's input.
pub(crate) const PICTURES: &str = "pictures";
/// Name of the output with class scores.
pub(crate) const LOGITS: &str = "logits";
/// Name of the output with class probabilities.
pub(crate) const PROBABILITIES: &str = "probabilities";

/// The graph of a network on pictures of 0 to 1: `pictures [batch, c, h, w]` to `logits` and `probabilities`, both
/// `[batch, classes]`.
///
/// Probabilities are those of logits that are divided by `temperature`.
pub(crate) fn lower(
    outline: &Outline,
    normalization: &Normalization,
    temperature: f64,
    order: &str,
) -> Graph {
    let mut graph = Builder::default();
    let pictures = graph.reserve(PICTURES);
    let first = normalize(&mut graph, &pictures, normalization);
    let mut lowering = Lowering { graph, values: vec![first], derived: BTreeMap::new() };
    for operation in &outline.operations {
        let value = lowering.operation(operation);
        lowering.values.push(value);
    }
    let Lowering { mut graph, .. } = lowering;
    let scores = if temperature == 1.0 {
        LOGITS.to_owned()
    } else {
        let scale = vec![(1.0 / temperature) as f32];
        let scale = graph.floats(&Named { name: "calibrate/scale".to_owned(), shape: vec![1], data: scale });
        graph.node("calibrate/scaled", "Mul", &[LOGITS, &scale])
    };
    graph.node(PROBABILITIES, "Softmax", &[&scores]);
    graph.set("axis", 1);
    let shape = [outline.input.channels, outline.input.height, outline.input.width];
    let doc = format!("{order} pictures, [batch, channels, height, width], values byte/255 from 0 to 1");
    let inputs = vec![value(PICTURES, &shape, &doc)];
    let outputs = vec![
        value(LOGITS, &[outline.classes], "class scores before the softmax"),
        value(PROBABILITIES, &[outline.classes], "calibrated class probabilities; each row sums to 1"),
    ];
    graph.finish("enas", inputs, outputs)
}

/// `(x − mean)/std` of values that are 255 times smaller than the bytes that the moments are about.
///
/// It cannot be folded into the first convolution: that pads with zeros, which are no zeros before normalisation.
fn normalize(graph: &mut Builder, pictures: &str, Normalization { mean, std }: &Normalization) -> String {
    let mut constant = |name: &str, numbers: Vec<f32>| {
        let shape = vec![numbers.len(), 1, 1];
        graph.floats(&Named { name: name.to_owned(), shape, data: numbers })
    };
    let means = mean.iter().map(|m| (f64::from(*m) / 255.0) as f32).collect();
    let means = constant("normalize/mean", means);
    let scales = std.iter().map(|s| (255.0 / f64::from(*s)) as f32).collect();
    let scales = constant("normalize/scale", scales);
    let centred = graph.node("normalize/centred", "Sub", &[pictures, &means]);
    graph.node("normalize/scaled", "Mul", &[&centred, &scales])
}

/// A graph in the making.
struct Lowering {
    graph: Builder,
    /// Names of the outline's values.
    values: Vec<String>,
    /// Positive parts and concatenations that exist already, by what they are made of.
    derived: BTreeMap<(&'static str, Vec<String>), String>,
}

impl Lowering {
    fn operation(&mut self, operation: &Operation) -> String {
        match operation {
            Operation::Convolve { inputs, relu, convolutions, bias } => {
                let source = self.source(inputs, *relu);
                self.convolve(&source, convolutions, bias)
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
                let features = self.graph.node("features", "Flatten", &[&means]);
                self.graph.set("axis", 1);
                features
            }
            Operation::Classify { input, matrix } => {
                let matrix = self.graph.floats(matrix);
                self.graph.node(LOGITS, "MatMul", &[&self.values[*input], &matrix])
            }
        }
    }

    /// Several values as one, their negative parts cut off if `relu`.
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

    /// A node that several readers share.
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

    /// Convolutions side by side, each with its share of the bias.
    fn convolve(&mut self, source: &str, convolutions: &[Convolution], bias: &Named) -> String {
        let mut first = 0;
        let mut parts = Vec::with_capacity(convolutions.len());
        for convolution in convolutions {
            let outputs = outputs(convolution);
            let share = Named {
                name: bias.name.replace("/bn/offset", "/bias"),
                shape: vec![outputs],
                data: bias.data[first..first + outputs].to_vec(),
            };
            first += outputs;
            parts.push(self.convolution(source, convolution, &share));
        }
        match <[String; 1]>::try_from(parts) {
            Ok([one]) => one,
            Err(parts) => self.derive("Concat", parts),
        }
    }

    fn convolution(&mut self, source: &str, convolution: &Convolution, bias: &Named) -> String {
        let Convolution { y, x, offset, filter, matrix } = convolution;
        let scope = matrix.name.rsplit_once('/').map_or(matrix.name.as_str(), |(scope, _)| scope);
        let bias = self.graph.floats(bias);
        if let Some(filter) = filter {
            let weight = self.graph.floats(&depthwise_weight(filter));
            let filtered = self.graph.node(&format!("{scope}/depthwise"), "Conv", &[source, &weight]);
            self.window((*y, *x), 0);
            self.graph.set("group", filter.shape[2] as i64);
            let weight = self.graph.floats(&dense_weight(matrix));
            let output = self.graph.node(&format!("{scope}/pointwise"), "Conv", &[&filtered, &weight, &bias]);
            self.window((Axis::same(y.out, 1, 1), Axis::same(x.out, 1, 1)), 0);
            return output;
        }
        let mut weight = dense_weight(matrix);
        let (mut source, mut skipped) = (source.to_owned(), 0);
        if *offset > 0 && y.size > *offset && x.size > *offset {
            source = self.skip(&source, *offset, [y.size, x.size]);
            skipped = *offset;
        } else if *offset > 0 {
            // Nothing is left after skipping; a runtime that is shown an empty tensor may well refuse.
            weight.data.fill(0.0);
        }
        let weight = self.graph.floats(&weight);
        let output = self.graph.node(scope, "Conv", &[&source, &weight, &bias]);
        self.window((*y, *x), skipped);
        output
    }

    /// A value of that height and width without its first `n` rows and columns.
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
            // The mean of the real pixels; the default, but too important to leave to defaults.
            self.graph.set("count_include_pad", 0);
        }
        output
    }

    /// The windows of the last operation, on a map that lost `skipped` rows and columns.
    fn window(&mut self, (y, x): (Axis, Axis), skipped: usize) {
        self.graph.set_all("kernel_shape", &[y.k, x.k]);
        self.graph.set_all("strides", &[y.stride, x.stride]);
        let after = |axis: Axis| {
            ((axis.out - 1) * axis.stride + axis.k).saturating_sub(axis.size - skipped + axis.before)
        };
        self.graph.set_all("pads", &[y.before, x.before, after(y), after(x)]);
    }
}

fn outputs(convolution: &Convolution) -> usize {
    *convolution.matrix.shape.last().expect("a matrix has columns")
}

/// `[k, k, c, outputs]` as `[outputs, c, k, k]`.
fn dense_weight(matrix: &Named) -> Named {
    let [ky, kx, c, outputs] = matrix.shape[..] else { unreachable!("matrices are [k, k, c, outputs]") };
    let at = |o: usize, i: usize, tap: usize| matrix.data[(tap * c + i) * outputs + o];
    let data = (0..outputs)
        .flat_map(|o| (0..c).flat_map(move |i| (0..ky * kx).map(move |tap| at(o, i, tap))))
        .collect();
    Named { name: matrix.name.clone(), shape: vec![outputs, c, ky, kx], data }
}

/// `[k, k, c]` as `[c, 1, k, k]`.
fn depthwise_weight(filter: &Named) -> Named {
    let [ky, kx, c] = filter.shape[..] else { unreachable!("filters are [k, k, c]") };
    let data =
        (0..c).flat_map(|i| (0..ky * kx).map(move |tap| (i, tap))).map(|(i, tap)| filter.data[tap * c + i]);
    Named { name: filter.name.clone(), shape: vec![c, 1, ky, kx], data: data.collect() }
}
