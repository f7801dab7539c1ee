//! Pictures to batches: folders, zips and the built-in digits, checked, augmented and prefetched.
#![forbid(unsafe_code)]
