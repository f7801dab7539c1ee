//! The calls in the pickles of CIFAR-10, evaluated as data.

use std::rc::Rc;

use anyhow::{Context, Result, bail, ensure};

use super::value::{MAX_NAME, Value};

/// The result of calling `callable`, for the callables in these files.
pub(super) fn evaluate_call(callable: &Value, arguments: &Value) -> Result<Value> {
    let (Value::Global(name), Value::Tuple(arguments)) = (callable, arguments) else {
        bail!("a call of something that is not a name")
    };
    match (&**name, &arguments[..]) {
        ("_codecs encode", [Value::Text(text), Value::Text(codec)]) if &**codec == "latin1" => {
            let bytes = text.chars().map(u8::try_from).collect::<Result<Vec<_>, _>>();
            Ok(Value::Bytes(bytes.context("a character outside Latin-1")?.into()))
        }
        ("numpy.core.multiarray _reconstruct" | "numpy._core.multiarray _reconstruct", _) => {
            Ok(Value::Array { shape: vec![0], data: Rc::new([]) })
        }
        ("numpy dtype", [code, ..]) => {
            let code = code.as_bytes().context("an element type that is not text")?;
            ensure!(code.len() <= MAX_NAME, "an element type with a name without an end");
            Ok(Value::Dtype(String::from_utf8_lossy(code).into()))
        }
        _ => bail!("a call of {name:?}; a data file has nothing to call, so it is refused"),
    }
}

/// The result of giving `state` to `object`, for the two kinds of object in these files.
pub(super) fn set_state(object: Value, state: Value) -> Result<Value> {
    let Value::Tuple(state) = state else { bail!("an object state that is not a tuple") };
    match (object, &state[..]) {
        // Byte order and alignment, which are irrelevant for single bytes.
        (dtype @ Value::Dtype(_), _) => Ok(dtype),
        (Value::Array { .. }, [_, Value::Tuple(shape), Value::Dtype(dtype), _, Value::Bytes(data)]) => {
            ensure!(&**dtype == "u1", "an array of elements {dtype:?}, expected \"u1\" (unsigned bytes)");
            let shape = shape.iter().map(as_size).collect::<Result<Vec<_>>>()?;
            let n = shape.iter().try_fold(1usize, |n, &size| n.checked_mul(size));
            ensure!(n == Some(data.len()), "an array of shape {shape:?} with {} elements", data.len());
            Ok(Value::Array { shape, data: data.clone() })
        }
        _ => bail!("an object state of unknown form"),
    }
}

fn as_size(value: &Value) -> Result<usize> {
    match value {
        Value::Int(n) => usize::try_from(*n).with_context(|| format!("an array side of {n}")),
        _ => bail!("an array side that is not a number"),
    }
}
