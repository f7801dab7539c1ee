//! The emulator itself: requests that it refuses, kernels that are correct, and faults that it finds.
#![forbid(unsafe_code)]

mod correct_kernels;
mod faults;
mod requests;
