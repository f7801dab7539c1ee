//! Registers the ONNX operators that exported files use with tract, the runtime that checks the files.
//!
//! tract can register all of ONNX by itself. Then all operators are linked, used or not, which makes the program a
//! megabyte larger. The computations are tract's; this file only reads the attributes of nodes.

use tract_onnx::model::{OnnxOpRegister, ParsingContext};
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_hir::internal::{BinIntoHir, InferenceOp, TVec, TractResult, expand};
use tract_onnx::tract_hir::ops::activations::Clip;
use tract_onnx::tract_hir::ops::array::{Concat, Flatten, StridedSlice};
use tract_onnx::tract_hir::ops::cnn::{Conv, HirMaxPool, HirSumPool, PaddingSpec, PoolSpec};
use tract_onnx::tract_hir::ops::math::{Add, Mul, Sub};
use tract_onnx::tract_hir::ops::matmul::MatMulInference;
use tract_onnx::tract_hir::ops::nn::{DataFormat, GlobalAvgPool, Softmax};

/// An operator and the outer names that it captures, of which there are none here.
type Parsed = TractResult<(Box<dyn InferenceOp>, Vec<String>)>;

/// All operators that module `lower` writes.
pub(crate) fn register() -> OnnxOpRegister {
    let mut all = OnnxOpRegister::default();
    all.insert("Add", |_, _| plain(Add.into_hir()));
    all.insert("Sub", |_, _| plain(Sub.into_hir()));
    all.insert("Mul", |_, _| plain(Mul.into_hir()));
    all.insert("MatMul", |_, _| plain(expand(MatMulInference::default())));
    all.insert("Relu", |_, _| plain(expand(Clip::new(Some(0.0), None))));
    all.insert("GlobalAveragePool", |_, _| plain(expand(GlobalAvgPool)));
    all.insert("Concat", |_, node| plain(expand(Concat::new(node.get_attr("axis")?))));
    all.insert("Flatten", |_, node| plain(expand(Flatten::new(node.get_attr("axis")?))));
    all.insert("Softmax", softmax);
    all.insert("Slice", slice);
    all.insert("Conv", convolution);
    all.insert("AveragePool", average_pool);
    all.insert("MaxPool", max_pool);
    all
}

fn plain(op: Box<dyn InferenceOp>) -> Parsed {
    Ok((op, Vec::new()))
}

/// ONNX Softmax; without an attribute over the last axis.
fn softmax(_: &ParsingContext, node: &NodeProto) -> Parsed {
    plain(expand(Softmax::new(node.get_attr_opt("axis")?.unwrap_or(-1))))
}

/// ONNX Slice with the inputs feature map, starts, ends, axes.
fn slice(_: &ParsingContext, _: &NodeProto) -> Parsed {
    plain(Box::new(StridedSlice {
        begin_mask: 0,
        end_mask: 0,
        shrink_axis_mask: 0,
        optional_axes_input: Some(3),
        optional_steps_input: None,
    }))
}

/// A window: height and width, strides, and padding before and after.
struct Window {
    shape: TVec<usize>,
    strides: TVec<usize>,
    before: TVec<usize>,
    after: TVec<usize>,
}

fn window(node: &NodeProto) -> TractResult<Window> {
    let pads: TVec<usize> = node.get_attr_tvec("pads")?;
    let (before, after) = pads.split_at(pads.len() / 2);
    Ok(Window {
        shape: node.get_attr_tvec("kernel_shape")?,
        strides: node.get_attr_tvec("strides")?,
        before: before.into(),
        after: after.into(),
    })
}

fn convolution(_: &ParsingContext, node: &NodeProto) -> Parsed {
    let Window { shape, strides, before, after } = window(node)?;
    let padding = PaddingSpec::Explicit(before, after);
    let mut op = Conv::default().padding(padding).kernel_shape(shape).strides(strides);
    if let Some(groups) = node.get_attr_opt("group")? {
        op = op.group(groups);
    }
    if node.input.len() == 3 {
        op = op.bias_input(2);
    }
    plain(expand(op))
}

/// The pooling window of a node.
fn pool(node: &NodeProto) -> TractResult<PoolSpec> {
    let Window { shape, strides, before, after } = window(node)?;
    let padding = PaddingSpec::ExplicitOnnxPool(before, after, false);
    // `None`: as many output channels as input channels.
    Ok(PoolSpec::new(DataFormat::NCHW, shape, padding, None, Some(strides), 0, 0))
}

fn average_pool(_: &ParsingContext, node: &NodeProto) -> Parsed {
    let counts_borders = node.get_attr_opt("count_include_pad")?.unwrap_or(false);
    plain(expand(HirSumPool::new(pool(node)?, counts_borders, true)))
}

fn max_pool(_: &ParsingContext, node: &NodeProto) -> Parsed {
    plain(expand(HirMaxPool::new(pool(node)?, None)))
}
