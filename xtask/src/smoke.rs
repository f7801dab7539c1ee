//! The smoke test: runs the program like a user on real image files, from search to predictions.
//!
//! It checks that the parts fit together (files, flags, JSON, exact accuracies). It does not check the quality of
//! results, as only a few epochs are trained.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::{fetch, repo};

/// Number of epochs of the search and of the training. Few suffice, as no check depends on the accuracy.
const EPOCHS: &str = "2";

/// Maximum size of the program, in bytes.
const LARGEST: u64 = 25_000_000;

/// Builds the program and runs search, train, eval and predict in a temporary directory.
pub(crate) fn run() -> Result<()> {
    let enas = Program { path: repo::release_binary(&[])? };
    let bytes = enas.path.metadata().with_context(|| format!("cannot read {}", enas.path.display()))?.len();
    ensure!(
        bytes <= LARGEST,
        "{}: {bytes} bytes, over {LARGEST}; the profile in Cargo.toml keeps it small",
        enas.path.display()
    );
    let folder = tempfile::tempdir().context("cannot create a temporary folder")?;
    let at = |name: &str| folder.path().join(name).display().to_string();
    let digits = fetch::digits(folder.path())?.display().to_string();

    let search = enas.json(&["search", "--epochs", EPOCHS, "--out", &at("search"), "--json"])?;
    let arc = text(&search, "arc")?;
    ensure!(Path::new(&at("search")).join("best.arc.json").is_file(), "search left no best.arc.json");

    let trained = enas.json(&[
        "train",
        "--run",
        &at("search"),
        "--data",
        &digits,
        "--epochs",
        EPOCHS,
        "--out",
        &at("train"),
        "--json",
    ])?;
    ensure!(text(&trained, "arc")? == arc, "train took another arc than search found");
    let model = text(&trained, "model")?;

    let eval = enas.json(&["eval", "--model", &model, "--data", &digits, "--split", "test", "--json"])?;
    let accuracy = number(&eval, "accuracy")?;
    ensure!(
        accuracy == number(&trained, "test_accuracy")?,
        "eval says {accuracy}, train said {}",
        trained["test_accuracy"]
    );

    let test = Path::new(&digits).join("test").display().to_string();
    let predictions = enas.lines(&["predict", "--model", &model, "--json", &test])?;
    compare(&predictions, &eval)?;
    println!("smoke: {} images, accuracy {accuracy} in train, eval and predict", predictions.len());
    Ok(())
}

/// Checks that predictions agree with the counts of `eval`: in total and of right ones.
fn compare(predictions: &[Value], eval: &Value) -> Result<()> {
    let mut correct = 0;
    for prediction in predictions {
        let path = text(prediction, "path")?;
        let class = Path::new(&path)
            .parent()
            .and_then(Path::file_name)
            .with_context(|| format!("{path} has no class"))?;
        correct += usize::from(class == &*text(prediction, "label")?);
    }
    for (key, ours) in [("total", predictions.len()), ("correct", correct)] {
        ensure!(eval[key] == ours, "predict has {key} {ours}, eval has {}", eval[key]);
    }
    Ok(())
}

/// The binary under test.
struct Program {
    path: PathBuf,
}

impl Program {
    /// Runs the program and parses its standard output as one JSON document.
    fn json(&self, arguments: &[&str]) -> Result<Value> {
        let output = self.output(arguments)?;
        serde_json::from_str(&output)
            .with_context(|| format!("{}: standard output is not JSON: {output:?}", arguments[0]))
    }

    /// Runs the program and parses its standard output as one JSON document per line.
    fn lines(&self, arguments: &[&str]) -> Result<Vec<Value>> {
        let output = self.output(arguments)?;
        let parse = |line| {
            serde_json::from_str(line).with_context(|| format!("{}: not JSON: {line:?}", arguments[0]))
        };
        output.lines().map(parse).collect()
    }

    fn output(&self, arguments: &[&str]) -> Result<String> {
        let shown = format!("enas {}", arguments.join(" "));
        eprintln!("{shown}");
        let output = Command::new(&self.path)
            .args(arguments)
            .stderr(Stdio::inherit())
            .output()
            .with_context(|| format!("cannot start {}", self.path.display()))?;
        if !output.status.success() {
            bail!("{shown} ended with {}", output.status);
        }
        String::from_utf8(output.stdout).with_context(|| format!("{shown}: standard output is not UTF-8"))
    }
}

fn text(value: &Value, key: &str) -> Result<String> {
    Ok(value[key].as_str().with_context(|| format!("no text {key:?} in {value}"))?.to_owned())
}

fn number(value: &Value, key: &str) -> Result<f64> {
    value[key].as_f64().with_context(|| format!("no number {key:?} in {value}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn predictions_are_compared_with_the_class_folders() {
        let predictions =
            [json!({"path": "t/7/a.png", "label": "7"}), json!({"path": "t/8/b.png", "label": "3"})];
        assert!(compare(&predictions, &json!({"total": 2, "correct": 1})).is_ok());
        let error = compare(&predictions, &json!({"total": 2, "correct": 2})).unwrap_err();
        assert_eq!(error.to_string(), "predict has correct 1, eval has 2");
        assert!(compare(&predictions[..1], &json!({"total": 2, "correct": 1})).is_err());
    }

    #[test]
    fn a_program_that_prints_no_json_is_an_error() {
        let echo = Program { path: "echo".into() };
        assert_eq!(echo.json(&["1"]).unwrap(), json!(1));
        assert!(echo.json(&["search"]).unwrap_err().to_string().contains("standard output is not JSON"));
        assert!(
            Program { path: "false".into() }
                .json(&["x"])
                .unwrap_err()
                .to_string()
                .starts_with("enas x ended with")
        );
    }
}
