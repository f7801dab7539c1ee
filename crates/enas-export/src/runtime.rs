//! The other implementation of ONNX that checks exported files: rten.

use std::error::Error;
use std::path::Path;
use std::sync::Arc as SyncArc;

use prost::Message;
use rten::{Model, ModelOptions, RunOptions, ThreadPool, Value, op_registry};

use crate::proto;

/// An error of the runtime.
pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// An exported file, read by the runtime and ready to run.
pub(crate) struct Runtime {
    model: Model,
    options: RunOptions,
}

impl Runtime {
    /// Reads an exported file.
    ///
    /// Only the operators that module `lower` writes are known. The linker then leaves out all others, which makes the
    /// program smaller. One thread computes, so that sums have the same order on every machine.
    ///
    /// # Errors
    /// If the file cannot be read, or if it is not a graph of these operators.
    pub(crate) fn load(path: &Path) -> Result<Self> {
        let operators = op_registry!(
            Add,
            AveragePool,
            Concat,
            Conv,
            Flatten,
            GlobalAveragePool,
            MatMul,
            MaxPool,
            Mul,
            Relu,
            Slice,
            Softmax,
            Sub
        );
        let bytes = std::fs::read(path)?;
        // rten accepts a file whose last field is cut short.
        proto::Model::decode(bytes.as_slice())?;
        let model = ModelOptions::with_ops(operators).load(bytes)?;
        let threads = SyncArc::new(ThreadPool::with_num_threads(1));
        Ok(Self { model, options: RunOptions::default().with_thread_pool(Some(threads)) })
    }

    /// Runs the graph on one batch of images `[n, c, h, w]`.
    ///
    /// Returns the flat values of the first two outputs, in the order in which the file lists them.
    ///
    /// # Errors
    /// If the graph has not one input and two outputs of `f32`, or if it does not fit the images.
    pub(crate) fn run(&self, shape: [usize; 4], images: Vec<f32>) -> Result<[Vec<f32>; 2]> {
        let &[input] = self.model.input_ids() else { return Err("the graph must have one input".into()) };
        let &[first, second] = self.model.output_ids() else {
            return Err("the graph must have two outputs".into());
        };
        let images = Value::from_shape(shape, images)?;
        let options = Some(self.options.clone());
        let [first, second] = self.model.run_n(vec![(input, images.into())], [first, second], options)?;
        Ok([values(first)?, values(second)?])
    }
}

fn values(output: Value) -> Result<Vec<f32>> {
    let ([_, _], values) = output.into_shape_vec()?;
    Ok(values)
}
