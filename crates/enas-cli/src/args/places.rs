//! Arguments for images, runs and models, with the same names in all commands.

use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::{PathBufValueParser, TypedValueParser};

/// The parser of a path to write to. A hyphen would become the name of a file, though it usually means stdout.
pub(crate) fn output_path() -> impl TypedValueParser<Value = PathBuf> {
    PathBufValueParser::new().try_map(|path| match path.as_os_str() == "-" {
        true => Err("results in files are not written to stdout; give the name of a file or folder"),
        false => Ok(path),
    })
}

/// The images to work on.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Images {
    /// Images in class folders, a zip of them, or a built-in set: digits, fashion-small [default: those of the run or
    /// model, else digits]
    #[arg(value_name = "DATA")]
    data: Option<PathBuf>,
    /// Another way to write DATA
    #[arg(id = "data_flag", long = "data", value_name = "PATH", conflicts_with = "data")]
    flag: Option<PathBuf>,
}

impl Images {
    /// The path that was given, as an argument or with the flag.
    pub(crate) fn path(&self) -> Option<&Path> {
        self.data.as_deref().or(self.flag.as_deref())
    }
}

/// The run to look at.
#[derive(Clone, Debug, Args)]
pub(crate) struct RunPlace {
    /// The directory of a search, a training or an `enas auto`
    #[arg(value_name = "RUN")]
    run: Option<PathBuf>,
    /// Another way to write RUN
    #[arg(id = "run_flag", long = "run", value_name = "DIR", conflicts_with = "run")]
    flag: Option<PathBuf>,
}

impl RunPlace {
    /// The directory that was given, as an argument or with the flag.
    pub(crate) fn path(&self) -> Option<&Path> {
        self.run.as_deref().or(self.flag.as_deref())
    }
}

/// The model to use. What it stands for on the disk is for [`crate::locate`] to find.
#[derive(Clone, Debug, Args)]
pub(crate) struct ModelPlace {
    /// A model.safetensors that `enas train` wrote, or the directory of its run
    #[arg(long, value_name = "FILE", conflicts_with = "run")]
    pub(crate) model: Option<PathBuf>,
    /// The directory of a training or an `enas auto`: use its model
    #[arg(long, value_name = "DIR")]
    pub(crate) run: Option<PathBuf>,
}
