//! Steps of `cargo xtask ci` that run in the background.

use std::env;
use std::fs;
use std::process::{Child, Command};

use anyhow::{Context, Result, ensure};
use tempfile::NamedTempFile;

/// A process that runs some steps while this one runs others. Dropping it ends it.
pub(crate) struct Beside {
    process: Child,
    /// What the process prints. Shown when it has ended, so that lines of two steps do not mix.
    log: NamedTempFile,
}

impl Beside {
    /// Starts the named steps one after another, with the least priority where the system has `nice`.
    ///
    /// # Errors
    /// If the process cannot be started.
    pub(crate) fn start(steps: &[String]) -> Result<Self> {
        let program = env::current_exe().context("cannot find this program")?;
        let log = NamedTempFile::new().context("cannot create a temporary file")?;
        let output = || log.reopen().context("cannot open a temporary file");
        let mut arguments = vec!["ci".to_owned()];
        arguments.extend(steps.iter().flat_map(|step| ["--only".to_owned(), step.clone()]));
        let mut nice = Command::new("nice");
        nice.args(["-n", "19"]).arg(&program).args(&arguments).stdout(output()?).stderr(output()?);
        let process = match nice.spawn() {
            Ok(process) => process,
            Err(_) => {
                let mut plain = Command::new(&program);
                plain.args(&arguments).stdout(output()?).stderr(output()?);
                plain.spawn().with_context(|| format!("cannot start {}", program.display()))?
            }
        };
        Ok(Self { process, log })
    }

    /// Waits for the steps and shows what they printed.
    ///
    /// # Errors
    /// If one of them failed.
    pub(crate) fn finish(mut self) -> Result<()> {
        let status = self.process.wait().context("cannot wait for the steps beside the tests")?;
        let said = fs::read(self.log.path()).unwrap_or_default();
        eprintln!("{}", String::from_utf8_lossy(&said));
        ensure!(status.success(), "the steps beside the tests ended with {status}");
        Ok(())
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        // After `finish` the process has ended, and neither call does anything.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
