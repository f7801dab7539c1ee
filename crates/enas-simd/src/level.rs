//! The instruction sets, and which one is in use.

use std::sync::OnceLock;

/// An instruction set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Plain Rust, for any processor.
    Portable,
    /// AVX2 with fused multiply-add: two registers of eight numbers.
    Avx2,
    /// AVX-512 F: one register of sixteen numbers.
    Avx512,
}

/// The instruction set in use: the widest one that the processor has and `ENAS_SIMD` allows.
#[inline]
pub fn level() -> Level {
    static LEVEL: OnceLock<Level> = OnceLock::new();
    *LEVEL.get_or_init(|| allowed_level().min(best_level()))
}

/// The widest instruction set that the environment variable `ENAS_SIMD` allows: `portable`, `avx2`, or any.
pub(crate) fn allowed_level() -> Level {
    match std::env::var("ENAS_SIMD").as_deref() {
        Ok("portable") => Level::Portable,
        Ok("avx2") => Level::Avx2,
        _ => Level::Avx512,
    }
}

#[cfg(target_arch = "x86_64")]
fn best_level() -> Level {
    if is_x86_feature_detected!("avx512f") {
        Level::Avx512
    } else if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        Level::Avx2
    } else {
        Level::Portable
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn best_level() -> Level {
    Level::Portable
}
