//! A reader with a byte limit, against archives that unpack to more than expected.

use std::io::{self, Read};

/// Reads from `inner`; an error after more than `limit` bytes.
pub(crate) struct LimitedReader<R> {
    inner: R,
    limit: u64,
    read: u64,
}

impl<R: Read> LimitedReader<R> {
    /// A reader that lets `limit` bytes through.
    pub(crate) fn new(inner: R, limit: u64) -> Self {
        Self { inner, limit, read: 0 }
    }
}

impl<R: Read> Read for LimitedReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.read += n as u64;
        if self.read > self.limit {
            return Err(io::Error::other(format!("it unpacks into more than {} bytes", self.limit)));
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
        assert_eq!(LimitedReader::new(&b"12345"[..], 5).read_to_end(&mut bytes).unwrap(), 5);
        let error = LimitedReader::new(io::repeat(0), 1 << 20).read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(error.to_string(), "it unpacks into more than 1048576 bytes");
    }
}
