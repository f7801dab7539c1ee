//! A GPU made of software: runs the sources of the CUDA kernels on the host, with checks no GPU offers.
//!
//! The build compiles every `.cu` file of `enas-kernels` with the host's C++ compiler into a program of its own, twice
//! where it treats maps, which may lie in memory as bfloat16; an [`Emulator`] starts it and talks to it over pipes, so
//! that a kernel that crashes is an error and not the end of the test run. Kernels are written in the dialect of
//! `crates/enas-kernels/cuda/dialect.cuh`; its pointers and shared arrays check each access here:
//!
//! - indices, also of a thread's own arrays, and the alignment of wide accesses;
//! - reads of memory, global or shared, that was never written;
//! - races: two threads touch an element, one of them writes, and no barrier lies between. Blocks are never ordered;
//! - writes to what the same launch reads through an `In` parameter, which a device may cache;
//! - barriers and shuffles that not every thread reaches at the same line;
//! - signed overflow, division by zero, too large shifts; stacks that overflow, loops that do not end.
//!
//! Blocks run one after another and threads in turns. [`Launch::order_seed`] permutes both: a kernel whose bytes
//! depend on it is wrong.
//!
//! It is *not* a model of a device's speed, nor of its caches or of the order of its memory operations. nvcc fuses
//! `a * b + c` unless told otherwise; here it rounds twice, and `expf` and its kin are the host's.
//!
//! # What the checks cost
//!
//! `cargo bench -p enas-emulator`, on one core of a busy cloud machine with AVX-512:
//!
//! | | |
//! |---|---|
//! | reads of memory the launch does not write | 110 million elements per second |
//! | updates of memory (read, read, write) | 75 million |
//! | copies by four | 68 million |
//! | shared memory, a barrier between any two accesses | 40 million, 25 ns per thread and barrier |
//! | a block of 256 threads that crosses 30 barriers, with the launch | 0.25 to 0.35 ms |
//! | a launch of one thread | 7 µs |
//!
//! A buffer takes twice its size, and four times more for the parts that launches write.
//!
//! ```
//! use enas_emulator::{Arg, Emulator, Launch};
//!
//! let gpu = Emulator::start()?;
//! let (x, y) = (gpu.upload(&[1_f32, 2.0, 3.0])?, gpu.alloc(12)?);
//! let launch = Launch { kernel: "emulator_copy4", block: [32, 1, 1], order_seed: 7, ..Launch::default() };
//! gpu.launch(&launch, &[Arg::Buffer(x, 0), Arg::Buffer(y, 0), Arg::U32(3)])?;
//! assert_eq!(gpu.download::<f32>(y)?, [1.0, 2.0, 3.0]);
//! # Ok::<(), enas_emulator::Error>(())
//! ```

#![forbid(unsafe_code)]

mod device;
mod element;
mod error;
mod kernel;
mod launch;
mod program;
mod wire;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

pub use device::EmulatedGpu;
pub use element::Element;
pub use error::{Error, Fault, FaultKind};
pub use kernel::{Kernel, Parameter};
pub use launch::{Arg, Launch};

use program::{Program, Reply};
use wire::{Message, Request};

/// What this crate's functions return.
pub type Result<T> = std::result::Result<T, Error>;

/// A buffer in the memory of an [`Emulator`]. Numbers are never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BufferId(u64);

/// A GPU made of software: memory, and launches over it.
pub struct Emulator {
    kernels: Vec<Kernel>,
    state: Mutex<State>,
}

struct State {
    program: Program,
    /// Bytes of each buffer.
    buffers: BTreeMap<BufferId, u64>,
    next_buffer: u64,
    launches: u64,
}

impl Emulator {
    /// Starts an emulator of its own: memory is shared with no other.
    pub fn start() -> Result<Emulator> {
        let (program, kernels) = Program::start()?;
        let state = State { program, buffers: BTreeMap::new(), next_buffer: 1, launches: 0 };
        Ok(Emulator { kernels, state: Mutex::new(state) })
    }

    /// All kernels of the project, by name.
    pub fn kernels(&self) -> &[Kernel] {
        &self.kernels
    }

    /// How many launches ended without a fault.
    pub fn launches(&self) -> u64 {
        self.lock().launches
    }

    /// A buffer of unwritten bytes.
    pub fn alloc(&self, bytes: u64) -> Result<BufferId> {
        let mut state = self.lock();
        let id = BufferId(state.next_buffer);
        state.next_buffer += 1;
        state.ask(&Message::new(Request::Allocate).u64(id.0).u64(bytes), &[])?;
        state.buffers.insert(id, bytes);
        Ok(id)
    }

