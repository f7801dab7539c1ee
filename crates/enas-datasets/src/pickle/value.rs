//! The values of a pickle.

use std::rc::Rc;

/// Maximum length of a name: of a module, of something in it, or of an element type.
pub(super) const MAX_NAME: usize = 256;

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
    pub(super) fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Value::Bytes(bytes) => Some(bytes),
            Value::Text(text) => Some(text.as_bytes()),
            _ => None,
        }
    }
}
