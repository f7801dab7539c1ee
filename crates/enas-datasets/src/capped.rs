//! A reader with a byte limit, against archives that unpack to more than expected.

use std::io::{self, Read};

/// Reads from `inner`; an error after more than `most` bytes.
pub(crate) struct Capped<R> {
    inner: R,
    most: u64,
    passed: u64,
}

impl<R: Read> Capped<R> {
    /// A reader that lets `most` bytes through.
    pub(crate) fn new(inner: R, most: u64) -> Self {
        Self { inner, most, passed: 0 }
    }
}

impl<R: Read> Read for Capped<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.passed += n as u64;
        if self.passed > self.most {
            return Err(io::Error::other(format!("it unpacks into more than {} bytes", self.most)));
        }
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_much_as_allowed_passes_and_no_more() {
        let mut bytes = Vec::new();
        assert_eq!(Capped::new(&b"12345"[..], 5).read_to_end(&mut bytes).unwrap(), 5);
        let error = Capped::new(io::repeat(0), 1 << 20).read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(error.to_string(), "it unpacks into more than 1048576 bytes");
    }
}
