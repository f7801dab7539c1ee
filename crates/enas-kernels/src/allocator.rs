//! Settings of the C allocator (glibc): whether it keeps freed memory for the next training step.

/// Makes glibc keep freed memory in the process. Otherwise it goes back to the system, which maps and zeroes it anew at
/// the next training step. Binaries call this first. Without glibc it does nothing.
///
/// A library should not decide this for its host program, so nothing in this crate calls it.
pub fn tune_allocator() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: `mallopt` only sets parameters of the allocator and may be called at any time.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 1 << 30);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 1 << 30);
        libc::mallopt(libc::M_TOP_PAD, 1 << 24);
    }
}

/// Undoes [`tune_allocator`]: from now on glibc returns freed memory to the system. That costs time, but the process
/// holds little more than it uses. For binaries that are short of memory. Without glibc it does nothing.
pub fn return_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: as above.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 1 << 17);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 1 << 17);
        libc::mallopt(libc::M_TOP_PAD, 1 << 16);
    }
    trim_allocator();
}

/// Returns freed memory to the system once. Without glibc it does nothing.
pub fn trim_allocator() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: `malloc_trim` only releases pages that no allocation uses, and may be called at any time.
    unsafe {
        libc::malloc_trim(0);
    }
}
