//! Compiles the CUDA kernels, if the feature `cuda` asks for them. Without it nothing is looked for.
//!
//! `NVCC`, else `CUDA_HOME/bin/nvcc`, else `nvcc` on the path does the work. With `ENAS_CUDA_STUB` set the kernels are
//! left empty, so that the Rust side can be checked on a machine without a CUDA compiler.
#![forbid(unsafe_code)]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, exit};
use std::{env, fs};

include!("nvcc.rs");

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if env::var_os("CARGO_FEATURE_CUDA").is_none() {
        return;
    }
    for variable in ["NVCC", "CUDA_HOME", "ENAS_CUDA_STUB"] {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    println!("cargo::rerun-if-changed=cuda");
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_else(|| fail("cargo sets no OUT_DIR")));
    let mut sources = Vec::new();
    for folder in SOURCES {
        println!("cargo::rerun-if-changed={folder}");
        collect(Path::new(folder), &mut sources);
    }
    sources.sort();
    let compiler = (env::var_os("ENAS_CUDA_STUB").is_none()).then(Compiler::find);
    let mut fatbins = String::new();
    let mut kernels = String::new();
    let each = |source: PathBuf| {
        let text =
            fs::read_to_string(&source).unwrap_or_else(|e| fail(&format!("{}: {e}", source.display())));
        variants(&text).iter().map(move |variant| (source.clone(), *variant))
    };
    for (index, (source, (variant, flags))) in sources.into_iter().flat_map(each).enumerate() {
        let stem = source.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let fatbin = out.join(format!("{stem}{variant}.fatbin"));
        let names = match &compiler {
            Some(compiler) => kernels_of(&source, &compiler.compile(&source, flags, &fatbin)),
            None => {
                fs::write(&fatbin, []).unwrap_or_else(|e| fail(&format!("{}: {e}", fatbin.display())));
                Vec::new()
            }
        };
        let _ = writeln!(
            fatbins,
            "    ({:?}, include_bytes!({:?})),",
            format!("{stem}.cu{variant}"),
            fatbin.display().to_string()
        );
        for kernel in names {
            let _ = writeln!(kernels, "    ({kernel:?}, {}, {index}),", !variant.is_empty());
        }
    }
    let text = format!(
        "static FATBINS: &[(&str, &[u8])] = &[\n{fatbins}];\nstatic KERNELS: &[(&str, bool, usize)] = &[\n{kernels}];\n"
    );
    let target = out.join("fatbins.rs");
    fs::write(&target, text).unwrap_or_else(|e| fail(&format!("{}: {e}", target.display())));
}

/// All `.cu` files under a folder.
fn collect(folder: &Path, into: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| fail(&format!("{}: {e}", folder.display())));
    for path in entries.filter_map(|entry| entry.ok().map(|entry| entry.path())) {
        if path.is_dir() {
            collect(&path, into);
        } else if path.extension().is_some_and(|e| e == "cu") {
            into.push(path);
        }
    }
}

/// The names of a file's kernels, by the assembler's report: macros make kernels as well, so the source does not tell.
fn kernels_of(source: &Path, report: &str) -> Vec<String> {
    let mut names: Vec<String> = report
        .split("Compiling entry function '")
        .skip(1)
        .filter_map(|rest| Some(rest.split_once('\'')?.0.to_owned()))
        .collect();
    names.sort();
    names.dedup();
    if names.is_empty() {
        fail(&format!("nvcc reports no kernel in {}:\n{report}", source.display()));
    }
    names
}

struct Compiler {
    nvcc: PathBuf,
    /// `-gencode` arguments.
    targets: Vec<String>,
}

impl Compiler {
    fn find() -> Self {
        let nvcc = env::var_os("NVCC").map(PathBuf::from).unwrap_or_else(|| match env::var_os("CUDA_HOME") {
            Some(home) => Path::new(&home).join("bin/nvcc"),
            None => PathBuf::from("nvcc"),
        });
        let listed = Command::new(&nvcc).arg("--list-gpu-code").output();
        let known = match listed {
            Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).into_owned(),
            Ok(output) => fail(&format!(
                "{} --list-gpu-code failed: {}",
                nvcc.display(),
                String::from_utf8_lossy(&output.stderr).trim()
            )),
            Err(error) => fail(&format!(
                "the feature `cuda` needs NVIDIA's compiler, and {} does not start ({error}). Install the CUDA toolkit (12.8 or newer) and set CUDA_HOME to its folder or NVCC to the compiler; `cargo xtask cuda-check` installs one from Python packages. To check the Rust code alone, set ENAS_CUDA_STUB=1",
                nvcc.display()
            )),
        };
        let targets = targets(&known);
        Self { nvcc, targets }
    }

    /// Compiles a file; what was reported.
    fn compile(&self, source: &Path, flags: &[&str], fatbin: &Path) -> String {
        let output = Command::new(&self.nvcc)
            .args(FLAGS)
            .args(flags)
            .arg("--threads=0")
            .args(&self.targets)
            .arg("-o")
            .arg(fatbin)
            .arg(source)
            .output();
        match output {
            Ok(output) if output.status.success() => {
                String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
            }
            Ok(output) => fail(&format!(
                "nvcc cannot compile {}:\n{}",
                source.display(),
                String::from_utf8_lossy(&output.stderr)
            )),
            Err(error) => fail(&format!("{}: {error}", self.nvcc.display())),
        }
    }
}

/// Ends the build with one message.
fn fail(message: &str) -> ! {
    for line in message.lines() {
        println!("cargo::error={line}");
    }
    exit(1)
}
