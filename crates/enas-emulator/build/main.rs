//! Builds the emulator's program: the shim and every CUDA kernel, by the host's C++ compiler.
//!
//! Each `.cu` file becomes a translation unit of its own, in an unnamed namespace, so that helpers of two files
//! may bear one name. A kernel enters the table of the program by a line that this build writes. Files with kernels
//! that treat maps become two units, the second for maps in bfloat16; its kernels are named `NAME.bf16`.

#![forbid(unsafe_code)]

mod compile;
mod scan;

use std::path::{Path, PathBuf};
use std::{env, fs, process};

use scan::Kernel;

/// Where kernels lie, relative to this crate.
const KERNELS: [&str; 2] = ["../enas-kernels/src", "kernels"];
/// What follows the names of kernels for maps in bfloat16; nothing follows those for single precision.
const BF16: &str = ".bf16";
/// Headers of the dialect and of the emulator.
const HEADERS: [&str; 2] = ["../enas-kernels/cuda", "shim"];

fn main() {
    if let Err(message) = build() {
        eprintln!("\n{message}\n");
        process::exit(1);
    }
}

fn build() -> Result<(), String> {
    let root = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(variable("OUT_DIR")?);
    let folders = |names: &[&str]| names.iter().map(|name| root.join(name)).collect::<Vec<_>>();
    let kernels = folders(&KERNELS);
    let headers = folders(&HEADERS);
    for folder in kernels.iter().chain(&headers) {
        tell(&format!("rerun-if-changed={}", folder.display()));
    }
    tell("rerun-if-changed=build");
    let compiler = compile::Compiler::find(&headers)?;

    let mut units = files(&[root.join("shim")], &["cpp"])?;
    let mut found = Vec::new();
    for source in files(&kernels, &["cu"])? {
        let kernels = scan::kernels(&compiler.expand(&source)?)
            .map_err(|problem| format!("{}: {problem}", source.display()))?;
        units.push(write_unit(&out, &source, "", &kernels)?);
        if kernels.iter().any(|kernel| kernel.treats_maps) {
            units.push(write_unit(&out, &source, BF16, &kernels)?);
        }
        found.push((source, kernels));
    }
    refuse_doubles(&found)?;
    let all: Vec<PathBuf> = headers.iter().chain(&kernels).cloned().collect();
    let program = compiler.build(&units, &files(&all, &["hpp", "cuh"])?, &out)?;
    tell(&format!("rustc-env=ENAS_GPU_EMULATOR={}", program.display()));
    Ok(())
}

/// Tells Cargo something.
#[allow(clippy::print_stdout, reason = "Cargo reads what a build script prints")]
fn tell(what: &str) {
    println!("cargo::{what}");
}

fn variable(name: &str) -> Result<String, String> {
    env::var(name).map_err(|error| format!("{name}: {error}"))
}

/// All files under `folders` with one of the extensions, sorted.
fn files(folders: &[PathBuf], extensions: &[&str]) -> Result<Vec<PathBuf>, String> {
    let mut found = Vec::new();
    for folder in folders {
        let problem = |error| format!("cannot read {}: {error}", folder.display());
        for entry in fs::read_dir(folder).map_err(problem)? {
            let path = entry.map_err(problem)?.path();
            if path.is_dir() {
                found.extend(files(&[path], extensions)?);
            } else if path.extension().is_some_and(|is| extensions.iter().any(|wanted| is == *wanted)) {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

/// Writes a translation unit of one kernel file: with all its kernels, or in the variant [`BF16`] those that treat
/// maps.
fn write_unit(out: &Path, source: &Path, variant: &str, kernels: &[scan::Kernel]) -> Result<PathBuf, String> {
    let mut text = String::new();
    if variant == BF16 {
        text += "#define ENAS_BF16\n";
        // Names without a namespace of their own, as kernels are `extern "C"`, must differ in a program.
        kernels.iter().for_each(|Kernel { name, .. }| text += &format!("#define {name} {name}_bf16\n"));
    }
    text += &format!("#include \"registry.hpp\"\nnamespace {{\n#include {source:?}\n");
    let listed = kernels.iter().filter(|kernel| variant.is_empty() || kernel.treats_maps);
    for (i, kernel) in listed.enumerate() {
        let names: Vec<String> = kernel.parameters.iter().map(|name| format!("{name:?}")).collect();
        text += &format!(
            "const enas_emulator::Register register_{i}(\"{name}{variant}\", {source:?}, {bound}, {{{names}}}, &{name});\n",
            name = kernel.name,
            bound = kernel.max_threads,
            names = names.join(", "),
        );
    }
    text += "}  // namespace\n";
    let stem = source.file_stem().unwrap_or_default().to_string_lossy();
    let mut digest = compile::Digest::new();
    digest.add(source.as_os_str().as_encoded_bytes());
    let path = out.join(format!("{stem}_{}{variant}.cpp", digest.text()));
    fs::write(&path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    Ok(path)
}

/// Kernels are called by name alone.
fn refuse_doubles(found: &[(PathBuf, Vec<scan::Kernel>)]) -> Result<(), String> {
    let mut all: Vec<(&str, &Path)> = found
        .iter()
        .flat_map(|(source, kernels)| {
            kernels.iter().map(move |kernel| (kernel.name.as_str(), source.as_path()))
        })
        .collect();
    all.sort();
    match all.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        Some(pair) => Err(format!(
            "two kernels are named {}: in {} and in {}",
            pair[0].0,
            pair[0].1.display(),
            pair[1].1.display()
        )),
        None => Ok(()),
    }
}
