//! The kernels on a CUDA device of candle.
//!
//! Context, stream and memory are candle's. All work goes through the device's one stream, so it runs in the order of
//! the requests, candle's own work included.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc as SyncArc, Mutex, MutexGuard, PoisonError};

use candle_core::CudaDevice;
use candle_core::cuda_backend::cudarc::driver::{
    CudaContext, CudaFunction, CudaModule, CudaSlice, CudaStream, DevicePtr, DriverError, LaunchConfig,
    PushKernelArg, result, sys,
};
use candle_core::cuda_backend::cudarc::nvrtc::Ptx;

use super::staging::{self, Staging};
use crate::gpu::device::{Arg, Device, Error, Handle, Launch};
use crate::gpu::precision::Precision;

// FATBINS: name and machine code of every `.cu` file; files that handle maps are there twice, once per precision.
// KERNELS: every kernel's name, whether it is for maps in bfloat16, and the index of its file.
include!(concat!(env!("OUT_DIR"), "/fatbins.rs"));

/// Kernels by name and precision of maps.
type Functions = HashMap<(&'static str, Precision), CudaFunction>;

/// Bytes of a number.
const WORD: usize = size_of::<f32>();

/// One NVIDIA GPU. Cloning gives another handle to it.
#[derive(Clone)]
pub(in crate::gpu) struct Cuda(SyncArc<Inner>);

struct Inner {
    name: String,
    device: CudaDevice,
    stream: SyncArc<CudaStream>,
    functions: Functions,
    /// Memory by its address.
    memory: Mutex<HashMap<Handle, Memory>>,
    staging: Mutex<Staging>,
}

/// Memory that launches may use.
enum Memory {
    Own(CudaSlice<f32>),
    /// Memory of tensors: its length in bytes, and the number of loans.
    Lent {
        bytes: usize,
        times: usize,
    },
}

impl Memory {
    fn bytes(&self) -> usize {
        match self {
            Self::Own(slice) => slice.num_bytes(),
            Self::Lent { bytes, .. } => *bytes,
        }
    }
}

impl Cuda {
    /// Loads the kernels into the context of a device.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the device is too old for the kernels, or the program holds none.
    pub(in crate::gpu) fn on(device: &CudaDevice) -> Result<Self, Error> {
        if FATBINS.iter().any(|(_, code)| code.is_empty()) {
            let why = "this program was built for checking, without the CUDA kernels (ENAS_CUDA_STUB was set): build it again with nvcc";
            return Err(Error::Unavailable(why.to_owned()));
        }
        let stream = device.cuda_stream();
        let context = stream.context();
        let ordinal = context.ordinal();
        let functions = load_kernels(context, ordinal)?;
        let name = context.name().unwrap_or_else(|_| "NVIDIA GPU".to_owned());
        Ok(Self(SyncArc::new(Inner {
            name: format!("{name} (cuda:{ordinal})"),
            device: device.clone(),
            stream,
            functions,
            memory: Mutex::default(),
            staging: Mutex::new(Staging::new()),
        })))
    }

    /// Number of GPUs that the driver sees.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the driver does not start.
    pub(in crate::gpu) fn count() -> Result<usize, Error> {
        match CudaContext::device_count() {
            Ok(count) => Ok(usize::try_from(count).unwrap_or(0)),
            Err(error) if error.0 == sys::CUresult::CUDA_ERROR_NO_DEVICE => Ok(0),
            Err(error) => {
                let remedy = "install one of version 580 or newer, or use --device cpu";
                let words = words(&error);
                Err(Error::Unavailable(format!("the NVIDIA driver does not start: {words}; {remedy}")))
            }
        }
    }

    pub(in crate::gpu) fn device(&self) -> &CudaDevice {
        &self.0.device
    }

    /// Borrows part of a tensor's memory for launches. The loan lasts until it was [given back](Self::give_back) as
    /// often as it was borrowed.
    pub(in crate::gpu) fn borrow<T>(&self, slice: &CudaSlice<T>, from: usize, to: usize) -> Handle {
        // The guard orders other streams after this use, if candle tracks them: earlier launches come first.
        let (address, _guard) = slice.device_ptr(&self.0.stream);
        let handle = Handle(address + (from * size_of::<T>()) as u64);
        let bytes = (to - from) * size_of::<T>();
        match self.memory().entry(handle).or_insert(Memory::Lent { bytes, times: 0 }) {
            Memory::Lent { bytes: most, times } => (*most, *times) = (bytes.max(*most), *times + 1),
            Memory::Own(_) => {}
        }
        handle
    }

    /// Ends a [loan](Self::borrow).
    pub(in crate::gpu) fn give_back(&self, handle: Handle) {
        let mut memory = self.memory();
        let Some(Memory::Lent { times, .. }) = memory.get_mut(&handle) else { return };
        *times -= 1;
        if *times == 0 {
            memory.remove(&handle);
        }
    }

    /// Hands memory of this device over to candle.
    ///
    /// # Errors
    /// If the memory belongs to a tensor.
    pub(in crate::gpu) fn take(&self, handle: Handle) -> Result<CudaSlice<f32>, Error> {
        match self.memory().remove(&handle) {
            Some(Memory::Own(slice)) => Ok(slice),
            _ => Err(Error::Failed("memory of a tensor cannot be handed out once more".to_owned())),
        }
    }

    fn bind(&self) -> Result<(), Error> {
        self.0.stream.context().bind_to_thread().map_err(|e| failed("making the GPU current", &e))
    }

    fn memory(&self) -> MutexGuard<'_, HashMap<Handle, Memory>> {
        // Every statement leaves the table consistent.
        self.0.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Checks that `len` bytes from `offset` on lie inside `memory`.
    fn check(&self, memory: Handle, offset: usize, len: usize) -> Result<(), Error> {
        let whole = self.memory().get(&memory).map_or(0, Memory::bytes);
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
        self.0.name.clone()
    }

    fn allocate(&self, bytes: usize) -> Result<Handle, Error> {
        // SAFETY: numbers of any bits are numbers; nothing reads them before a launch or a copy has written them.
        match unsafe { self.0.stream.alloc::<f32>(bytes.div_ceil(WORD)) } {
            Ok(slice) => {
                let handle = Handle(slice.device_ptr(&self.0.stream).0);
                self.memory().insert(handle, Memory::Own(slice));
                Ok(handle)
            }
            Err(error) if error.0 == sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY => {
                let held = self.memory().values().map(Memory::bytes).sum();
                Err(Error::OutOfMemory { asked: bytes, held })
            }
            Err(error) => Err(failed("allocating GPU memory", &error)),
        }
    }

    fn free_bytes(&self) -> Option<usize> {
        self.0.stream.context().mem_get_info().ok().map(|(free, _)| free)
    }

    fn release(&self, memory: Handle) {
        // Candle frees it in the order of the stream: after the launches that still use it.
        drop(self.memory().remove(&memory));
    }

    fn upload(&self, memory: Handle, offset: usize, bytes: &[u8]) -> Result<(), Error> {
        self.check(memory, offset, bytes.len())?;
        self.bind()?;
        let to = memory.0 + offset as u64;
        if bytes.len() >= staging::LEAST {
            // After a panic, the pieces' copies have ended or will be waited for.
            let mut staging = self.0.staging.lock().unwrap_or_else(PoisonError::into_inner);
            // SAFETY: the destination was just checked.
            unsafe { staging.upload(&self.0.stream, to, bytes) }
        } else {
            // SAFETY: the destination was just checked. From pageable memory the driver has read the slice when it
            // returns, although it may not have written the device yet.
            unsafe { result::memcpy_htod_async(to, bytes, self.0.stream.cu_stream()) }
        }
        .map_err(|e| failed("copying to the GPU", &e))
    }

    fn download(&self, memory: Handle, offset: usize, bytes: &mut [u8]) -> Result<(), Error> {
        self.check(memory, offset, bytes.len())?;
        self.bind()?;
        // SAFETY: the source was just checked, and the stream is waited for before the slice is used.
        unsafe { result::memcpy_dtoh_async(bytes, memory.0 + offset as u64, self.0.stream.cu_stream()) }
            .and_then(|()| self.0.stream.synchronize())
            .map_err(|e| failed("copying from the GPU", &e))
    }

    fn clear(&self, memory: Handle, offset: usize, bytes: usize) -> Result<(), Error> {
        self.check(memory, offset, bytes)?;
        self.bind()?;
        // SAFETY: the extent was just checked.
        unsafe { result::memset_d8_async(memory.0 + offset as u64, 0, bytes, self.0.stream.cu_stream()) }
            .map_err(|e| failed("clearing GPU memory", &e))
    }

    fn launch(&self, launch: &Launch, args: &[Arg]) -> Result<(), Error> {
        let Some(function) = self.0.functions.get(&(launch.kernel, launch.maps)) else {
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
        let mut builder = self.0.stream.launch_builder(function);
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
        write!(f, "Cuda({})", self.0.name)
    }
}

fn failed(what: &str, error: &DriverError) -> Error {
    Error::Failed(format!("{what}: {}", words(error)))
}

/// The driver's message, such as `CUDA_ERROR_NO_DEVICE, no CUDA-capable device is detected`.
fn words(error: &DriverError) -> String {
    let text = |s: Result<&std::ffi::CStr, DriverError>| s.map(|s| s.to_string_lossy().into_owned());
    match (text(error.error_name()), text(error.error_string())) {
        (Ok(name), Ok(string)) => format!("{name}, {string}"),
        _ => format!("{:?}", error.0),
    }
}
