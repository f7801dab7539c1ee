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
//! Blocks run one after another and threads in turns. [`LaunchRequest::order_seed`] permutes both: a kernel whose
//! output bytes depend on it is wrong.
//!
//! It does *not* model a device's speed, its caches or the order of its memory operations. nvcc fuses `a * b + c`
//! unless a flag forbids it; here it rounds twice. `expf` and similar functions are the host's.
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
//! use enas_emulator::{Emulator, LaunchArg, LaunchRequest};
//!
//! let gpu = Emulator::start()?;
//! let (x, y) = (gpu.upload(&[1_f32, 2.0, 3.0])?, gpu.alloc(12)?);
//! let launch = LaunchRequest { kernel: "emulator_copy4", block: [32, 1, 1], order_seed: 7, ..LaunchRequest::default()
//! }; gpu.launch(&launch, &[LaunchArg::Buffer(x, 0), LaunchArg::Buffer(y, 0), LaunchArg::U32(3)])?;
//! assert_eq!(gpu.download::<f32>(y)?, [1.0, 2.0, 3.0]);
//! # Ok::<(), enas_emulator::Error>(())
//! ```

#![forbid(unsafe_code)]

mod buffer;
mod device;
mod element;
mod emulator;
mod error;
mod kernel;
mod launch;
mod program;
mod session;
mod wire;

pub use buffer::BufferId;
pub use device::EmulatedGpu;
pub use element::Element;
pub use emulator::Emulator;
pub use error::{Error, Fault, FaultKind, Result};
pub use kernel::{EmulatedKernel, Parameter};
pub use launch::{LaunchArg, LaunchRequest};
