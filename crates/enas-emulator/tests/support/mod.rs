//! The emulator as the device of `enas-kernels`, with an order of threads.

use std::sync::{Mutex, PoisonError};

use enas_emulator::{BufferId, Emulator, Launch};
use enas_kernels::gpu::{self, Device, Gpu, Handle};

/// A device whose threads and blocks run in the order of `seed`.
pub(crate) fn gpu(seed: u64) -> Gpu {
    let emulator = Emulator::start().expect("the emulator starts");
    Gpu::new(Box::new(Ordered { emulator, seed, buffers: Mutex::default() }))
}

struct Ordered {
    emulator: Emulator,
    seed: u64,
    /// Handles count from zero.
    buffers: Mutex<Vec<BufferId>>,
}

impl std::fmt::Debug for Ordered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} with order {}", self.name(), self.seed)
    }
}

impl Ordered {
    fn buffer(&self, memory: Handle) -> BufferId {
        self.buffers.lock().unwrap_or_else(PoisonError::into_inner)[memory.0 as usize]
    }
}

fn failed(error: enas_emulator::Error) -> gpu::Error {
    gpu::Error::Failed(error.to_string())
}

impl Device for Ordered {
    fn name(&self) -> String {
        "emulator".to_owned()
    }

    fn allocate(&self, bytes: usize) -> Result<Handle, gpu::Error> {
        let buffer = self.emulator.alloc(bytes as u64).map_err(failed)?;
        let mut buffers = self.buffers.lock().unwrap_or_else(PoisonError::into_inner);
        buffers.push(buffer);
        Ok(Handle(buffers.len() as u64 - 1))
    }

    fn release(&self, memory: Handle) {
        self.emulator.free(self.buffer(memory)).expect("the buffer exists");
    }

    fn recycled(&self, memory: Handle) {
        self.emulator.fill_undefined(self.buffer(memory)).expect("the buffer exists");
    }

    fn upload(&self, memory: Handle, offset: usize, bytes: &[u8]) -> Result<(), gpu::Error> {
        self.emulator.write(self.buffer(memory), offset as u64, bytes).map_err(failed)
    }

    fn download(&self, memory: Handle, offset: usize, bytes: &mut [u8]) -> Result<(), gpu::Error> {
        let read = self.emulator.read(self.buffer(memory), offset as u64, bytes.len() as u64);
        bytes.copy_from_slice(&read.map_err(failed)?);
        Ok(())
    }

    fn clear(&self, memory: Handle, offset: usize, bytes: usize) -> Result<(), gpu::Error> {
        self.emulator.fill(self.buffer(memory), offset as u64, bytes as u64, 0).map_err(failed)
    }

    fn launch(&self, launch: &gpu::Launch, args: &[gpu::Arg]) -> Result<(), gpu::Error> {
        let args: Vec<enas_emulator::Arg> = args
            .iter()
            .map(|arg| match *arg {
                gpu::Arg::Memory(memory, offset) => {
                    enas_emulator::Arg::Buffer(self.buffer(memory), offset as u64)
                }
                gpu::Arg::U32(value) => enas_emulator::Arg::U32(value),
                gpu::Arg::F32(value) => enas_emulator::Arg::F32(value),
            })
            .collect();
        let gpu::Launch { kernel, grid, block } = *launch;
        let launch = Launch { kernel, grid, block, order_seed: self.seed, ..Launch::default() };
        self.emulator.launch(&launch, &args).map_err(failed)
    }
}
