//! The binary protocol on the pipes to the emulator's program; `shim/wire.hpp` is the other side.

use std::io::{self, Read};

/// Kinds of requests; the numbers are those of `serve` in `shim/main.cpp`.
#[derive(Debug, Clone, Copy)]
pub(crate) enum RequestKind {
    Allocate = 0,
    Free = 1,
    Write = 2,
    Read = 3,
    Fill = 4,
    Undefine = 5,
    Copy = 6,
    LaunchRequest = 7,
}

/// A request under construction.
pub(crate) struct Request(Vec<u8>);

impl Request {
    pub(crate) fn new(kind: RequestKind) -> Request {
        Request(vec![kind as u8])
    }

    pub(crate) fn u8(mut self, value: u8) -> Request {
        self.0.push(value);
        self
    }

    pub(crate) fn u32(mut self, value: u32) -> Request {
        self.0.extend(value.to_le_bytes());
        self
    }

    pub(crate) fn u64(mut self, value: u64) -> Request {
        self.0.extend(value.to_le_bytes());
        self
    }

    pub(crate) fn u32s(self, values: [u32; 3]) -> Request {
        values.into_iter().fold(self, Request::u32)
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A response as it is received: status and payload.
pub(crate) struct RawResponse {
    pub(crate) status: u8,
    pub(crate) payload: Vec<u8>,
}

impl RawResponse {
    pub(crate) fn receive(from: &mut impl Read) -> io::Result<RawResponse> {
        let mut header = [0; 9];
        from.read_exact(&mut header)?;
        let [status, length @ ..] = header;
        let length = u64::from_le_bytes(length);
        let mut payload = Vec::new();
        if from.take(length).read_to_end(&mut payload)? as u64 != length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(RawResponse { status, payload })
    }
}

/// A reader of the fields of a payload, in order.
pub(crate) struct PayloadReader<'a>(pub(crate) &'a [u8]);

impl PayloadReader<'_> {
    fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk().ok_or(io::ErrorKind::InvalidData)?;
        self.0 = rest;
        Ok(*first)
    }

    pub(crate) fn u8(&mut self) -> io::Result<u8> {
        self.array().map(|[byte]| byte)
    }

    pub(crate) fn u32(&mut self) -> io::Result<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> io::Result<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn u32s(&mut self) -> io::Result<[u32; 3]> {
        Ok([self.u32()?, self.u32()?, self.u32()?])
    }

    pub(crate) fn text(&mut self) -> io::Result<String> {
        let length = self.u32()? as usize;
        let (text, rest) = self.0.split_at_checked(length).ok_or(io::ErrorKind::InvalidData)?;
        self.0 = rest;
        Ok(String::from_utf8_lossy(text).into_owned())
    }
}
