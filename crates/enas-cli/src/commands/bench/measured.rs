//! Measured numbers.

use std::fs;

/// Rounds to three decimals.
pub(super) fn rounded(x: f64) -> f64 {
    (x * 1e3).round() / 1e3
}

/// Peak resident memory of this process in MiB; `None` if the system does not provide it.
pub(super) fn peak_rss_mb() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some((kib / 1024.0 * 10.0).round() / 10.0)
}
