//! Rules about single files: their names, what must not be in them, and those that must agree.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::problem::Problem;

/// Macros that must not be committed. They are split so that this file does not contain them.
const LEFTOVERS: [&str; 2] = [concat!("todo", "!("), concat!("dbg", "!(")];

/// Checks that the container image is built with a command that `README.md` shows.
pub(super) fn container(dockerfile: &str, readme: &str) -> Option<Problem> {
    let typed = readme.lines().filter_map(|line| line.strip_prefix("    "));
    let typed: BTreeSet<&str> = typed.map(|line| line.split(" #").next().unwrap_or(line).trim()).collect();
    let run = dockerfile.lines().filter_map(|line| line.strip_prefix("RUN "));
    let builds: Vec<&str> = run.filter(|command| command.starts_with("cargo ")).collect();
    let same = !builds.is_empty() && builds.iter().all(|command| typed.contains(command));
    (!same).then(|| Problem {
        place: "Dockerfile".into(),
        what: format!("builds with {builds:?}, which README.md does not show"),
        why: "a command that the tests of documents do not know may stop working unnoticed",
    })
}

pub(super) fn config_name(path: &str) -> Option<Problem> {
    let right = |rest: &str| match rest.strip_prefix("arcs/") {
        Some(arc) => arc.ends_with(".txt"),
        None => rest.ends_with(".toml"),
    };
    path.strip_prefix("configs/").is_some_and(|rest| !right(rest)).then(|| Problem {
        place: path.to_owned(),
        what: "is neither configs/NAME.toml nor configs/arcs/NAME.txt".into(),
        why: "a file in configs/ is a configuration or a published arc, and tests read them all",
    })
}

pub(super) fn leftovers(path: &str, content: &[u8]) -> Vec<Problem> {
    let text = String::from_utf8_lossy(content);
    let found = text.lines().enumerate().flat_map(|(i, line)| {
        let place = format!("{path}:{}", i + 1);
        LEFTOVERS
            .iter()
            .filter(move |leftover| line.contains(**leftover))
            .map(move |leftover| (place.clone(), leftover))
    });
    let problem = |(place, leftover)| Problem {
        place,
        what: format!("contains {leftover}"),
        why: "what is committed is finished; unfinished and debugging code stays out",
    };
    found.map(problem).collect()
}

/// Checks that a file is not an input that a fuzzer has found and left behind.
pub(super) fn fuzz_input(path: &str) -> Option<Problem> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let is_text = name.ends_with(".rs") || name.ends_with(".md");
    let is_found = ["crash-", "oom-", "leak-", "timeout-"].iter().any(|start| name.starts_with(start));
    (is_found && !is_text).then(|| Problem {
        place: path.to_owned(),
        what: "is named like an input that a fuzzer has found".into(),
        why: "a found input is committed as a test with a name that says what it is",
    })
}

/// Paths, relative to `root`, of all files that are or would be committed.
pub(super) fn files(root: &Path) -> Result<Vec<String>> {
    let arguments = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
    let output = std::process::Command::new("git")
        .args(arguments)
        .current_dir(root)
        .output()
        .context("cannot start git")?;
    if !output.status.success() {
        bail!("git ls-files failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let paths = String::from_utf8(output.stdout).context("a file name that is not UTF-8")?;
    Ok(paths.split_terminator('\0').map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_is_built_as_the_readme_says() {
        let readme = "Text.\n\n    cargo install --path a          # puts it on the path\n";
        assert_eq!(container("FROM x\nRUN cargo install --path a\nRUN true\n", readme), None);
        assert!(container("RUN cargo install --path b\n", readme).is_some());
        assert!(container("", readme).is_some());
    }

    #[test]
    fn only_toml_files_lie_in_configs() {
        assert_eq!(config_name("configs/quick.toml"), None);
        assert_eq!(config_name("configs/arcs/published.txt"), None);
        assert!(config_name("configs/notes.txt").is_some());
        assert_eq!(config_name("docs/notes/a.md"), None);
        assert_eq!(config_name("configs/quick.yaml").unwrap().place, "configs/quick.yaml");
    }

    #[test]
    fn leftover_macros_are_found_with_their_line() {
        let text = format!("fn f() {{\n    {}x);\n}}\n", LEFTOVERS[1]);
        assert_eq!(leftovers("a.rs", text.as_bytes())[0].place, "a.rs:2");
        assert_eq!(leftovers("a.rs", b"\xff\x00 todo dbg"), []);
    }

    #[test]
    fn inputs_that_a_fuzzer_found_are_reported() {
        assert!(fuzz_input("fuzz/artifacts/arcs/crash-0a1b").is_some() && fuzz_input("timeout-7").is_some());
        assert_eq!(fuzz_input("docs/crash-safety.md"), None);
        assert_eq!(fuzz_input("crates/enas-run/src/crash.rs"), None);
    }
}
