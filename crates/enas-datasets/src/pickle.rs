//! A parser for the pickles of CIFAR-10: a dictionary of strings, lists of small numbers, and one NumPy array of
//! bytes.
//!
//! It is not an interpreter: nothing that a pickle names is executed. The four calls in such files are recognised by
//! name and evaluated as data (a Latin-1 text, an empty array, an element type, the content of an array). Every other
//! call is refused. Protocols 2 to 4 are supported, as written by Python 2 and 3.

use std::collections::BTreeMap;
use std::rc::Rc;

use anyhow::{Context, Result, bail, ensure};

/// Maximum number of values in a file. A batch has about 20,000.
const MAX_VALUES: usize = 1_000_000;

/// Maximum number of lists, tuples and dictionaries, which also bounds the nesting depth.
const MAX_CONTAINERS: usize = 1_000;

/// Maximum length of a name: of a module, of something in it, or of an element type.
const MAX_NAME: usize = 256;

/// A value, as far as these files need it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    /// `None`, `True` and `False`: they occur in array descriptions and are ignored.
    Other,
    /// An integer.
    Int(i64),
    /// A Python 2 string or a Python 3 `bytes`.
    Bytes(Rc<[u8]>),
    /// A Unicode string.
    Text(Rc<str>),
    /// A list.
    List(Vec<Value>),
    /// A tuple.
    Tuple(Vec<Value>),
    /// Key-value pairs in the order of the file.
    Dict(Vec<(Value, Value)>),
    /// The name of a Python object, `module name`.
    Global(Rc<str>),
    /// A NumPy element type, such as `u1`.
    Dtype(Rc<str>),
    /// A NumPy array of unsigned bytes, row-major.
    Array {
        /// Sizes of the dimensions.
        shape: Vec<usize>,
        /// The elements.
        data: Rc<[u8]>,
    },
}

impl Value {
    /// The value of `key` in a dictionary.
    pub(crate) fn get(&self, key: &str) -> Option<&Value> {
        let Value::Dict(pairs) = self else { return None };
        pairs.iter().find(|(k, _)| k.as_bytes() == Some(key.as_bytes())).map(|(_, value)| value)
    }

    /// The bytes of either kind of string.
    fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Value::Bytes(bytes) => Some(bytes),
            Value::Text(text) => Some(text.as_bytes()),
            _ => None,
        }
    }
}

/// Parses the single value in `bytes`. Errors name the byte position.
pub(crate) fn load(bytes: &[u8]) -> Result<Value> {
    let mut machine = Machine {
        bytes,
        at: 0,
        stack: vec![],
        marks: vec![],
        memo: BTreeMap::new(),
        values: 0,
        containers: 0,
        made: 0,
    };
    loop {
        let at = machine.at;
        let done = machine.step().with_context(|| format!("byte {at}"))?;
        if let Some(value) = done {
            ensure!(machine.at == bytes.len(), "byte {}: bytes after the end of the pickle", machine.at);
            return Ok(value);
        }
    }
}

/// The pickle machine: a stack, the marks on it, and the memo of reusable values.
struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    stack: Vec<Value>,
    marks: Vec<usize>,
    /// Only immutable values are stored; these files reuse no others.
    memo: BTreeMap<u32, Option<Value>>,
    values: usize,
    containers: usize,
    /// Bytes made by calls. A regular file makes no more than its own size.
    made: usize,
}

