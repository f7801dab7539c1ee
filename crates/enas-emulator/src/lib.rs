//! An emulated GPU: runs the sources of the CUDA kernels on the host, with checks that no GPU offers.
//!
//! The build compiles every `.cu` file of `enas-kernels` with the host's C++ compiler into a separate program. A file
//! that handles maps is compiled twice, because maps may be stored as bfloat16. An [`Emulator`] starts the program and
//! talks to it over pipes, so a kernel that crashes is an error and does not end the test run. Kernels are written in
//! the dialect of `crates/enas-kernels/cuda/dialect.cuh`. Its pointers and shared arrays check each access here:
//!
//! - indices, also of a thread's own arrays, and the alignment of wide accesses;
//! - reads of memory, global or shared, that was never written;
//! - races: two threads touch an element, one of them writes, and no barrier lies between. Blocks are never ordered;
//! - writes to memory that the same launch reads through an `In` parameter, which a device may cache;
//! - barriers and shuffles that not every thread reaches at the same line;
//! - signed overflow, division by zero, shifts that are too large, stack overflow, and endless loops.
//!
//! Blocks run one after another and threads in turns. [`Launch::order_seed`] permutes both: a kernel whose output bytes
//! depend on it is wrong.
//!
//! It does *not* model a device's speed, its caches or the order of its memory operations. nvcc fuses `a * b + c`
//! unless told otherwise; here it rounds twice. `expf` and similar functions are the host's.
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
//! A buffer takes twice its size in host memory, and four times more for the parts that launches write.
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

/// The result type of this crate's functions.
pub type Result<T> = std::result::Result<T, Error>;

/// A buffer in the memory of an [`Emulator`]. An identifier is never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BufferId(u64);

/// An emulated GPU: its memory, and launches over it.
pub struct Emulator {
    kernels: Vec<Kernel>,
    state: Mutex<State>,
}

struct State {
    program: Program,
    /// Length of each buffer in bytes.
    buffers: BTreeMap<BufferId, u64>,
    next_buffer: u64,
    launches: u64,
}

impl Emulator {
    /// Starts a new emulator; it shares no memory with others.
    ///
    /// # Errors
    /// [`Error::Start`] if the emulator's program does not start.
    pub fn start() -> Result<Emulator> {
        let (program, kernels) = Program::start()?;
        let state = State { program, buffers: BTreeMap::new(), next_buffer: 1, launches: 0 };
        Ok(Emulator { kernels, state: Mutex::new(state) })
    }

    /// All kernels of the project, sorted by name.
    pub fn kernels(&self) -> &[Kernel] {
        &self.kernels
    }

    /// Number of launches that ended without a fault.
    pub fn launches(&self) -> u64 {
        self.lock().launches
    }

    /// Allocates a buffer of `bytes` unwritten bytes.
    ///
    /// # Errors
    /// [`Error::Memory`] if the host has too little memory; [`Error::Lost`] if the program ended.
    pub fn alloc(&self, bytes: u64) -> Result<BufferId> {
        let mut state = self.lock();
        let id = BufferId(state.next_buffer);
        state.next_buffer += 1;
        state.ask(&Message::new(Request::Allocate).u64(id.0).u64(bytes), &[])?;
        state.buffers.insert(id, bytes);
        Ok(id)
    }

    /// Allocates a buffer that holds `values`.
    ///
    /// # Errors
    /// As for [`alloc`](Self::alloc).
    pub fn upload<T: Element>(&self, values: &[T]) -> Result<BufferId> {
        let bytes = element::to_bytes(values);
        let id = self.alloc(bytes.len() as u64)?;
        self.write(id, 0, &bytes)?;
        Ok(id)
    }

    /// Returns all values of a buffer.
    ///
    /// # Errors
    /// [`Error::UnknownBuffer`]; [`Error::Elements`] if the length is not a multiple of the element's size;
    /// [`Error::NeverWritten`]; [`Error::Lost`] if the program ended.
    pub fn download<T: Element>(&self, buffer: BufferId) -> Result<Vec<T>> {
        let bytes = self.len(buffer)?;
        if bytes % T::BYTES as u64 != 0 {
            return Err(Error::Elements { buffer, bytes, element: T::BYTES });
        }
        Ok(element::from_bytes(&self.read(buffer, 0, bytes)?))
    }

    /// Frees a buffer.
    ///
    /// # Errors
    /// [`Error::UnknownBuffer`]; [`Error::Lost`] if the program ended.
    pub fn free(&self, buffer: BufferId) -> Result<()> {
        let mut state = self.lock();
        state.check(buffer, 0, 0)?;
        state.ask(&Message::new(Request::Free).u64(buffer.0), &[])?;
        state.buffers.remove(&buffer);
        Ok(())
    }

    /// The length of a buffer in bytes.
    ///
    /// # Errors
    /// [`Error::UnknownBuffer`] if it does not exist.
    pub fn len(&self, buffer: BufferId) -> Result<u64> {
        self.lock().length(buffer)
    }

