//! Compiles every kernel for every architecture and reads the report of the assembler, ptxas.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use rayon::prelude::*;
use walkdir::WalkDir;

use super::compiler::Compiler;
use super::ptxas::{self, Usage};
use super::table;
use crate::repo;

include!("../../../crates/enas-kernels/nvcc.rs");

/// Compiles all files, prints the table of kernels and returns its summary.
///
/// # Errors
/// If a file does not compile without warnings, or a kernel spills registers.
pub(crate) fn run(compiler: &Compiler) -> Result<String> {
    let root = repo::root().join("crates/enas-kernels");
    let found = SOURCES.iter().map(|folder| kernel_files(&root.join(folder)));
    let mut sources = found.collect::<Result<Vec<_>>>()?.concat();
    sources.sort();
    ensure!(!sources.is_empty(), "there are no kernels in {}", root.display());
    let folder = tempfile::tempdir().context("cannot create a temporary folder")?;
    let mut jobs = Vec::new();
    for source in sources {
        let text =
            fs::read_to_string(&source).with_context(|| format!("cannot read {}", source.display()))?;
        jobs.extend(variants(&text).iter().map(|variant| (source.clone(), *variant)));
    }
    let compiled: Vec<Result<Vec<Usage>>> = jobs
        .par_iter()
        .enumerate()
        .map(|(i, (source, (variant, flags)))| {
            compile(compiler, &root, source, variant, flags, &folder.path().join(format!("{i}.fatbin")))
        })
        .collect();
    let usages = compiled.into_iter().collect::<Result<Vec<_>>>()?.concat();
    println!("{}", table::text(&usages));
    table::refuse_spills(&usages)?;
    Ok(table::summary(&usages))
}

/// The resources of the kernels in one variant of a file, for all architectures. The variant's name is appended to
/// theirs.
fn compile(
    compiler: &Compiler,
    root: &Path,
    source: &Path,
    variant: &str,
    flags: &[&str],
    fatbin: &Path,
) -> Result<Vec<Usage>> {
    let targets = targets(&compiler.known);
    let output = Command::new(&compiler.nvcc)
        .current_dir(root)
        .args(FLAGS)
        .args(flags)
        .args(&targets)
        .arg("-o")
        .arg(fatbin)
        .arg(source)
        .output()
        .with_context(|| format!("cannot start {}", compiler.nvcc.display()))?;
    let [out, report] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    if !output.status.success() {
        bail!("{} does not compile:\n{}", source.display(), report.trim());
    }
    let mut usages = ptxas::parse(&format!("{out}{report}"));
    usages.iter_mut().for_each(|usage| usage.kernel.push_str(variant));
    // The last target is PTX, which the driver compiles on the machine that runs it.
    let architectures = targets.len() - 1;
    ensure!(architectures > 0, "{} knows none of the architectures", compiler.nvcc.display());
    ensure!(
        !usages.is_empty() && usages.len().is_multiple_of(architectures),
        "{}: {} kernels were reported for {architectures} architectures",
        source.display(),
        usages.len()
    );
    Ok(usages)
}

/// All `.cu` files below a directory, sorted.
fn kernel_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in WalkDir::new(folder).sort_by_file_name() {
        let path = entry.with_context(|| format!("cannot read {}", folder.display()))?.into_path();
        if path.extension().is_some_and(|extension| extension == "cu") {
            found.push(path);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_architectures_that_the_compiler_knows_are_asked_for() {
        assert_eq!(
            targets("sm_75\nsm_80\nsm_87\n"),
            [
                "-gencode=arch=compute_75,code=sm_75",
                "-gencode=arch=compute_80,code=sm_80",
                "-gencode=arch=compute_75,code=compute_75"
            ]
        );
        assert_eq!(targets("").len(), 1);
        assert_eq!(
            targets(&CAPABILITIES.map(|c| format!("sm_{c}")).join("\n")).len(),
            CAPABILITIES.len() + 1
        );
        assert!(FLAGS.contains(&"-Werror=all-warnings"));
    }

    #[test]
    fn sources_that_treat_maps_are_compiled_twice() {
        let names = |source| variants(source).iter().map(|(name, _)| *name).collect::<Vec<_>>();
        assert_eq!(names("kernel(In<activation> x, In<float> y)"), ["", ".bf16"]);
        assert_eq!(names("kernel(In<float> x)"), [""]);
    }

    #[test]
    fn kernels_are_found_in_folders_of_folders() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::create_dir(folder.path().join("b")).expect("created");
        for name in ["a.cu", "a.rs", "b/c.cu"] {
            fs::write(folder.path().join(name), "").expect("written");
        }
        let found = kernel_files(folder.path()).expect("readable");
        assert_eq!(found, ["a.cu", "b/c.cu"].map(|name| folder.path().join(name)));
    }
}