impl Machine<'_> {
    /// Executes the next instruction; returns the value after the last one.
    fn step(&mut self) -> Result<Option<Value>> {
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
                let (name, module) = (self.pop()?, self.pop()?);
                let (Value::Text(module), Value::Text(name)) = (module, name) else {
                    bail!("a name that is no text")
                };
                ensure!(module.len().max(name.len()) <= MAX_NAME, "a name without an end");
                self.push(Value::Global(format!("{module} {name}").into()))?;
            }
            b'q' => {
                let slot = self.byte()?.into();
                self.remember(slot)?;
            }
            b'r' => {
                let slot = u32::from_le_bytes(self.array()?);
                self.remember(slot)?;
            }
            0x94 => self.remember(self.memo.len() as u32)?,
            b'h' => {
                let slot = self.byte()?.into();
                self.recall(slot)?;
            }
            b'j' => {
                let slot = u32::from_le_bytes(self.array()?);
                self.recall(slot)?;
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
                let (arguments, callable) = (self.pop()?, self.pop()?);
                let value = understand_call(&callable, &arguments)?;
                // One text can be encoded repeatedly.
                self.made += value.as_bytes().map_or(0, <[u8]>::len);
                ensure!(self.made <= self.bytes.len(), "more content than the file has bytes");
                self.push(value)?;
            }
            b'b' => {
                let (state, object) = (self.pop()?, self.pop()?);
                let value = understand_state(object, state)?;
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
        let Value::List(list) = self.top()? else { bail!("items for something that is no list") };
        list.extend(items);
        Ok(())
    }

    fn extend_dict(&mut self, items: Vec<Value>) -> Result<()> {
        ensure!(items.len().is_multiple_of(2), "a dictionary key without a value");
        let Value::Dict(dict) = self.top()? else { bail!("items for something that is no dictionary") };
        let mut items = items.into_iter();
        while let (Some(key), Some(value)) = (items.next(), items.next()) {
            dict.push((key, value));
        }
        Ok(())
    }

    fn remember(&mut self, slot: u32) -> Result<()> {
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

    fn recall(&mut self, slot: u32) -> Result<()> {
        let value = self.memo.get(&slot).context("a reference to nothing")?;
        let value =
            value.clone().context("a second reference to a container, which no CIFAR-10 file contains")?;
        self.push(value)
    }
}

/// The result of calling `callable`, for the callables in these files.
fn understand_call(callable: &Value, arguments: &Value) -> Result<Value> {
    let (Value::Global(name), Value::Tuple(arguments)) = (callable, arguments) else {
        bail!("a call of something that is no name")
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
            let code = code.as_bytes().context("an element type that is no text")?;
            ensure!(code.len() <= MAX_NAME, "an element type with a name without an end");
            Ok(Value::Dtype(String::from_utf8_lossy(code).into()))
        }
        _ => bail!("a call of {name:?}; a data file has nothing to call, so it is refused"),
    }
}

