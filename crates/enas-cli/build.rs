//! Passes options to the linker that make the program smaller, if the linker supports them.
#![forbid(unsafe_code)]

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Removes symbols. Cargo would keep them, because this package has settings of its own in the profile.
const STRIP: &str = "-Wl,--strip-all";
/// Keeps functions with identical machine code only once (identical code folding, ICF). Generic code has many of
/// them.
const FOLD: &str = "-Wl,--icf=all";
/// Encodes relative relocations compactly (RELR). The dynamic loader must support it: glibc 2.36 or musl 1.2.4.
const SHORT_LIST: &str = "-Wl,-z,pack-relative-relocs";

/// The environment variable that keeps symbols, for profilers and backtraces.
const KEEP: &str = "CARGO_PROFILE_RELEASE_STRIP";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed={KEEP}");
    if env::var("PROFILE").as_deref() != Ok("release") {
        return;
    }
    let is_stripped = env::var(KEEP).map_or(true, |kept| kept != "none" && kept != "false");
    let wanted = is_stripped.then_some(STRIP).into_iter().chain([FOLD, SHORT_LIST]);
    for argument in wanted.filter(|argument| links_with(argument)) {
        println!("cargo:rustc-link-arg-bins={argument}");
    }
}

/// Whether the linker of this build accepts `argument`, which linkers other than LLD may not, and its output runs
/// here.
///
/// Tests this with an empty program. Returns false for cross-compilation, where the output could not be run.
fn links_with(argument: &str) -> bool {
    let variable = |name: &str| env::var_os(name).unwrap_or_default();
    if variable("HOST") != variable("TARGET") {
        return false;
    }
    let out = Path::new(&variable("OUT_DIR")).join("probe");
    let source = out.with_extension("rs");
    if fs::write(&source, "fn main() {}").is_err() {
        return false;
    }
    let mut rustc = Command::new(variable("RUSTC"));
    rustc.arg(&source).arg("-o").arg(&out).arg("--target").arg(variable("TARGET"));
    let flags = variable("CARGO_ENCODED_RUSTFLAGS").into_string().unwrap_or_default();
    rustc.args(flags.split('\u{1f}').filter(|flag| !flag.is_empty()));
    let linker = variable("RUSTC_LINKER");
    if !linker.is_empty() {
        let mut setting = OsString::from("-Clinker=");
        setting.push(linker);
        rustc.arg(setting);
    }
    rustc.arg(format!("-Clink-arg={argument}"));
    let succeeds = |command: &mut Command| command.output().is_ok_and(|output| output.status.success());
    succeeds(&mut rustc) && succeeds(&mut Command::new(&out))
}
