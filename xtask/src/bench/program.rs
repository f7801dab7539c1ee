//! A program with a command `bench` that prints one line of JSON.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

/// `enas`, or Python with the script for PyTorch.
pub(crate) struct Program {
    /// The name in messages.
    pub(crate) name: &'static str,
    pub(crate) path: PathBuf,
    /// Arguments before `bench`.
    pub(crate) before: Vec<String>,
    pub(crate) environment: Vec<(&'static str, String)>,
}

/// The used values of such a line.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub(crate) struct Measurement {
    pub(crate) median_ms: f64,
    pub(crate) min_ms: f64,
    /// `None` for steps that do not process images.
    pub(crate) images_per_second: Option<f64>,
    /// Peak resident memory in MiB; `None` if the system does not provide it.
    pub(crate) peak_rss_mb: Option<f64>,
}

impl Program {
    /// Runs `bench` with `arguments`.
    ///
    /// # Errors
    /// If the program fails or prints no measurements.
    pub(crate) fn bench(&self, arguments: &[String]) -> Result<Measurement> {
        let mut command = Command::new(&self.path);
        command.args(&self.before).arg("bench").args(arguments).envs(self.environment.iter().cloned());
        let output = command.output().with_context(|| format!("cannot start {}", self.path.display()))?;
        if !output.status.success() {
            let errors = String::from_utf8_lossy(&output.stderr);
            let status = output.status;
            bail!("{} bench {} ended with {status}:\n{}", self.name, arguments.join(" "), errors.trim());
        }
        measurement(&String::from_utf8_lossy(&output.stdout))
            .with_context(|| format!("{} bench {}", self.name, arguments.join(" ")))
    }
}

/// Parses the last non-empty line, as a library may print other lines before.
fn measurement(output: &str) -> Result<Measurement> {
    let line = output.lines().rfind(|line| !line.trim().is_empty()).context("printed nothing")?;
    let measurement: Measurement =
        serde_json::from_str(line).with_context(|| format!("printed no line of measurements: {line:?}"))?;
    ensure!(measurement.median_ms > 0.0, "took {} ms, which no step can", measurement.median_ms);
    Ok(measurement)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_is_read_and_unknown_keys_are_let_pass() {
        let line = r#"{"mode":"search-step","median_ms":12.5,"min_ms":11,"images_per_second":80.0,"peak_rss_mb":17.8,"threads":2}"#;
        let measurement = measurement(&format!("warming up\n{line}\n\n")).unwrap();
        assert_eq!((measurement.median_ms, measurement.min_ms), (12.5, 11.0));
        assert_eq!(measurement.peak_rss_mb, Some(17.8));
    }

    #[test]
    fn a_controller_step_has_no_images_per_second() {
        let line = r#"{"median_ms":2.5,"min_ms":2.4,"images_per_second":null,"peak_rss_mb":null}"#;
        assert_eq!(measurement(line).unwrap().images_per_second, None);
    }

    #[test]
    fn other_output_is_an_error_that_shows_it() {
        assert_eq!(measurement("\n").unwrap_err().to_string(), "printed nothing");
        assert!(measurement("done").unwrap_err().to_string().contains("\"done\""));
        let impossible = r#"{"median_ms":0.0,"min_ms":0.0,"images_per_second":null,"peak_rss_mb":null}"#;
        assert!(measurement(impossible).is_err());
    }

    #[test]
    fn a_program_that_fails_is_an_error_with_its_last_words() {
        let shell = Program {
            name: "shell",
            path: "sh".into(),
            before: vec!["-c".into(), "echo no such mode >&2; exit 3".into()],
            environment: Vec::new(),
        };
        let error = shell.bench(&["--mode".to_owned()]).unwrap_err().to_string();
        assert!(
            error.starts_with("shell bench --mode ended with") && error.ends_with("no such mode"),
            "{error}"
        );
    }

    #[test]
    fn the_environment_reaches_the_program() {
        let script = r#"echo "{\"median_ms\":$STEP,\"min_ms\":1,\"images_per_second\":1,\"peak_rss_mb\":1}""#;
        let shell = Program {
            name: "shell",
            path: "sh".into(),
            before: vec!["-c".into(), script.into()],
            environment: vec![("STEP", "7".into())],
        };
        assert_eq!(shell.bench(&[]).unwrap().median_ms, 7.0);
    }
}
