//! The emulator's program as a child process, with one request at a time.

use std::io::{self, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::error::{Error, Fault, FaultKind};
use crate::kernel::EmulatedKernel;
use crate::wire::{PayloadReader, RawResponse, Request};

/// Path of the program, set by the build.
const PATH: &str = env!("ENAS_GPU_EMULATOR");

/// A response of the program.
pub(crate) enum Response {
    Done(Vec<u8>),
    Fault(Fault),
    /// The launch ended the program; the last message that it could still send.
    Crashed(Fault),
    /// The first byte of a read that was never written.
    NeverWritten(u64),
    OutOfMemory(String),
}

/// A running program.
pub(crate) struct Program {
    child: Child,
    /// `None` once closed, which makes the program end.
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Program {
    /// Starts the program and reads its table of kernels.
    pub(crate) fn start() -> Result<(Program, Vec<EmulatedKernel>), Error> {
        let problem = |source| Error::Start { path: Path::new(PATH).to_owned(), source };
        let mut child =
            Command::new(PATH).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(problem)?;
        let missing = || io::Error::other("a pipe is missing");
        let input = Some(child.stdin.take().ok_or_else(missing).map_err(problem)?);
        let mut output = BufReader::new(child.stdout.take().ok_or_else(missing).map_err(problem)?);
        let greeting = RawResponse::receive(&mut output).map_err(problem)?;
        let kernels = EmulatedKernel::table(&greeting.payload).map_err(problem)?;
        Ok((Program { child, input, output }, kernels))
    }

    /// Sends a request and its data, and waits for the response.
    ///
    /// # Errors
    /// If the program has ended.
    pub(crate) fn send(&mut self, request: &Request, data: &[u8]) -> io::Result<Response> {
        let mut input = self.input.as_ref().ok_or(io::ErrorKind::BrokenPipe)?;
        input.write_all(request.bytes())?;
        input.write_all(data)?;
        response(RawResponse::receive(&mut self.output)?)
    }

    /// Describes how the program ended, after its pipe broke.
    pub(crate) fn ending(&mut self) -> String {
        self.input = None;
        match self.child.wait() {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // The program has nothing to save and may have ended already. A destructor cannot report failures.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn response(raw: RawResponse) -> io::Result<Response> {
    let RawResponse { status, payload } = raw;
    Ok(match status {
        0 => Response::Done(payload),
        1 => Response::Fault(fault(&payload)?),
        2 => Response::Crashed(fault(&payload)?),
        3 => Response::NeverWritten(PayloadReader(&payload).u64()?),
        4 => Response::OutOfMemory(String::from_utf8_lossy(&payload).into_owned()),
        _ => return Err(io::ErrorKind::InvalidData.into()),
    })
}

/// Reads a fault; the caller adds the kernel's name.
fn fault(payload: &[u8]) -> io::Result<Fault> {
    let mut payload = PayloadReader(payload);
    let kind = FaultKind::from_number(payload.u8()?).ok_or(io::ErrorKind::InvalidData)?;
    let block = payload.u32s()?;
    let thread = payload.u32s()?;
    Ok(Fault { kind, kernel: String::new(), block, thread, place: payload.text()?, message: payload.text()? })
}
