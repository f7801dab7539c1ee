//! Element types of buffers.

/// A number type that buffers can hold.
pub trait Element: Copy + private::Sealed {
    /// Size in bytes.
    const BYTES: usize;
    /// Appends the bytes of the value, little-endian.
    fn put(self, bytes: &mut Vec<u8>);
    /// The value of [`BYTES`](Self::BYTES) bytes, little-endian.
    fn get(bytes: &[u8]) -> Self;
}

mod private {
    pub trait Sealed {}
}

macro_rules! elements {
    ($($t:ty),*) => {$(
        impl private::Sealed for $t {}
        impl Element for $t {
            const BYTES: usize = size_of::<$t>();
            fn put(self, bytes: &mut Vec<u8>) {
                bytes.extend(self.to_le_bytes());
            }
            fn get(bytes: &[u8]) -> Self {
                let bytes = bytes.try_into().expect("the caller cuts pieces of BYTES bytes");
                <$t>::from_le_bytes(bytes)
            }
        }
    )*};
}

elements!(f32, f64, u8, u16, u32, u64, i32);

pub(crate) fn to_bytes<T: Element>(values: &[T]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(values.len() * T::BYTES);
    values.iter().for_each(|value| value.put(&mut bytes));
    bytes
}

pub(crate) fn from_bytes<T: Element>(bytes: &[u8]) -> Vec<T> {
    bytes.chunks_exact(T::BYTES).map(T::get).collect()
}
