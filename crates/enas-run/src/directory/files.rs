//! File names of a run directory, and reading and writing of its small files.

use std::path::Path;

use enas_arc::{Arc, Arch, Cell, SpaceKind};
use enas_data::SplitFile;
use serde::{Deserialize, Serialize};

use crate::config::Settings;
use crate::config::presets::split_comments;
use crate::error::{Error, Result};
use crate::files::atomic;
use crate::files::limited_read::{SMALL_FILE, read_plain_text, read_text};
use crate::log::jsonl::METRICS;

pub(crate) const CONFIG: &str = "config.toml";
pub(crate) const MANIFEST: &str = "manifest.json";
/// The trained network.
pub const MODEL: &str = "model.safetensors";
/// The measured network, if a refit followed.
pub const MEASURED: &str = "measured.safetensors";
/// File with the digest of every image file by name.
pub const IMAGE_DIGESTS: &str = "pictures.json";
/// The trained network whose weights a training starts from.
pub const START: &str = "start.safetensors";
/// The split that each file belongs to.
pub const SPLIT: &str = "split.json";
/// Size limit of a stored split in bytes: enough for some millions of images, one line each.
const MAX_SPLIT: u64 = 1 << 30;
pub(crate) const CHECKPOINTS: &str = "checkpoints";
pub(crate) const BEST_ARC: &str = "best.arc.json";

/// Reads the split stored in a run directory.
///
/// # Errors
/// [`Error::File`] with what is wrong in it; [`Error::Io`] if it cannot be read.
pub fn stored_split(run: &Path) -> Result<SplitFile> {
    let path = run.join(SPLIT);
    let text = read_plain_text(&path, MAX_SPLIT)
        .map_err(|source| Error::io("cannot read the stored split", &path, source))?;
    serde_json::from_str(&text)
        .map_err(|e| Error::File { path, problem: format!("not a stored split of this version ({e})") })
}

/// The files of a finished training that other programs use; the manifest, which marks a run, comes last.
pub fn delivered() -> [&'static str; 7] {
    [CONFIG, SPLIT, IMAGE_DIGESTS, METRICS, BEST_ARC, MODEL, MANIFEST]
}

/// The contents of `best.arc.json`.
#[derive(Serialize)]
struct ArcFile<'a, T> {
    arc: &'a Arc,
    normal: Vec<usize>,
    reduction: Vec<usize>,
    #[serde(flatten)]
    fields: &'a T,
}

/// The contents of `best.arc.json` in the macro space.
#[derive(Serialize)]
struct MacroArcFile<'a, T> {
    space: SpaceKind,
    arc: &'a Arch,
    /// The integer form of the architecture.
    integers: String,
    #[serde(flatten)]
    fields: &'a T,
}

/// Writes an architecture with further fields.
pub(crate) fn write_arc(path: &Path, arch: &Arch, fields: &impl Serialize) -> Result<()> {
    let Arch::Micro(arc) = arch else {
        let space = arch.space();
        let integers = arch.to_string();
        return write_json(path, &MacroArcFile { space, arc: arch, integers, fields });
    };
    let normal = ints(arc.normal());
    let reduction = ints(arc.reduction());
    write_json(path, &ArcFile { arc, normal, reduction, fields })
}

/// The integers of one cell, as in the integer form of an arc.
fn ints(cell: &Cell) -> Vec<usize> {
    cell.nodes().iter().flat_map(|n| [n.x.input, n.x.op.id(), n.y.input, n.y.op.id()]).collect()
}

/// Reads the cells of a file; see [`read_arch`].
///
/// # Errors
/// As [`read_arch`], and [`Error::CellsOnly`] for an architecture of the macro space.
pub fn read_arc(path: &Path) -> Result<Arc> {
    match read_arch(path)? {
        Arch::Micro(arc) => Ok(arc),
        Arch::Macro(_) => Err(Error::CellsOnly("this")),
    }
}

/// Reads an architecture from a file: a `best.arc.json`, or text in any form of an architecture with `#` comments.
///
/// # Errors
/// [`Error::File`] with the file and what is wrong in it; [`Error::Io`] if it cannot be read.
pub fn read_arch(path: &Path) -> Result<Arch> {
    #[derive(Deserialize)]
    struct OnlyArc {
        arc: String,
    }
    let text =
        read_text(path, SMALL_FILE).map_err(|source| Error::io("cannot read the arc file", path, source))?;
    let broken = |problem: String| Error::File { path: path.to_owned(), problem };
    let arc = if text.trim_start().starts_with('{') {
        serde_json::from_str::<OnlyArc>(&text)
            .map_err(|e| broken(format!("not JSON with an `arc`: {e}")))?
            .arc
    } else {
        split_comments(&text).1
    };
    Arch::parse_any(&arc).map_err(|e| broken(e.to_string()))
}

/// Writes settings as TOML, with a comment about the version that wrote them.
///
/// # Errors
/// [`Error::Io`] if they cannot be written.
pub fn write_config<C: Settings>(path: &Path, config: &C) -> Result<()> {
    let body = toml::to_string(config).expect("a configuration is plain data");
    let version = env!("CARGO_PKG_VERSION");
    let text = format!("# Every setting of this {}, as enas {version} ran it.\n\n{body}", C::KIND);
    atomic::write(path, &[text.as_bytes()])
}

/// Writes a value as indented JSON.
///
/// # Errors
/// [`Error::Io`] if it cannot be written.
pub fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let mut text = serde_json::to_string_pretty(value).expect("plain data");
    text.push('\n');
    atomic::write(path, &[text.as_bytes()])
}