    /// Writes `bytes` to a buffer, from byte `offset` on.
    ///
    /// # Errors
    /// [`Error::UnknownBuffer`]; [`Error::Range`] if they do not fit; [`Error::Memory`] or [`Error::Lost`] as for
    /// [`alloc`](Self::alloc).
    pub fn write(&self, buffer: BufferId, offset: u64, bytes: &[u8]) -> Result<()> {
        let mut state = self.lock();
        let message = state.range(Request::Write, buffer, offset, bytes.len() as u64)?;
        state.ask(&message, bytes).map(drop)
    }

    /// Reads `len` bytes of a buffer, from byte `offset` on.
    ///
    /// # Errors
    /// [`Error::UnknownBuffer`]; [`Error::Range`] beyond the end; [`Error::NeverWritten`] if neither host nor kernel
    /// wrote one of the bytes; [`Error::Lost`] if the program ended.
    pub fn read(&self, buffer: BufferId, offset: u64, len: u64) -> Result<Vec<u8>> {
        let mut state = self.lock();
        let message = state.range(Request::Read, buffer, offset, len)?;
        match state.reply(&message, &[])? {
            Reply::Undefined(byte) => Err(Error::NeverWritten { buffer, byte }),
            other => state.settle(other),
        }
    }

    /// Sets `len` bytes of a buffer to `byte`, from byte `offset` on.
    ///
    /// # Errors
    /// As for [`write`](Self::write).
    pub fn fill(&self, buffer: BufferId, offset: u64, len: u64, byte: u8) -> Result<()> {
        let mut state = self.lock();
        let message = state.range(Request::Fill, buffer, offset, len)?;
        state.ask(&message.u8(byte), &[]).map(drop)
    }

    /// Marks the whole buffer as unwritten. So a later read of old content is detected.
    ///
    /// # Errors
    /// As for [`write`](Self::write).
    pub fn fill_undefined(&self, buffer: BufferId) -> Result<()> {
        let mut state = self.lock();
        let bytes = state.length(buffer)?;
        let message = state.range(Request::Undefine, buffer, 0, bytes)?;
        state.ask(&message, &[]).map(drop)
    }

    /// Copies `len` bytes between buffers; each side is a buffer and its first byte. Unwritten bytes stay unwritten.
    ///
    /// # Errors
    /// As for [`write`](Self::write).
    pub fn copy(&self, from: (BufferId, u64), to: (BufferId, u64), len: u64) -> Result<()> {
        let mut state = self.lock();
        state.check(to.0, to.1, len)?;
        let message = state.range(Request::Copy, from.0, from.1, len)?;
        state.ask(&message.u64(to.0.0).u64(to.1).u64(len), &[]).map(drop)
    }

    /// Runs a kernel to its end, or to its first fault.
    ///
    /// # Errors
    /// - [`Error::UnknownKernel`], [`Error::Arguments`] or [`Error::Launch`] if the request does not fit the kernel's
    ///   signature or a device's limits.
    /// - [`Error::UnknownBuffer`] or [`Error::Range`] if an argument is not part of a buffer.
    /// - [`Error::Fault`] if the kernel does something wrong. Memory is then as the kernel left it.
    /// - [`Error::Lost`] if the program ended. All buffers are then gone and the emulator is as new.
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

    /// The three names that share the longest prefix with `name`.
    fn nearest(&self, name: &str) -> String {
        let common =
            |kernel: &&Kernel| kernel.name.bytes().zip(name.bytes()).take_while(|(a, b)| a == b).count();
        let mut kernels: Vec<&Kernel> = self.kernels.iter().collect();
        kernels.sort_by_key(|kernel| std::cmp::Reverse(common(kernel)));
        let names: Vec<&str> = kernels.iter().take(3).map(|kernel| kernel.name.as_str()).collect();
        names.join(", ")
    }

    /// Locks the state. A panic elsewhere leaves it consistent: a request is either answered, or the program is
    /// restarted.
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

    /// Appends an argument. The tags are those of `take_argument` in `shim/main.cpp`.
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

    /// Sends a request. Restarts the program if it ended without an answer.
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

    /// Handles the replies that any request may get.
    fn settle(&mut self, reply: Reply) -> Result<Vec<u8>> {
        match reply {
            Reply::Done(payload) => Ok(payload),
            Reply::Refused(why) => Err(Error::Memory(why)),
            Reply::LastWords(fault) => Err(self.restart(&fault.message)?),
            Reply::Fault(_) | Reply::Undefined(_) => Err(self.restart("an answer to another question")?),
        }
    }

    /// Starts a new program. Returns the error to report for the old one.
    fn restart(&mut self, cause: &str) -> Result<Error> {
        self.program = Program::start()?.0;
        self.buffers.clear();
        Ok(Error::Lost { cause: cause.to_owned() })
    }
}
