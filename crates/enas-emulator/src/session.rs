//! The emulator's program with its buffers; restarts the program when it ends.

use std::collections::BTreeMap;

use crate::buffer::BufferId;
use crate::error::{Error, Result};
use crate::kernel::EmulatedKernel;
use crate::launch::{LaunchArg, LaunchRequest};
use crate::program::{Program, Response};
use crate::wire::{Request, RequestKind};

/// The program, and what it holds.
pub(crate) struct Session {
    program: Program,
    /// Length of each buffer in bytes.
    buffers: BTreeMap<BufferId, u64>,
    next_buffer: u64,
    pub(crate) launches: u64,
}

impl Session {
    /// Starts the program; returns also its table of kernels.
    pub(crate) fn start() -> Result<(Session, Vec<EmulatedKernel>)> {
        let (program, kernels) = Program::start()?;
        Ok((Session { program, buffers: BTreeMap::new(), next_buffer: 1, launches: 0 }, kernels))
    }

    pub(crate) fn alloc(&mut self, bytes: u64) -> Result<BufferId> {
        let id = BufferId(self.next_buffer);
        self.next_buffer += 1;
        self.request(&Request::new(RequestKind::Allocate).u64(id.0).u64(bytes), &[])?;
        self.buffers.insert(id, bytes);
        Ok(id)
    }

    pub(crate) fn free(&mut self, buffer: BufferId) -> Result<()> {
        self.check(buffer, 0, 0)?;
        self.request(&Request::new(RequestKind::Free).u64(buffer.0), &[])?;
        self.buffers.remove(&buffer);
        Ok(())
    }

    pub(crate) fn length(&self, buffer: BufferId) -> Result<u64> {
        self.buffers.get(&buffer).copied().ok_or(Error::UnknownBuffer(buffer))
    }

    pub(crate) fn check(&self, buffer: BufferId, first: u64, bytes: u64) -> Result<()> {
        let length = self.length(buffer)?;
        match first.checked_add(bytes) {
            Some(end) if end <= length => Ok(()),
            _ => Err(Error::Range { buffer, first, bytes, length }),
        }
    }

    /// A request about `bytes` bytes of a buffer, from byte `first` on.
    pub(crate) fn range_request(
        &self,
        kind: RequestKind,
        buffer: BufferId,
        first: u64,
        bytes: u64,
    ) -> Result<Request> {
        self.check(buffer, first, bytes)?;
        Ok(Request::new(kind).u64(buffer.0).u64(first).u64(bytes))
    }

    pub(crate) fn launch_request(
        &self,
        kernel: u32,
        launch: &LaunchRequest<'_>,
        args: &[LaunchArg],
    ) -> Result<Request> {
        let request = Request::new(RequestKind::LaunchRequest)
            .u32(kernel)
            .u32s(launch.grid)
            .u32s(launch.block)
            .u64(launch.order_seed)
            .u32(launch.shared_bytes)
            .u32(launch.shared_limit)
            .u32(launch.seconds)
            .u32(args.len() as u32);
        args.iter().try_fold(request, |request, arg| self.with_argument(request, arg))
    }

    /// Appends an argument. The tags are those of `take_argument` in `shim/main.cpp`.
    fn with_argument(&self, request: Request, arg: &LaunchArg) -> Result<Request> {
        let scalar = |request: Request, bits: u64| request.u8(0).u64(bits);
        let (buffer, first, bytes) = match *arg {
            LaunchArg::Null => return Ok(request.u8(1)),
            LaunchArg::U32(value) => return Ok(scalar(request, value.into())),
            LaunchArg::I32(value) => return Ok(scalar(request, u64::from(value as u32))),
            LaunchArg::F32(value) => return Ok(scalar(request, value.to_bits().into())),
            LaunchArg::U64(value) => return Ok(scalar(request, value)),
            LaunchArg::Buffer(buffer, first) => (buffer, first, self.length(buffer)?.saturating_sub(first)),
            LaunchArg::Slice(buffer, first, bytes) => (buffer, first, bytes),
        };
        self.check(buffer, first, bytes)?;
        Ok(request.u8(2).u64(buffer.0).u64(first).u64(bytes))
    }

    /// Sends a request. Restarts the program if it ended without a response.
    pub(crate) fn send(&mut self, request: &Request, data: &[u8]) -> Result<Response> {
        match self.program.send(request, data) {
            Ok(response) => Ok(response),
            Err(error) => {
                let ending = self.program.ending();
                Err(self.restart(&format!("the emulator ended ({ending}: {error})"))?)
            }
        }
    }

    /// Sends a request and returns the payload of the response.
    pub(crate) fn request(&mut self, request: &Request, data: &[u8]) -> Result<Vec<u8>> {
        let response = self.send(request, data)?;
        self.payload(response)
    }

    /// The payload of a response, if it is one that any request may get.
    pub(crate) fn payload(&mut self, response: Response) -> Result<Vec<u8>> {
        match response {
            Response::Done(payload) => Ok(payload),
            Response::OutOfMemory(why) => Err(Error::Memory(why)),
            Response::Crashed(fault) => Err(self.restart(&fault.message)?),
            Response::Fault(_) | Response::NeverWritten(_) => {
                Err(self.restart("an answer to another question")?)
            }
        }
    }

    /// Starts a new program. Returns the error to report for the old one.
    pub(crate) fn restart(&mut self, cause: &str) -> Result<Error> {
        self.program = Program::start()?.0;
        self.buffers.clear();
        Ok(Error::Lost { cause: cause.to_owned() })
    }
}
