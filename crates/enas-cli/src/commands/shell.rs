//! `enas completions` and `enas man`: shell completions and manual pages.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::{Args, Command};
use clap_complete::Shell;
use serde::Serialize;

use super::Context;
use crate::args::output_path;
use crate::failure::SUCCESS;
use crate::output::visible;

/// Print a script for shell completion of commands, flags and values
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  enas completions bash > ~/.local/share/bash-completion/completions/enas
  enas completions zsh > ~/.zfunc/_enas
  enas completions fish > ~/.config/fish/completions/enas.fish")]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_enum)]
    pub(crate) shell: Shell,
}

/// Write manual pages, one per command
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  enas man --out ~/.local/share/man/man1        then: man enas, man enas-search, …")]
pub(crate) struct Man {
    /// The folder to write to; created if it is missing
    #[arg(long, value_name = "DIR", value_parser = output_path())]
    pub(crate) out: PathBuf,
}

/// Runs `enas completions`, for the command line that `command` describes.
///
/// # Errors
/// If stdout cannot be written.
pub(crate) fn completions(args: &Completions, mut command: Command) -> Result<u8> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "enas", &mut script);
    io::Write::write_all(&mut io::stdout().lock(), &script)?;
    Ok(SUCCESS)
}

/// Runs `enas man`, for the command line that `command` describes.
///
/// # Errors
/// If a page cannot be written.
pub(crate) fn man(context: &Context, args: &Man, mut command: Command) -> Result<u8> {
    #[derive(Serialize)]
    struct Written {
        #[serde(serialize_with = "crate::output::paths")]
        paths: Vec<PathBuf>,
    }
    fs::create_dir_all(&args.out).with_context(|| format!("cannot create {}", visible(&args.out)))?;
    // `build` adds the global flags to every subcommand.
    command.build();
    let written = Written { paths: pages(&args.out, &command, "enas")? };
    context
        .out
        .print(&written, |out| writeln!(out, "{} pages in {}", written.paths.len(), visible(&args.out)))?;
    Ok(SUCCESS)
}

/// Writes the page of a command and those of its subcommands. Returns their paths.
fn pages(dir: &Path, command: &Command, name: &str) -> Result<Vec<PathBuf>> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone()).title(name).render(&mut page)?;
    let path = dir.join(format!("{name}.1"));
    fs::write(&path, page).with_context(|| format!("cannot write {}", visible(&path)))?;
    let mut paths = vec![path];
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
        paths.extend(pages(dir, sub, &format!("{name}-{}", sub.get_name()))?);
    }
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn every_command_has_a_page_with_its_examples() {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Cli::command();
        command.build();
        let written = pages(dir.path(), &command, "enas").unwrap();
        let text = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
        assert!(written.len() > 10, "{written:?}");
        assert!(text("enas-arc-show.1").contains("enas arc show"));
        let search = text("enas-search.1");
        assert!(search.contains("Examples:") && search.contains("enas search"), "{search}");
    }
}
