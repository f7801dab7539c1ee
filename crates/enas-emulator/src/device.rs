//! The emulator as a device of `enas-kernels`: operations and whole networks run on it unchanged.

use std::fmt;

use enas_kernels::gpu::{self, Device, Gpu, Handle};

use crate::buffer::BufferId;
use crate::emulator::Emulator;
use crate::error::{self, Error};
use crate::launch::{LaunchArg, LaunchRequest};

/// An emulated GPU that runs blocks and threads in an order given by a seed; see [`LaunchRequest::order_seed`].
pub struct EmulatedGpu {
    emulator: Emulator,
    order_seed: u64,
}

impl EmulatedGpu {
    /// Starts a new emulator, in the form that the operations of `enas-kernels` use.
    ///
    /// # Errors
    /// [`Error::Start`] if the emulator's program does not start.
    pub fn start(order_seed: u64) -> error::Result<Gpu> {
        Ok(Gpu::new(Box::new(Self { emulator: Emulator::start()?, order_seed })))
    }
}

impl Device for EmulatedGpu {
    fn name(&self) -> String {
        "emulated GPU".to_owned()
    }

    fn allocate(&self, bytes: usize) -> Result<Handle, gpu::Error> {
        self.emulator.alloc(bytes as u64).map(|buffer| Handle(buffer.0)).map_err(failed)
    }

    fn release(&self, memory: Handle) {
        // If the program has ended, its memory is lost and there is nothing left to free.
        let _ = self.emulator.free(BufferId(memory.0));
    }

    fn recycled(&self, memory: Handle) {
        // If this fails, the following use of the buffer fails, too.
        let _ = self.emulator.fill_undefined(BufferId(memory.0));
    }

    fn upload(&self, memory: Handle, offset: usize, bytes: &[u8]) -> Result<(), gpu::Error> {
        self.emulator.write(BufferId(memory.0), offset as u64, bytes).map_err(failed)
    }

    fn download(&self, memory: Handle, offset: usize, bytes: &mut [u8]) -> Result<(), gpu::Error> {
        let read = self.emulator.read(BufferId(memory.0), offset as u64, bytes.len() as u64);
        bytes.copy_from_slice(&read.map_err(failed)?);
        Ok(())
    }

    fn clear(&self, memory: Handle, offset: usize, bytes: usize) -> Result<(), gpu::Error> {
        self.emulator.fill(BufferId(memory.0), offset as u64, bytes as u64, 0).map_err(failed)
    }

    fn launch(&self, launch: &gpu::Launch, args: &[gpu::Arg]) -> Result<(), gpu::Error> {
        let args: Vec<LaunchArg> = args
            .iter()
            .map(|arg| match *arg {
                gpu::Arg::Memory(memory, offset) => LaunchArg::Buffer(BufferId(memory.0), offset as u64),
                gpu::Arg::U32(value) => LaunchArg::U32(value),
                gpu::Arg::F32(value) => LaunchArg::F32(value),
            })
            .collect();
        let gpu::Launch { kernel, maps, grid, block } = *launch;
        let kernel = &maps.variant(kernel);
        let launch =
            LaunchRequest { kernel, grid, block, order_seed: self.order_seed, ..LaunchRequest::default() };
        self.emulator.launch(&launch, &args).map_err(failed)
    }
}

impl fmt::Debug for EmulatedGpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EmulatedGpu with order {}", self.order_seed)
    }
}

fn failed(error: Error) -> gpu::Error {
    gpu::Error::Failed(error.to_string())
}