    /// A buffer that holds `values`.
    pub fn upload<T: Element>(&self, values: &[T]) -> Result<BufferId> {
        let bytes = element::to_bytes(values);
        let id = self.alloc(bytes.len() as u64)?;
        self.write(id, 0, &bytes)?;
        Ok(id)
    }

    /// All values of a buffer.
    pub fn download<T: Element>(&self, buffer: BufferId) -> Result<Vec<T>> {
        let bytes = self.len(buffer)?;
        if bytes % T::BYTES as u64 != 0 {
            return Err(Error::Elements { buffer, bytes, element: T::BYTES });
        }
        Ok(element::from_bytes(&self.read(buffer, 0, bytes)?))
    }

    /// Gives a buffer's memory back.
    pub fn free(&self, buffer: BufferId) -> Result<()> {
        let mut state = self.lock();
        state.check(buffer, 0, 0)?;
        state.ask(&Message::new(Request::Free).u64(buffer.0), &[])?;
        state.buffers.remove(&buffer);
        Ok(())
    }

    /// Length of a buffer in bytes.
    pub fn len(&self, buffer: BufferId) -> Result<u64> {
        self.lock().length(buffer)
    }

    /// Writes bytes from byte `offset` on.
    pub fn write(&self, buffer: BufferId, offset: u64, bytes: &[u8]) -> Result<()> {
        let mut state = self.lock();
        let message = state.range(Request::Write, buffer, offset, bytes.len() as u64)?;
        state.ask(&message, bytes).map(drop)
    }

    /// Reads `len` bytes from byte `offset` on; an error if one of them was never written.
    pub fn read(&self, buffer: BufferId, offset: u64, len: u64) -> Result<Vec<u8>> {
        let mut state = self.lock();
        let message = state.range(Request::Read, buffer, offset, len)?;
        match state.reply(&message, &[])? {
            Reply::Undefined(byte) => Err(Error::NeverWritten { buffer, byte }),
            other => state.settle(other),
        }
    }

    /// Sets `len` bytes from byte `offset` on to `byte`.
    pub fn fill(&self, buffer: BufferId, offset: u64, len: u64, byte: u8) -> Result<()> {
        let mut state = self.lock();
        let message = state.range(Request::Fill, buffer, offset, len)?;
        state.ask(&message.u8(byte), &[]).map(drop)
    }

    /// Makes the whole buffer unwritten again, so that reading a leftover of earlier work is noticed.
    pub fn fill_undefined(&self, buffer: BufferId) -> Result<()> {
        let mut state = self.lock();
        let bytes = state.length(buffer)?;
        let message = state.range(Request::Undefine, buffer, 0, bytes)?;
        state.ask(&message, &[]).map(drop)
    }

    /// Copies `len` bytes between buffers, given with the first byte of each. What was never written stays so.
    pub fn copy(&self, from: (BufferId, u64), to: (BufferId, u64), len: u64) -> Result<()> {
        let mut state = self.lock();
        state.check(to.0, to.1, len)?;
        let message = state.range(Request::Copy, from.0, from.1, len)?;
        state.ask(&message.u64(to.0.0).u64(to.1).u64(len), &[]).map(drop)
    }

    /// Runs a kernel to its end, or to its first fault.
    ///
    /// Arguments are checked against the kernel's signature. After [`Error::Fault`] memory is as the kernel left it;
    /// after [`Error::Lost`] all buffers are gone and the emulator is as new.
    pub fn launch(&self, launch: &Launch<'_>, args: &[Arg]) -> Result<()> {
        let (number, kernel) = self.kernel(launch.kernel)?;
        if let Some(problem) = kernel.misfit(args) {
            return Err(Error::Arguments { kernel: kernel.to_string(), problem });
        }
        if let Some(problem) = launch.excess(kernel.max_threads) {
            return Err(Error::Launch { kernel: kernel.name.clone(), problem });
        }
        let mut state = self.lock();
        let message = state.launch(number, launch, args)?;
        let named = |fault: Fault| Fault { kernel: kernel.name.clone(), ..fault };
        match state.reply(&message, &[])? {
            Reply::Fault(fault) => Err(Error::Fault(Box::new(named(fault)))),
            Reply::LastWords(fault) => Err(state.restart(&named(fault).to_string())?),
            other => {
                state.settle(other)?;
                state.launches += 1;
                Ok(())
            }
        }
    }

