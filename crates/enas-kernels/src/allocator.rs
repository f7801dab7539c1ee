//! Tells the C allocator to keep memory that programs of this project use again at every step.

/// Lets freed memory stay with the process instead of going back to the system, where it would have to be
/// mapped and zeroed anew at the next step. For binaries to call first; a no-op where the C library is not glibc.
///
/// A library should not decide this for its host, which is why nothing here calls it.
pub fn tune_allocator() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: `mallopt` only sets parameters of the allocator and may be called at any time.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 1 << 30);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 1 << 30);
        libc::mallopt(libc::M_TOP_PAD, 1 << 24);
    }
}

/// Undoes [`tune_allocator`]: from now on freed memory goes back to the system, which costs time and keeps what a process
/// takes close to what it uses. For binaries that are short of memory; a no-op where the C library is not glibc.
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

/// Gives freed memory back to the system once. A no-op where the C library is not glibc.
pub fn trim_allocator() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: `malloc_trim` only releases pages that no allocation uses, and may be called at any time.
    unsafe {
        libc::malloc_trim(0);
    }
}
