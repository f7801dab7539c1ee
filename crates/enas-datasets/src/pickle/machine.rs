//! The pickle machine, with limits on values and on memory.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};

use super::calls::{evaluate_call, set_state};
use super::value::{MAX_NAME, Value};

/// Maximum number of values in a file. A batch has about 20,000.
const MAX_VALUES: usize = 1_000_000;

/// Maximum number of lists, tuples and dictionaries, which also bounds the nesting depth.
const MAX_CONTAINERS: usize = 1_000;

/// The pickle machine: a stack, the marks on it, and the memo of reusable values.
pub(super) struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    stack: Vec<Value>,
    marks: Vec<usize>,
    /// Only immutable values are stored; these files reuse no others.
    memo: BTreeMap<u32, Option<Value>>,
    values: usize,
    containers: usize,
    /// Bytes made by calls. A regular file makes no more than its own size.
    call_bytes: usize,
}

impl<'a> Machine<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            stack: vec![],
            marks: vec![],
            memo: BTreeMap::new(),
            values: 0,
            containers: 0,
            call_bytes: 0,
        }
    }

    /// Number of bytes read.
    pub(super) fn at(&self) -> usize {
        self.at
    }
}

impl Machine<'_> {
    /// Executes the next instruction; returns the value after the last one.
    pub(super) fn step(&mut self) -> Result<Option<Value>> {
        match self.byte()? {
            0x80 => {
                let protocol = self.byte()?;
                ensure!((2..=4).contains(&protocol), "pickle protocol {protocol}, expected 2, 3 or 4");
            }
            0x95 => drop(self.take(8)?), // Size of a frame, which is not needed here.
            b'.' => {
                let value = self.pop()?;
                ensure!(
                    self.stack.is_empty() && self.marks.is_empty(),
                    "the pickle ends with values left over"
                );
                return Ok(Some(value));
            }
            b'N' | 0x88 | 0x89 => self.push(Value::Other)?,
            b'K' => self.push_int::<1>()?,
            b'M' => self.push_int::<2>()?,
            b'J' => {
                let value = i32::from_le_bytes(self.array()?);
                self.push(Value::Int(value.into()))?;
            }
            b'U' | b'C' => self.push_bytes::<1>()?,
            b'T' | b'B' => self.push_bytes::<4>()?,
            0x8c => self.push_text::<1>()?,
            b'X' => self.push_text::<4>()?,
            b'c' => {
                let name = format!("{} {}", self.line()?, self.line()?);
                self.push(Value::Global(name.into()))?;
            }
            0x93 => {
                let name = self.pop()?;
                let module = self.pop()?;
                let (Value::Text(module), Value::Text(name)) = (module, name) else {
                    bail!("a name that is not text")
                };
                ensure!(module.len().max(name.len()) <= MAX_NAME, "a name without an end");
                self.push(Value::Global(format!("{module} {name}").into()))?;
            }
            b'q' => {
                let slot = self.byte()?.into();
                self.memo_put(slot)?;
            }
            b'r' => {
                let slot = u32::from_le_bytes(self.array()?);
                self.memo_put(slot)?;
            }
            0x94 => self.memo_put(self.memo.len() as u32)?,
            b'h' => {
                let slot = self.byte()?.into();
                self.memo_get(slot)?;
            }
            b'j' => {
                let slot = u32::from_le_bytes(self.array()?);
                self.memo_get(slot)?;
            }
            b'(' => {
                // Marks count as values, because a file of only marks would exhaust memory too.
                self.count_value()?;
                self.marks.push(self.stack.len());
            }
            b'}' => self.push_container(Value::Dict(vec![]))?,
            b']' => self.push_container(Value::List(vec![]))?,
            b')' => self.push_container(Value::Tuple(vec![]))?,
            n @ 0x85..=0x87 => {
                let items = self.pop_many((n - 0x84).into())?;
                self.push_container(Value::Tuple(items))?;
            }
            b't' => {
                let items = self.pop_to_mark()?;
                self.push_container(Value::Tuple(items))?;
            }
            b'a' => {
                let item = self.pop()?;
                self.extend_list(vec![item])?;
            }
            b'e' => {
                let items = self.pop_to_mark()?;
                self.extend_list(items)?;
            }
            b's' => {
                let items = self.pop_many(2)?;
                self.extend_dict(items)?;
            }
            b'u' => {
                let items = self.pop_to_mark()?;
                self.extend_dict(items)?;
            }
            b'R' => {
                let arguments = self.pop()?;
                let callable = self.pop()?;
                let value = evaluate_call(&callable, &arguments)?;
                // One text can be encoded repeatedly.
                self.call_bytes += value.as_bytes().map_or(0, <[u8]>::len);
                ensure!(self.call_bytes <= self.bytes.len(), "more content than the file has bytes");
                self.push(value)?;
            }
            b'b' => {
                let state = self.pop()?;
                let object = self.pop()?;
                let value = set_state(object, state)?;
                self.push(value)?;
            }
            other => bail!("instruction {other:#04x}, which no CIFAR-10 file contains"),
        }
        Ok(None)
    }

    fn take(&mut self, n: usize) -> Result<&[u8]> {
        let rest = &self.bytes[self.at..];
        ensure!(n <= rest.len(), "{n} bytes expected, but the pickle ends after {}", rest.len());
        self.at += n;
        Ok(&rest[..n])
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        Ok(self.take(N)?.try_into().expect("take gives as many bytes as asked for"))
    }

    fn byte(&mut self) -> Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    /// An unsigned little-endian number of `N` bytes.
    fn number<const N: usize>(&mut self) -> Result<usize> {
        Ok(self.array::<N>()?.iter().rev().fold(0, |number, &byte| number << 8 | usize::from(byte)))
    }

    fn line(&mut self) -> Result<String> {
        let rest = &self.bytes[self.at..];
        let n = rest.iter().take(MAX_NAME).position(|&b| b == b'\n').context("a name without an end")?;
        let line = std::str::from_utf8(&rest[..n]).context("a name that is not UTF-8")?.to_owned();
        self.at += n + 1;
        Ok(line)
    }

    fn count_value(&mut self) -> Result<()> {
        self.values += 1;
        ensure!(self.values <= MAX_VALUES, "more than {MAX_VALUES} values");
        Ok(())
    }

    fn push(&mut self, value: Value) -> Result<()> {
        self.count_value()?;
        self.stack.push(value);
        Ok(())
    }

    fn push_container(&mut self, value: Value) -> Result<()> {
        self.containers += 1;
        ensure!(
            self.containers <= MAX_CONTAINERS,
            "more than {MAX_CONTAINERS} lists, tuples and dictionaries"
        );
        self.push(value)
    }

    fn push_int<const N: usize>(&mut self) -> Result<()> {
        let number = self.number::<N>()?;
        self.push(Value::Int(number as i64))
    }

    fn push_bytes<const N: usize>(&mut self) -> Result<()> {
        let n = self.number::<N>()?;
        let bytes = self.take(n)?.into();
        self.push(Value::Bytes(bytes))
    }

    fn push_text<const N: usize>(&mut self) -> Result<()> {
        let n = self.number::<N>()?;
        let text = std::str::from_utf8(self.take(n)?).context("a text that is not UTF-8")?.into();
        self.push(Value::Text(text))
    }

    fn pop(&mut self) -> Result<Value> {
        Ok(self.pop_many(1)?.remove(0))
    }

    /// The `n` topmost values; an error if a mark is among them.
    fn pop_many(&mut self, n: usize) -> Result<Vec<Value>> {
        let floor = self.marks.last().copied().unwrap_or(0);
        ensure!(self.stack.len() >= floor + n, "an instruction that needs {n} values finds fewer");
        Ok(self.stack.split_off(self.stack.len() - n))
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Value>> {
        let mark = self.marks.pop().context("a closing instruction without an opening one")?;
        Ok(self.stack.split_off(mark))
    }

    fn top(&mut self) -> Result<&mut Value> {
        let floor = self.marks.last().copied().unwrap_or(0);
        ensure!(self.stack.len() > floor, "an instruction that needs a value finds none");
        Ok(self.stack.last_mut().expect("the stack is higher than its floor"))
    }

    fn extend_list(&mut self, items: Vec<Value>) -> Result<()> {
        let Value::List(list) = self.top()? else { bail!("items for something that is not a list") };
        list.extend(items);
        Ok(())
    }

    fn extend_dict(&mut self, items: Vec<Value>) -> Result<()> {
        ensure!(items.len().is_multiple_of(2), "a dictionary key without a value");
        let Value::Dict(dict) = self.top()? else { bail!("items for something that is not a dictionary") };
        let mut items = items.into_iter();
        while let (Some(key), Some(value)) = (items.next(), items.next()) {
            dict.push((key, value));
        }
        Ok(())
    }

    fn memo_put(&mut self, slot: u32) -> Result<()> {
        let value = match self.top()? {
            unchanging @ (Value::Other
            | Value::Int(_)
            | Value::Bytes(_)
            | Value::Text(_)
            | Value::Global(_)
            | Value::Dtype(_)) => Some(unchanging.clone()),
            Value::List(_) | Value::Tuple(_) | Value::Dict(_) | Value::Array { .. } => None,
        };
        ensure!(self.memo.len() < MAX_VALUES, "more than {MAX_VALUES} remembered values");
        self.memo.insert(slot, value);
        Ok(())
    }

    fn memo_get(&mut self, slot: u32) -> Result<()> {
        let value = self.memo.get(&slot).context("a reference to nothing")?;
        let value =
            value.clone().context("a second reference to a container, which no CIFAR-10 file contains")?;
        self.push(value)
    }
}
