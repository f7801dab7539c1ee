//! Running other programs.

use std::process::Command;

use anyhow::{Context, Result, bail};

/// Runs `command` with the input and output of this program.
///
/// # Errors
/// If it cannot be started or fails.
pub(crate) fn check(command: &mut Command) -> Result<()> {
    let status =
        command.status().with_context(|| format!("cannot start {}", command.get_program().display()))?;
    if !status.success() {
        bail!("{} ended with {status}", command.get_program().display());
    }
    Ok(())
}
