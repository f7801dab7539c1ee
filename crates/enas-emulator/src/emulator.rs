//! The emulated GPU: its memory, and launches over it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::buffer::BufferId;
use crate::element::{self, Element};
use crate::error::{Error, Fault, Result};
use crate::kernel::EmulatedKernel;
use crate::launch::{LaunchArg, LaunchRequest};
use crate::program::Response;
use crate::session::Session;
use crate::wire::RequestKind;

/// An emulated GPU: its memory, and launches over it.
pub struct Emulator {
    kernels: Vec<EmulatedKernel>,
    session: Mutex<Session>,
}

impl Emulator {
    /// Starts a new emulator; it shares no memory with others.
    ///
    /// # Errors
    /// [`Error::Start`] if the emulator's program does not start.
    pub fn start() -> Result<Emulator> {
        let (session, kernels) = Session::start()?;
        Ok(Emulator { kernels, session: Mutex::new(session) })
    }

    /// All kernels of the project, sorted by name.
    pub fn kernels(&self) -> &[EmulatedKernel] {
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
        self.lock().alloc(bytes)
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
        self.lock().free(buffer)
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
        let mut session = self.lock();
        let request = session.range_request(RequestKind::Write, buffer, offset, bytes.len() as u64)?;
        session.request(&request, bytes).map(drop)
    }

    /// Reads `len` bytes of a buffer, from byte `offset` on.
    ///
    /// # Errors
    /// [`Error::UnknownBuffer`]; [`Error::Range`] beyond the end; [`Error::NeverWritten`] if neither host nor kernel
    /// wrote one of the bytes; [`Error::Lost`] if the program ended.
    pub fn read(&self, buffer: BufferId, offset: u64, len: u64) -> Result<Vec<u8>> {
        let mut session = self.lock();
        let request = session.range_request(RequestKind::Read, buffer, offset, len)?;
        match session.send(&request, &[])? {
            Response::NeverWritten(byte) => Err(Error::NeverWritten { buffer, byte }),
            other => session.payload(other),
        }
    }

    /// Sets `len` bytes of a buffer to `byte`, from byte `offset` on.
    ///
    /// # Errors
    /// As for [`write`](Self::write).
    pub fn fill(&self, buffer: BufferId, offset: u64, len: u64, byte: u8) -> Result<()> {
        let mut session = self.lock();
        let request = session.range_request(RequestKind::Fill, buffer, offset, len)?;
        session.request(&request.u8(byte), &[]).map(drop)
    }

    /// Marks the whole buffer as unwritten. So a later read of old content is detected.
    ///
    /// # Errors
    /// As for [`write`](Self::write).
    pub fn fill_undefined(&self, buffer: BufferId) -> Result<()> {
        let mut session = self.lock();
        let bytes = session.length(buffer)?;
        let request = session.range_request(RequestKind::Undefine, buffer, 0, bytes)?;
        session.request(&request, &[]).map(drop)
    }

    /// Copies `len` bytes between buffers; each side is a buffer and its first byte. Unwritten bytes stay unwritten.
    ///
    /// # Errors
    /// As for [`write`](Self::write).
    pub fn copy(&self, from: (BufferId, u64), to: (BufferId, u64), len: u64) -> Result<()> {
        let mut session = self.lock();
        session.check(to.0, to.1, len)?;
        let request = session.range_request(RequestKind::Copy, from.0, from.1, len)?;
        session.request(&request.u64(to.0.0).u64(to.1).u64(len), &[]).map(drop)
    }

    /// Runs a kernel to its end, or to its first fault.
    ///
    /// # Errors
    /// - [`Error::UnknownKernel`], [`Error::Arguments`] or [`Error::LaunchRequest`] if the request does not fit the
    ///   kernel's signature or a device's limits.
    /// - [`Error::UnknownBuffer`] or [`Error::Range`] if an argument is not part of a buffer.
    /// - [`Error::Fault`] if the kernel does something wrong. Memory is then as the kernel left it.
    /// - [`Error::Lost`] if the program ended. All buffers are then gone and the emulator is as new.
    pub fn launch(&self, launch: &LaunchRequest<'_>, args: &[LaunchArg]) -> Result<()> {
        let (number, kernel) = self.kernel(launch.kernel)?;
        if let Some(problem) = kernel.mismatch(args) {
            return Err(Error::Arguments { kernel: kernel.to_string(), problem });
        }
        if let Some(problem) = launch.exceeded_limit(kernel.max_threads) {
            return Err(Error::LaunchRequest { kernel: kernel.name.clone(), problem });
        }
        let mut session = self.lock();
        let request = session.launch_request(number, launch, args)?;
        let named = |fault: Fault| Fault { kernel: kernel.name.clone(), ..fault };
        match session.send(&request, &[])? {
            Response::Fault(fault) => Err(Error::Fault(Box::new(named(fault)))),
            Response::Crashed(fault) => Err(session.restart(&named(fault).to_string())?),
            other => {
                session.payload(other)?;
                session.launches += 1;
                Ok(())
            }
        }
    }

    fn kernel(&self, name: &str) -> Result<(u32, &EmulatedKernel)> {
        match self.kernels.binary_search_by(|kernel| kernel.name.as_str().cmp(name)) {
            Ok(i) => Ok((i as u32, &self.kernels[i])),
            Err(_) => Err(Error::UnknownKernel { name: name.to_owned(), nearest: self.nearest(name) }),
        }
    }

    /// The three names that share the longest prefix with `name`.
    fn nearest(&self, name: &str) -> String {
        let common = |kernel: &&EmulatedKernel| {
            kernel.name.bytes().zip(name.bytes()).take_while(|(a, b)| a == b).count()
        };
        let mut kernels: Vec<&EmulatedKernel> = self.kernels.iter().collect();
        kernels.sort_by_key(|kernel| std::cmp::Reverse(common(kernel)));
        let names: Vec<&str> = kernels.iter().take(3).map(|kernel| kernel.name.as_str()).collect();
        names.join(", ")
    }

    /// Locks the session. A panic elsewhere leaves it consistent: a request is either answered, or the program is
    /// restarted.
    fn lock(&self) -> MutexGuard<'_, Session> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
