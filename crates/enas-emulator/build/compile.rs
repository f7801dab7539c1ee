//! The host's C++ compiler: expands sources, compiles what changed, links the program.

use std::hash::Hasher;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, fs, thread};

const REMEDY: &str = "The CUDA kernels are tested on the host and need a C++17 compiler for that.\n\
    Install one (Debian, Ubuntu: apt-get install g++; macOS: xcode-select --install) or name it in CXX.";

/// No contraction: a sum of products rounds twice, on every machine. The sanitiser's checks need no library, the
/// shim handles them.
const FLAGS: [&str; 9] = [
    "-std=c++17",
    "-g1",
    "-ffp-contract=off",
    "-fno-strict-aliasing",
    "-fsanitize=bounds,signed-integer-overflow,shift,integer-divide-by-zero",
    "-Wall",
    "-Wno-unknown-pragmas",
    "-Wno-unused",
    "-DENAS_EMULATOR",
];

pub(crate) struct Compiler {
    tool: cc::Tool,
    headers: Vec<PathBuf>,
}

impl Compiler {
    /// The compiler of `CXX` or the system's, after a trial.
    pub(crate) fn find(headers: &[PathBuf]) -> Result<Compiler, String> {
        let mut build = cc::Build::new();
        build.cpp(true).cargo_metadata(false).cargo_warnings(false).opt_level(2).debug(false);
        for name in ["CXX", "CXXFLAGS"] {
            crate::tell(&format!("rerun-if-env-changed={name}"));
        }
        let tool = build.try_get_compiler().map_err(|error| format!("{error}\n{REMEDY}"))?;
        let compiler = Compiler { tool, headers: headers.to_vec() };
        let mut trial = compiler.command();
        trial.args(["-fsyntax-only", "-x", "c++"]).arg(headers[1].join("fault.hpp"));
        run(&mut trial).map_err(|error| format!("{error}\n{REMEDY}"))?;
        Ok(compiler)
    }

    fn command(&self) -> Command {
        let mut command = self.tool.to_command();
        command.args(FLAGS);
        for folder in &self.headers {
            command.arg("-I").arg(folder);
        }
        command
    }

    /// The source after the preprocessor.
    pub(crate) fn expand(&self, source: &Path) -> Result<String, String> {
        let mut command = self.command();
        command.args(["-DENAS_EMULATOR_SCAN", "-E", "-P", "-x", "c++"]).arg(source);
        Ok(String::from_utf8_lossy(&run(&mut command)?.stdout).into_owned())
    }

    /// Compiles `units`, those whose text, headers or flags changed, and links them.
    pub(crate) fn build(
        &self,
        units: &[PathBuf],
        headers: &[PathBuf],
        out: &Path,
    ) -> Result<PathBuf, String> {
        let mut common = Digest::new();
        common.add(format!("{:?}", self.command()).as_bytes());
        for header in headers {
            common.add(&read(header)?);
        }
        let next = AtomicUsize::new(0);
        let worker = || -> Result<(), String> {
            while let Some(unit) = units.get(next.fetch_add(1, Ordering::Relaxed)) {
                self.compile(unit, &common, out)?;
            }
            Ok(())
        };
        let jobs = env::var("NUM_JOBS").ok().and_then(|jobs| jobs.parse().ok()).unwrap_or(1_usize);
        thread::scope(|scope| {
            let workers: Vec<_> = (0..jobs.clamp(1, units.len())).map(|_| scope.spawn(worker)).collect();
            workers.into_iter().try_for_each(|worker| {
                worker.join().unwrap_or_else(|_| Err("a compiler thread panicked".into()))
            })
        })?;

        let program = out.join(format!("enas-gpu-emulator{}", env::consts::EXE_SUFFIX));
        // Linking without the sanitiser's flag leaves its library out.
        let mut link = self.tool.to_command();
        link.args(units.iter().map(|unit| object(unit, out))).arg("-o").arg(&program);
        run(&mut link)?;
        Ok(program)
    }

    fn compile(&self, unit: &Path, common: &Digest, out: &Path) -> Result<(), String> {
        let object = object(unit, out);
        let mut digest = common.clone();
        digest.add(&read(unit)?);
        if let Some(source) = included(&read(unit)?) {
            digest.add(&read(&source)?);
        }
        let stamp = digest.text();
        let stamp_path = object.with_extension("stamp");
        if object.exists() && fs::read_to_string(&stamp_path).is_ok_and(|old| old == stamp) {
            return Ok(());
        }
        let mut command = self.command();
        let output = run(command.arg("-c").arg(unit).arg("-o").arg(&object))?;
        for line in String::from_utf8_lossy(&output.stderr).lines() {
            crate::tell(&format!("warning={line}"));
        }
        fs::write(&stamp_path, stamp).map_err(|error| format!("{}: {error}", stamp_path.display()))
    }
}

/// The kernel file of a generated unit.
fn included(unit: &[u8]) -> Option<PathBuf> {
    let text = String::from_utf8_lossy(unit);
    let line = text.lines().find_map(|line| line.strip_prefix("#include \"")?.strip_suffix(".cu\""))?;
    Some(PathBuf::from(format!("{line}.cu")))
}

fn object(unit: &Path, out: &Path) -> PathBuf {
    let mut name = unit.file_name().unwrap_or_default().to_owned();
    name.push(".o");
    out.join(name)
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}

fn run(command: &mut Command) -> Result<Output, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output =
        command.output().map_err(|error| format!("cannot start the C++ compiler {program}: {error}"))?;
    if output.status.success() {
        return Ok(output);
    }
    Err(format!("{program} failed ({}):\n{}", output.status, String::from_utf8_lossy(&output.stderr)))
}

/// Tells whether inputs are those of the last build.
#[derive(Clone)]
pub(crate) struct Digest(std::hash::DefaultHasher);

impl Digest {
    pub(crate) fn new() -> Digest {
        Digest(std::hash::DefaultHasher::new())
    }

    pub(crate) fn add(&mut self, bytes: &[u8]) {
        self.0.write_usize(bytes.len());
        self.0.write(bytes);
    }

    pub(crate) fn text(&self) -> String {
        format!("{:016x}", self.0.finish())
    }
}
