//! A parser for the pickles of CIFAR-10: a dictionary of strings, lists of small numbers, and one NumPy array of
//! bytes.
//!
//! It is not an interpreter: nothing that a pickle names is executed. The four calls in such files are recognised by
//! name and evaluated as data (a Latin-1 text, an empty array, an element type, the content of an array). Every other
//! call is refused. Protocols 2 to 4 are supported, as written by Python 2 and 3.
//!
//! The crate `serde-pickle` (1.2) is not used: it bounds neither the number of values nor their depth. It resolves
//! reused values by copying, so that a file of a few hundred bytes can ask for more memory than there is; its
//! conversion is recursive, so that deep nesting overflows the stack. Arrays of NumPy are calls that it does not know.

mod calls;
mod machine;
mod value;

use anyhow::{Context, Result, ensure};

use machine::Machine;
pub(crate) use value::Value;

/// Parses the single value in `bytes`. Errors name the byte position.
pub(crate) fn load(bytes: &[u8]) -> Result<Value> {
    let mut machine = Machine::new(bytes);
    loop {
        let at = machine.at();
        let done = machine.step().with_context(|| format!("byte {at}"))?;
        if let Some(value) = done {
            ensure!(machine.at() == bytes.len(), "byte {}: bytes after the end of the pickle", machine.at());
            return Ok(value);
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
