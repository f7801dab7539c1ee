//! NVIDIA GPUs, through the CUDA driver.
//!
//! The driver's library is looked for when a device is opened, not when the program starts: a program built with
//! CUDA runs on machines without. Everything goes through one stream, so it happens in the order it was asked for.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc as SyncArc, Mutex, PoisonError};

use cudarc::driver::{
    CudaContext, CudaFunction, CudaModule, CudaStream, DriverError, LaunchConfig, PushKernelArg, result, sys,
};
use cudarc::nvrtc::Ptx;

use super::device::{Arg, Device, Error, Handle, Launch};
use super::precision::Precision;
use super::staging::{self, Staging};

// FATBINS: name and machine code of every `.cu` file, of those that treat maps for either precision of maps; KERNELS:
// every kernel's name, whether it is for maps in bfloat16, and the index of its file.
include!(concat!(env!("OUT_DIR"), "/fatbins.rs"));

/// Kernels by name and precision of maps.
type Functions = HashMap<(&'static str, Precision), CudaFunction>;

/// One NVIDIA GPU.
pub struct Cuda {
    name: String,
    context: SyncArc<CudaContext>,
    stream: SyncArc<CudaStream>,
    functions: Functions,
    /// Length of every piece of memory.
    lengths: Mutex<HashMap<Handle, usize>>,
    held: AtomicUsize,
    staging: Mutex<Staging>,
}

impl Cuda {
    /// Opens the GPU with this number, counted from 0.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if there is no driver or no such device, or the device is too old for the kernels.
    pub fn open(ordinal: usize) -> Result<Self, Error> {
        let count = Self::count()?;
        if ordinal >= count {
            let have = match count {
                0 => "the driver sees no GPU".to_owned(),
                1 => "there is only cuda:0".to_owned(),
                n => format!("there are cuda:0 to cuda:{}", n - 1),
            };
            return Err(Error::Unavailable(format!("no device cuda:{ordinal}: {have}")));
        }
        if FATBINS.iter().any(|(_, code)| code.is_empty()) {
            let why = "this program was built for checking, without the CUDA kernels (ENAS_CUDA_STUB was set): build it again with nvcc";
            return Err(Error::Unavailable(why.to_owned()));
        }
        let context = CudaContext::new(ordinal).map_err(|e| unavailable(ordinal, &e))?;
        // SAFETY: all work is on one stream, so there is nothing between streams for events to order.
        unsafe { context.disable_event_tracking() };
        let stream = context.new_stream().map_err(|e| unavailable(ordinal, &e))?;
        let functions = load_kernels(&context, ordinal)?;
        let name = context.name().unwrap_or_else(|_| "NVIDIA GPU".to_owned());
        Ok(Self {
            name: format!("{name} (cuda:{ordinal})"),
            context,
            stream,
            functions,
            lengths: Mutex::default(),
            held: AtomicUsize::new(0),
            staging: Mutex::new(Staging::new()),
        })
    }

    /// How many GPUs the driver sees.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if there is no driver.
    pub fn count() -> Result<usize, Error> {
        // SAFETY: looks for the driver's shared library and opens it; running its initialiser is what a user of
        // CUDA asks for.
        if !unsafe { sys::is_culib_present() } {
            let why = "no NVIDIA driver was found (libcuda.so.1): install one, or use --device cpu";
            return Err(Error::Unavailable(why.to_owned()));
        }
        match CudaContext::device_count() {
            Ok(count) => Ok(usize::try_from(count).unwrap_or(0)),
            Err(error) if error.0 == sys::CUresult::CUDA_ERROR_NO_DEVICE => Ok(0),
            Err(error) => {
                Err(Error::Unavailable(format!("the NVIDIA driver does not start: {}", words(&error))))
            }
        }
    }

    fn bind(&self) -> Result<(), Error> {
        self.context.bind_to_thread().map_err(|e| failed("making the GPU current", &e))
    }

    fn length(&self, memory: Handle) -> usize {
        self.lengths().get(&memory).copied().unwrap_or(0)
    }

    fn lengths(&self) -> std::sync::MutexGuard<'_, HashMap<Handle, usize>> {
        // Every statement leaves the table consistent.
        self.lengths.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Checks that `len` bytes from `offset` on lie inside `memory`.
    fn check(&self, memory: Handle, offset: usize, len: usize) -> Result<(), Error> {
        let whole = self.length(memory);
        if offset + len <= whole {
            return Ok(());
        }
        Err(Error::Failed(format!("{len} bytes at {offset} are not inside GPU memory of {whole} bytes")))
    }
}

fn load_kernels(context: &SyncArc<CudaContext>, ordinal: usize) -> Result<Functions, Error> {
    let load = |(file, code): &(&str, &[u8])| {
        context.load_module(Ptx::from_binary(code.to_vec())).map_err(|error| {
            let words = words(&error);
            let need = "the kernels need compute capability 7.5 and a driver for CUDA 13 (580 or newer)";
            Error::Unavailable(format!("cuda:{ordinal} cannot run {file}: {words}; {need}"))
        })
    };
    let modules: Vec<SyncArc<CudaModule>> = FATBINS.iter().map(load).collect::<Result<_, _>>()?;
    KERNELS
        .iter()
        .map(|(name, bf16, module)| match modules[*module].load_function(name) {
            Ok(function) => Ok(((*name, if *bf16 { Precision::Bf16 } else { Precision::F32 }), function)),
            Err(error) => Err(failed(name, &error)),
        })
        .collect()
}

impl Device for Cuda {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn allocate(&self, bytes: usize) -> Result<Handle, Error> {
        self.bind()?;
        // SAFETY: the context is current; the address is given back by `release` or with the context.
        match unsafe { result::malloc_sync(bytes) } {
            Ok(address) => {
                let handle = Handle(address);
                self.lengths().insert(handle, bytes);
                self.held.fetch_add(bytes, Ordering::Relaxed);
                Ok(handle)
            }
            Err(error) if error.0 == sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY => {
                Err(Error::OutOfMemory { asked: bytes, held: self.held.load(Ordering::Relaxed) })
            }
            Err(error) => Err(failed("allocating GPU memory", &error)),
        }
    }

    fn free_bytes(&self) -> Option<usize> {
        self.bind().ok()?;
        result::mem_get_info().ok().map(|(free, _)| free)
    }

    fn release(&self, memory: Handle) {
        let Some(bytes) = self.lengths().remove(&memory) else { return };
        self.held.fetch_sub(bytes, Ordering::Relaxed);
        if self.bind().is_ok() {
            // SAFETY: `allocate` made this address and it was just taken out of the table, so it is freed once.
            // The driver waits for launches that still use it. A failure has nobody left to hear of it.
            let _ = unsafe { result::free_sync(memory.0) };
        }
    }

    fn upload(&self, memory: Handle, offset: usize, bytes: &[u8]) -> Result<(), Error> {
        self.check(memory, offset, bytes.len())?;
        self.bind()?;
        let to = memory.0 + offset as u64;
        if bytes.len() >= staging::LEAST {
            // A failure leaves pieces whose copies have ended or will be waited for.
            let mut staging = self.staging.lock().unwrap_or_else(PoisonError::into_inner);
            // SAFETY: the destination was just checked.
            unsafe { staging.upload(&self.stream, to, bytes) }
        } else {
            // SAFETY: the destination was just checked. From pageable memory the driver has read the slice when it
            // returns, although it may not have written the device yet.
            unsafe { result::memcpy_htod_async(to, bytes, self.stream.cu_stream()) }
        }
        .map_err(|e| failed("copying to the GPU", &e))
    }

    fn download(&self, memory: Handle, offset: usize, bytes: &mut [u8]) -> Result<(), Error> {
        self.check(memory, offset, bytes.len())?;
        self.bind()?;
        // SAFETY: the source was just checked, and the stream is waited for before the slice is used.
        unsafe { result::memcpy_dtoh_async(bytes, memory.0 + offset as u64, self.stream.cu_stream()) }
            .and_then(|()| self.stream.synchronize())
            .map_err(|e| failed("copying from the GPU", &e))
    }

    fn clear(&self, memory: Handle, offset: usize, bytes: usize) -> Result<(), Error> {
        self.check(memory, offset, bytes)?;
        self.bind()?;
        // SAFETY: the extent was just checked.
        unsafe { result::memset_d8_async(memory.0 + offset as u64, 0, bytes, self.stream.cu_stream()) }
            .map_err(|e| failed("clearing GPU memory", &e))
    }

    fn launch(&self, launch: &Launch, args: &[Arg]) -> Result<(), Error> {
        let Some(function) = self.functions.get(&(launch.kernel, launch.maps)) else {
            let name = launch.maps.variant(launch.kernel);
            return Err(Error::Failed(format!("there is no CUDA kernel `{name}`")));
        };
        let addresses: Vec<u64> = args
            .iter()
            .map(|arg| match arg {
                Arg::Memory(memory, offset) => memory.0 + *offset as u64,
                _ => 0,
            })
            .collect();
        let mut builder = self.stream.launch_builder(function);
        for (arg, address) in args.iter().zip(&addresses) {
            match arg {
                Arg::Memory(..) => builder.arg(address),
                Arg::U32(value) => builder.arg(value),
                Arg::F32(value) => builder.arg(value),
            };
        }
        let [x, y, z] = launch.grid;
        let block_dim = (launch.block[0], launch.block[1], launch.block[2]);
        let config = LaunchConfig { grid_dim: (x, y, z), block_dim, shared_mem_bytes: 0 };
        // SAFETY: the operations of this crate pass what the kernel's signature asks for and keep it inside the
        // buffers; the emulator checks both for every kernel, argument by argument and access by access.
        unsafe { builder.launch(config) }.map(drop).map_err(|e| failed(launch.kernel, &e))
    }
}

impl fmt::Debug for Cuda {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cuda({})", self.name)
    }
}

impl Drop for Cuda {
    fn drop(&mut self) {
        let left: Vec<Handle> = self.lengths().keys().copied().collect();
        left.into_iter().for_each(|memory| self.release(memory));
    }
}

fn unavailable(ordinal: usize, error: &DriverError) -> Error {
    Error::Unavailable(format!("cuda:{ordinal} cannot be used: {}", words(error)))
}

fn failed(what: &str, error: &DriverError) -> Error {
    Error::Failed(format!("{what}: {}", words(error)))
}

/// What the driver says, such as `CUDA_ERROR_NO_DEVICE, no CUDA-capable device is detected`.
fn words(error: &DriverError) -> String {
    let text = |s: Result<&std::ffi::CStr, DriverError>| s.map(|s| s.to_string_lossy().into_owned());
    match (text(error.error_name()), text(error.error_string())) {
        (Ok(name), Ok(string)) => format!("{name}, {string}"),
        _ => format!("{:?}", error.0),
    }
}
