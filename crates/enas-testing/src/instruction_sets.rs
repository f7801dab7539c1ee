//! A test that runs again in a process of its own, with the vector instructions that `ENAS_SIMD` names.

use std::env;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Names the file that the process writes its results to.
const RESULTS: &str = "ENAS_TEST_RESULTS";

/// The file that this process must write its results to, if [`results_at`] started it.
pub fn results_file() -> Option<PathBuf> {
    env::var_os(RESULTS).map(PathBuf::from)
}

/// Runs the calling test, whose full name is `test`, in a process of its own with the instructions `level`. Returns
/// what it wrote to its [`results_file`].
pub fn results_at(test: &str, level: &str) -> Vec<u8> {
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    let call = CALLS.fetch_add(1, Ordering::Relaxed);
    let file = env::temp_dir().join(format!("enas-testing-{}-{level}-{call}", std::process::id()));
    let status = Command::new(env::current_exe().unwrap())
        .args(["--exact", test])
        .env(RESULTS, &file)
        .env("ENAS_SIMD", level)
        .status()
        .unwrap();
    assert!(status.success(), "{level}: the child process failed");
    let bytes = std::fs::read(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    bytes
}