/// The result of giving `state` to `object`, for the two kinds of object in these files.
fn understand_state(object: Value, state: Value) -> Result<Value> {
    let Value::Tuple(state) = state else { bail!("an object state that is no tuple") };
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
        _ => bail!("an array side that is no number"),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(bytes: &[u8]) -> String {
        format!("{:#}", load(bytes).unwrap_err())
    }

    /// `{'labels': [..], 'data': array}` as Python 2 wrote the published files.
    pub(crate) fn python2(labels: &[u8], data: &[u8], shape: (u16, u16)) -> Vec<u8> {
        let mut p = b"\x80\x02}q\x01(U\x06labelsq\x02]q\x03(".to_vec();
        labels.iter().for_each(|&label| p.extend([b'K', label]));
        p.extend(b"eU\x04dataq\x04cnumpy.core.multiarray\n_reconstruct\nq\x05cnumpy\nndarray\nq\x06K\x00\x85U\x01b\x87Rq\x07(K\x01");
        p.extend([b'M', shape.0 as u8, (shape.0 >> 8) as u8, b'M', shape.1 as u8, (shape.1 >> 8) as u8]);
        p.extend(b"\x86cnumpy\ndtype\nq\x08U\x02u1K\x00K\x01\x87Rq\x09(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T");
        p.extend((data.len() as u32).to_le_bytes());
        p.extend(data);
        p.extend(b"tbu.");
        p
    }

    /// `{b'data': array}` as Python 3 writes protocol 2: byte strings are texts with a call to encode them.
    pub(crate) fn python3(labels: &[u8], data: &[u8], shape: (u16, u16)) -> Vec<u8> {
        let encoded = |text: String| {
            let mut p = b"c_codecs\nencode\nX".to_vec();
            p.extend((text.len() as u32).to_le_bytes());
            p.extend(text.bytes());
            p.extend(b"X\x06\x00\x00\x00latin1\x86R");
            p
        };
        let mut p = b"\x80\x02}(".to_vec();
        p.extend(encoded("labels".into()));
        p.extend(b"](");
        labels.iter().for_each(|&label| p.extend([b'K', label]));
        p.push(b'e');
        p.extend(encoded("data".into()));
        p.extend(b"cnumpy._core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85");
        p.extend(encoded("b".into()));
        p.extend(b"\x87R(K\x01");
        p.extend([b'M', shape.0 as u8, (shape.0 >> 8) as u8, b'M', shape.1 as u8, (shape.1 >> 8) as u8]);
        p.extend(b"\x86cnumpy\ndtype\nX\x02\x00\x00\x00u1\x89\x88\x87R(K\x03X\x01\x00\x00\x00|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89");
        p.extend(encoded(data.iter().map(|&byte| char::from(byte)).collect()));
        p.extend(b"tbu.");
        p
    }

    #[test]
    fn both_pythons_batches_read_the_same() {
        let data = [0, 127, 128, 255, 1, 2];
        for file in [python2(&[7, 3], &data, (2, 3)), python3(&[7, 3], &data, (2, 3))] {
            let batch = load(&file).unwrap();
            assert_eq!(batch.get("labels"), Some(&Value::List(vec![Value::Int(7), Value::Int(3)])));
            assert_eq!(batch.get("data"), Some(&Value::Array { shape: vec![2, 3], data: data.into() }));
        }
    }

    #[test]
    fn a_pickle_that_would_run_a_command_is_refused() {
        let text = message(b"\x80\x02cos\nsystem\nU\x02ls\x85R.");
        assert_eq!(
            text,
            "byte 18: a call of \"os system\"; a data file has nothing to call, so it is refused"
        );
    }

    #[test]
    fn truncation_is_an_error_that_names_the_byte() {
        let file = python2(&[1], &[0; 6], (2, 3));
        for n in 0..file.len() {
            assert!(message(&file[..n]).starts_with("byte "), "cut at {n}");
        }
    }

    #[test]
    fn an_array_whose_shape_is_not_its_size_is_refused() {
        assert!(message(&python2(&[1], &[0; 5], (2, 3))).contains("shape [2, 3] with 5 elements"));
    }

    #[test]
    fn trailing_bytes_are_refused() {
        assert_eq!(message(b"\x80\x02N.x"), "byte 4: bytes after the end of the pickle");
    }

    #[test]
    fn nesting_without_end_is_refused_and_does_not_overflow_the_stack() {
        let mut file = b"\x80\x02)".to_vec();
        file.extend([0x85].repeat(3_000_000));
        assert!(message(&file).contains("more than 1000 lists, tuples and dictionaries"));
    }

    #[test]
    fn a_claimed_length_takes_no_memory() {
        assert!(message(b"\x80\x02T\xff\xff\xff\xff").contains("4294967295 bytes expected"));
    }

    /// A text of a megabyte that is encoded repeatedly would take any amount of memory.
    #[test]
    fn content_that_multiplies_is_refused() {
        let mut file = b"\x80\x02c_codecs\nencode\nq\x01X\x00\x00\x10\x00".to_vec();
        file.extend(vec![b'a'; 1 << 20]);
        file.extend(b"q\x02X\x06\x00\x00\x00latin1q\x03");
        file.extend(b"h\x01h\x02h\x03\x86R".repeat(1000));
        assert!(message(&file).contains("more content than the file has bytes"), "{}", message(&file));
    }

    #[test]
    fn names_that_multiply_are_refused() {
        let text = |n: u32| [&b"X"[..], &n.to_le_bytes(), &vec![b'n'; n as usize]].concat();
        let stack_global = [&b"\x80\x04"[..], &text(300), &text(3), b"\x93."].concat();
        assert!(message(&stack_global).ends_with("a name without an end"), "{}", message(&stack_global));
        let dtype = [&b"\x80\x02cnumpy\ndtype\n"[..], &text(300), b"\x85R."].concat();
        assert!(message(&dtype).ends_with("a name without an end"), "{}", message(&dtype));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn a_changed_byte_is_read_or_refused_without_panic(at in 0usize..200, byte: u8) {
            for mut file in [python2(&[1, 2], &[9; 6], (2, 3)), python3(&[1, 2], &[9; 6], (2, 3))] {
                let at = at % file.len();
                file[at] = byte;
                let _ = load(&file);
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = load(&bytes);
        }
    }
}
