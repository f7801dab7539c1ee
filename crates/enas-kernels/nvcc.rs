// How the kernels are compiled. The build script and `cargo xtask cuda-check` both include this file.

/// Compute capabilities that get machine code of their own, where the compiler knows them: Turing, Ampere (data centre
/// and consumer), Ada, Hopper, Blackwell (data centre and consumer). Anything newer compiles the PTX of the first.
const CAPABILITIES: [&str; 7] = ["75", "80", "86", "89", "90", "100", "120"];

/// Arguments of every compilation, in the crate's folder. With the last one the assembler lists the kernels.
const FLAGS: [&str; 6] = ["-std=c++17", "-O3", "-Icuda", "-fatbin", "-Werror=all-warnings", "-Xptxas=-v"];

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
