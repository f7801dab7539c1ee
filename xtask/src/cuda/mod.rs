//! `cargo xtask cuda-check`: all checks of the GPU build, on machines with and without a GPU.

mod compile;
mod compiler;
mod install;
mod ptxas;
mod rust;
mod stand_in;
mod table;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::ValueEnum;

use crate::{ci, repo};
use compiler::Compiler;

/// Check the GPU build: compile every kernel, lint, run the program and the emulation.
///
/// The compiler is `NVCC`, else `CUDA_HOME/bin/nvcc`, else `nvcc` on the path, else one that --install left in the
/// target folder. No GPU is needed; where there is one, the tests run on it as well.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  cargo xtask cuda-check                               with the CUDA toolkit of this machine
  cargo xtask cuda-check --install                     gets a compiler from Python packages first (300 MB)
  cargo xtask cuda-check --only lint --only link       without NVIDIA software")]
pub(crate) struct Args {
    /// Run only this part (may be repeated)
    #[arg(long, value_name = "PART")]
    only: Vec<Part>,
    /// Install a CUDA compiler into DIR, unless it is there [default: cuda in the target folder]
    #[arg(long, value_name = "DIR", num_args = 0..=1)]
    install: Option<Option<PathBuf>>,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Part {
    /// Every kernel for every architecture: warnings and spilled registers are errors
    Compile,
    /// clippy with the feature `cuda`; warnings are errors
    Lint,
    /// A program with candle's CUDA and ours links; without a GPU its tests say so
    Link,
    /// The program with CUDA built in: a clear message without a GPU, the tests on the GPU where there is one
    Cli,
    /// The kernels' sources on the emulated GPU
    Emulate,
}

impl Part {
    fn name(self) -> String {
        self.to_possible_value().expect("no part is skipped").get_name().to_owned()
    }

    fn needs_compiler(self) -> bool {
        matches!(self, Part::Compile | Part::Cli)
    }

    /// Runs the part and returns its findings in one line.
    fn run(self, compiler: Option<&Compiler>) -> Result<String> {
        match (self, compiler) {
            (Part::Lint, compiler) => rust::lint(compiler),
            (Part::Link, _) => rust::link(),
            (Part::Emulate, _) => rust::emulate(),
            (Part::Compile, Some(compiler)) => compile::run(compiler),
            (Part::Cli, Some(compiler)) => rust::program(compiler),
            (Part::Compile | Part::Cli, None) => bail!("there is no CUDA compiler"),
        }
    }
}

/// Runs the chosen parts, or all of them.
pub(crate) fn run(args: &Args) -> Result<()> {
    let chosen = |part: &&Part| args.only.is_empty() || args.only.contains(part);
    let parts: Vec<Part> = Part::value_variants().iter().filter(chosen).copied().collect();
    let compiler = compiler(args, parts.iter().any(|part| part.needs_compiler()))?;
    let mut times = Vec::<(String, Duration)>::new();
    let mut findings = Vec::new();
    for part in parts {
        let name = part.name();
        eprintln!("\n==> {name}");
        let start = Instant::now();
        match part.run(compiler.as_ref()) {
            Ok(finding) => findings.push(format!("{name}: {finding}")),
            Err(error) => {
                let repeat = format!("repeat it with: cargo xtask cuda-check --only {name}");
                bail!("part {name} failed: {error:#}\n{repeat}");
            }
        }
        times.push((name, start.elapsed()));
    }
    eprintln!("\n{}\n", ci::table(&times));
    findings.iter().for_each(|finding| println!("{finding}"));
    Ok(())
}

/// The compiler, installed if requested.
///
/// # Errors
/// If one is needed and none is available.
fn compiler(args: &Args, needed: bool) -> Result<Option<Compiler>> {
    let default = repo::target()?.join("cuda");
    let found = match &args.install {
        Some(folder) => Some(install::compiler(folder.as_ref().unwrap_or(&default))?),
        None => install::find_any(&default)?,
    };
    match &found {
        Some(compiler) => eprintln!("{}: {}", compiler.nvcc.display(), compiler.version),
        None if needed => bail!(
            "no CUDA compiler: set NVCC to nvcc or CUDA_HOME to the folder of the CUDA toolkit, or let `cargo xtask cuda-check --install` get one from Python packages; `--only lint --only link --only emulate` need none"
        ),
        None => eprintln!("no CUDA compiler: the kernels are left out"),
    }
    Ok(found)
}
