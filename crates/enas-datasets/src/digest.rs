//! SHA-256 digests of files and streams, as lower-case hexadecimal.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use anyhow::{Context, Result};
use enas_data::{hexadecimal, visible};
use sha2::{Digest, Sha256};

/// Reads from `inner` and digests everything that is read.
pub(crate) struct HashingReader<R> {
    inner: R,
    sha256: Sha256,
}

impl<R: Read> HashingReader<R> {
    /// Starts with an empty digest.
    pub(crate) fn new(inner: R) -> Self {
        Self { inner, sha256: Sha256::new() }
    }

    /// Digest of everything read so far.
    pub(crate) fn hex(self) -> String {
        hexadecimal(&self.sha256.finalize())
    }
}

impl<R: Read> Read for HashingReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.sha256.update(&buffer[..n]);
        Ok(n)
    }
}

/// Digest of the file at `path`.
pub(crate) fn of_file(path: &Path) -> Result<String> {
    let file = File::open(path).with_context(|| format!("cannot open {}", visible(&path)))?;
    let mut hashed = HashingReader::new(file);
    io::copy(&mut hashed, &mut io::sink()).with_context(|| format!("cannot read {}", visible(&path)))?;
    Ok(hashed.hex())
}

/// Digest of `bytes`.
#[cfg(test)]
pub(crate) fn of_bytes(bytes: &[u8]) -> String {
    let mut hashed = HashingReader::new(bytes);
    io::copy(&mut hashed, &mut io::sink()).expect("memory can be read");
    hashed.hex()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_of_abc_is_the_one_in_the_standard() {
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(of_bytes(b"abc"), expected);
    }
}
