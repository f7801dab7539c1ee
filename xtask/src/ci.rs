//! `cargo xtask ci`: all checks of a change, in a fixed order, on any machine.
//!
//! All steps build with the release profile, so that the tests and the smoke run share one build.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::ValueEnum;

use crate::process::check;
use crate::{deny, fuzz, package, python, repo, sanitize, smoke, static_build, tidy};

/// Run every check: format, clippy, tests, docs, project rules, a smoke run of the real program, and its exports.
///
/// Stops at the first step that fails and prints the command that repeats it alone.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Run only this step (may be repeated)
    #[arg(long, value_name = "STEP")]
    only: Vec<Step>,
}

#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum Step {
    /// cargo fmt --check
    Fmt,
    /// clippy on all targets, warnings are errors
    Clippy,
    /// All tests
    Test,
    /// Documentation, warnings are errors
    Doc,
    /// Project rules
    Tidy,
    /// Whether the crates could be published: metadata and contents of their archives
    Package,
    /// Search, train, eval and predict on real files with the release binary, which must be small
    Smoke,
    /// Licences, sources and versions of all libraries
    Deny,
    /// The kernels' tests under AddressSanitizer
    Sanitize,
    /// Generated input for everything that reads files or requests of others
    Fuzz,
    /// Exported models in ONNX Runtime, events in TensorBoard; skipped if Python lacks them and CI is not set
    Python,
    /// Whether the program links without any library of the system, and runs
    Static,
}

impl Step {
    fn name(self) -> String {
        self.to_possible_value().expect("no step is skipped").get_name().to_owned()
    }

    fn run(self) -> Result<()> {
        match self {
            Step::Fmt => cargo(&["fmt", "--all", "--check"], None),
            Step::Clippy => {
                cargo(
                    &["clippy", "--release", "--workspace", "--all-targets", "--", "-D", "warnings"],
                    None,
                )?;
                // The build without exports and without the dependencies that check them.
                let least = ["clippy", "--release", "--workspace", "--no-default-features"];
                cargo(&[&least[..], &["--", "-D", "warnings"]].concat(), None)
            }
            Step::Test => cargo(&["test", "--release", "--workspace"], None),
            Step::Doc => cargo(
                &["doc", "--release", "--workspace", "--no-deps"],
                Some(("RUSTDOCFLAGS", "-D warnings")),
            ),
            Step::Tidy => tidy::run(&tidy::Args {}),
            Step::Package => package::run(),
            Step::Smoke => smoke::run(),
            Step::Static => static_build::run(&static_build::Args {}),
            Step::Deny => deny::run(&deny::Args::of_ci()),
            Step::Sanitize => sanitize::run(&sanitize::Args::of_ci()),
            Step::Fuzz => fuzz::run(&fuzz::Args::of_ci()),
            Step::Python => python::run(),
        }
    }
}

/// Runs the chosen steps, or all of them.
pub(crate) fn run(args: &Args) -> Result<()> {
    let chosen = |step: &&Step| args.only.is_empty() || args.only.contains(step);
    let mut done: Vec<(String, Duration)> = Vec::new();
    for step in Step::value_variants().iter().filter(chosen) {
        eprintln!("\n==> {}", step.name());
        let start = Instant::now();
        let result = step.run();
        done.push((step.name(), start.elapsed()));
        if let Err(error) = result {
            eprintln!("\n{}", table(&done));
            bail!(
                "step {name} failed: {error:#}\nrepeat it with: cargo xtask ci --only {name}",
                name = step.name()
            );
        }
    }
    eprintln!("\n{}", table(&done));
    println!("ci: all {} steps passed", done.len());
    Ok(())
}

/// A table with one line per step and its time in seconds.
pub(crate) fn table(done: &[(String, Duration)]) -> String {
    let total = ("total".to_owned(), done.iter().map(|(_, time)| *time).sum());
    let line = |(name, time): &(String, Duration)| format!("{name:<8} {:>7.1} s", time.as_secs_f64());
    done.iter().chain([&total]).map(line).collect::<Vec<_>>().join("\n")
}

fn cargo(arguments: &[&str], environment: Option<(&str, &str)>) -> Result<()> {
    let mut command = repo::cargo();
    command.args(arguments).envs(environment);
    let shown = environment.map_or(String::new(), |(key, value)| format!("{key}={value:?} "));
    eprintln!("{shown}cargo {}", arguments.join(" "));
    check(&mut command)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn the_table_ends_with_the_total() {
        let done =
            [("fmt".to_owned(), Duration::from_millis(1500)), ("clippy".to_owned(), Duration::from_secs(60))];
        assert_eq!(table(&done), "fmt          1.5 s\nclippy      60.0 s\ntotal       61.5 s");
    }

    #[test]
    fn a_command_that_fails_is_an_error() {
        assert!(check(&mut Command::new("true")).is_ok());
        assert!(check(&mut Command::new("false")).unwrap_err().to_string().starts_with("false ended with"));
        assert!(
            check(&mut Command::new("no-such-program-here"))
                .unwrap_err()
                .to_string()
                .starts_with("cannot start")
        );
    }
}
