//! Profiler of operations: time, calls, bytes and floating-point operations by kind. Off until [`enable`] is called.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

static ENABLED: AtomicBool = AtomicBool::new(false);
static TOTALS: Mutex<BTreeMap<(&'static str, &'static str), Total>> = Mutex::new(BTreeMap::new());

#[derive(Clone, Copy, Default)]
struct Total {
    calls: u64,
    seconds: f64,
    flops: f64,
    bytes: f64,
}

/// Cost of one kind of operation since [`enable`].
#[derive(Clone, Debug, PartialEq)]
pub struct ProfileRow {
    /// Operation and direction, such as `depthwise backward`.
    pub name: String,
    /// Number of calls.
    pub calls: u64,
    /// Wall-clock milliseconds in total.
    pub milliseconds: f64,
    /// Floating-point operations in total, in units of 10⁹.
    pub gflop: f64,
    /// Lower bound on the memory traffic of maps in total, in units of 10⁹ bytes.
    pub gbytes: f64,
}

/// Turns the profiler on, with totals of zero.
pub fn enable() {
    totals().clear();
    ENABLED.store(true, Ordering::Relaxed);
}

/// The measurements so far; the kind that took the most time comes first.
pub fn report() -> Vec<ProfileRow> {
    let mut rows: Vec<ProfileRow> = totals()
        .iter()
        .map(|((name, direction), t)| ProfileRow {
            name: format!("{name} {direction}"),
            calls: t.calls,
            milliseconds: t.seconds * 1e3,
            gflop: t.flops / 1e9,
            gbytes: t.bytes / 1e9,
        })
        .collect();
    rows.sort_by(|a, b| b.milliseconds.total_cmp(&a.milliseconds));
    rows
}

/// The start time of an operation, for [`stop`]; `None` while the profiler is off.
pub fn start() -> Option<Instant> {
    ENABLED.load(Ordering::Relaxed).then(Instant::now)
}

/// Records an operation that began at `start`. `name` is its name and direction; `bytes` is a lower bound on its memory
/// traffic. Does nothing if `start` is `None`.
pub fn stop(start: Option<Instant>, name: (&'static str, &'static str), flops: f64, bytes: f64) {
    if let Some(start) = start {
        let mut totals = totals();
        let total = totals.entry(name).or_default();
        total.calls += 1;
        total.seconds += start.elapsed().as_secs_f64();
        total.flops += flops;
        total.bytes += bytes;
    }
}

fn totals() -> std::sync::MutexGuard<'static, BTreeMap<(&'static str, &'static str), Total>> {
    // The totals are consistent after every statement, so a panic elsewhere does no harm.
    TOTALS.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
