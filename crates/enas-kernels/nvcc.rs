// How the kernels are compiled. The build script and `cargo xtask cuda-check` both include this file.

/// Folders with `.cu` files, in the crate's folder. Each file has a name of its own.
const SOURCES: [&str; 2] = ["src/gpu", "src/ops"];

/// Compute capabilities that get machine code of their own, where the compiler knows them: Turing, Ampere (data centre
/// and consumer), Ada, Hopper, Blackwell (data centre and consumer). Anything newer compiles the PTX of the first.
const CAPABILITIES: [&str; 7] = ["75", "80", "86", "89", "90", "100", "120"];

/// Arguments of every compilation, in the crate's folder. With the last one the assembler lists the kernels.
const FLAGS: [&str; 6] = ["-std=c++17", "-O3", "-Icuda", "-fatbin", "-Werror=all-warnings", "-Xptxas=-v"];

/// What each compilation of a source adds to the flags, with a name for the variant. Sources that name the type
/// `activation` treat maps: they are compiled twice, the second time for maps in bfloat16.
fn variants(source: &str) -> &'static [(&'static str, &'static [&'static str])] {
    const ALL: [(&str, &[&str]); 2] = [("", &[]), (".bf16", &["-DENAS_BF16"])];
    if source.contains("<activation>") { &ALL } else { &ALL[..1] }
}

/// `-gencode` arguments for what a compiler knows, by its answer to `--list-gpu-code`.
fn targets(known: &str) -> Vec<String> {
    let known: Vec<&str> = known.lines().map(str::trim).collect();
    let mut targets: Vec<String> = CAPABILITIES
        .iter()
        .filter(|c| known.contains(&format!("sm_{c}").as_str()))
        .map(|c| format!("-gencode=arch=compute_{c},code=sm_{c}"))
        .collect();
    targets.push(format!("-gencode=arch=compute_{0},code=compute_{0}", CAPABILITIES[0]));
    targets
}