    fn kernel(&self, name: &str) -> Result<(u32, &Kernel)> {
        match self.kernels.binary_search_by(|kernel| kernel.name.as_str().cmp(name)) {
            Ok(i) => Ok((i as u32, &self.kernels[i])),
            Err(_) => Err(Error::UnknownKernel { name: name.to_owned(), nearest: self.nearest(name) }),
        }
    }

    /// The three names that share the longest beginning with `name`.
    fn nearest(&self, name: &str) -> String {
        let common =
            |kernel: &&Kernel| kernel.name.bytes().zip(name.bytes()).take_while(|(a, b)| a == b).count();
        let mut kernels: Vec<&Kernel> = self.kernels.iter().collect();
        kernels.sort_by_key(|kernel| std::cmp::Reverse(common(kernel)));
        let names: Vec<&str> = kernels.iter().take(3).map(|kernel| kernel.name.as_str()).collect();
        names.join(", ")
    }

    /// A panic elsewhere leaves nothing half done here: a request is sent and answered, or the program restarted.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn length(&self, buffer: BufferId) -> Result<u64> {
        self.buffers.get(&buffer).copied().ok_or(Error::UnknownBuffer(buffer))
    }

    fn check(&self, buffer: BufferId, first: u64, bytes: u64) -> Result<()> {
        let length = self.length(buffer)?;
        match first.checked_add(bytes) {
            Some(end) if end <= length => Ok(()),
            _ => Err(Error::Range { buffer, first, bytes, length }),
        }
    }

    fn range(&self, request: Request, buffer: BufferId, first: u64, bytes: u64) -> Result<Message> {
        self.check(buffer, first, bytes)?;
        Ok(Message::new(request).u64(buffer.0).u64(first).u64(bytes))
    }

    fn launch(&self, kernel: u32, launch: &Launch<'_>, args: &[Arg]) -> Result<Message> {
        let message = Message::new(Request::Launch)
            .u32(kernel)
            .u32s(launch.grid)
            .u32s(launch.block)
            .u64(launch.order_seed)
            .u32(launch.shared_bytes)
            .u32(launch.shared_limit)
            .u32(launch.seconds)
            .u32(args.len() as u32);
        args.iter().try_fold(message, |message, arg| self.argument(message, arg))
    }

    /// The numbers are those of `take_argument` in `shim/main.cpp`.
    fn argument(&self, message: Message, arg: &Arg) -> Result<Message> {
        let scalar = |message: Message, bits: u64| message.u8(0).u64(bits);
        let (buffer, first, bytes) = match *arg {
            Arg::Null => return Ok(message.u8(1)),
            Arg::U32(value) => return Ok(scalar(message, value.into())),
            Arg::I32(value) => return Ok(scalar(message, u64::from(value as u32))),
            Arg::F32(value) => return Ok(scalar(message, value.to_bits().into())),
            Arg::U64(value) => return Ok(scalar(message, value)),
            Arg::Buffer(buffer, first) => (buffer, first, self.length(buffer)?.saturating_sub(first)),
            Arg::Slice(buffer, first, bytes) => (buffer, first, bytes),
        };
        self.check(buffer, first, bytes)?;
        Ok(message.u8(2).u64(buffer.0).u64(first).u64(bytes))
    }

    /// Sends a request; restarts the program if it ended without a word.
    fn reply(&mut self, message: &Message, data: &[u8]) -> Result<Reply> {
        match self.program.ask(message, data) {
            Ok(reply) => Ok(reply),
            Err(error) => {
                let ending = self.program.ending();
                Err(self.restart(&format!("the emulator ended ({ending}: {error})"))?)
            }
        }
    }

    fn ask(&mut self, message: &Message, data: &[u8]) -> Result<Vec<u8>> {
        let reply = self.reply(message, data)?;
        self.settle(reply)
    }

    /// Replies that any request may get.
    fn settle(&mut self, reply: Reply) -> Result<Vec<u8>> {
        match reply {
            Reply::Done(payload) => Ok(payload),
            Reply::Refused(why) => Err(Error::Memory(why)),
            Reply::LastWords(fault) => Err(self.restart(&fault.message)?),
            Reply::Fault(_) | Reply::Undefined(_) => Err(self.restart("an answer to another question")?),
        }
    }

    /// Starts a new program; the error to report for the old one.
    fn restart(&mut self, cause: &str) -> Result<Error> {
        self.program = Program::start()?.0;
        self.buffers.clear();
        Ok(Error::Lost { cause: cause.to_owned() })
    }
}
