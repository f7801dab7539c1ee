//! `enas arc draw`: writes drawings of architectures to files.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};
use enas_arc::{Arc, Arch, Cell, CellKind};
use enas_draw::Svg;
use serde::Serialize;

use super::Context;
use super::subject::{FinalNetwork, Subject};
use crate::args::{ArcInput, Settings, output_path, whole};
use crate::failure::{OrUsage, usage};
use crate::output::visible;

/// Draw architectures: both cells and the whole network, as SVG, PNG or DOT
///
/// Writes cells.svg and network.svg, or what --part and --format say. With several architectures, file names are
/// numbered. Existing files are replaced. The network is the final one, which `enas train` builds. With --run, or for a
/// file in a run's directory, it is the network for the run's images; else that of the settings and --classes.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  enas arc draw --run runs/digits-search-1 --out drawings
  enas arc draw runs/digits-search-1/best.arc.json --out best.png
  enas arc random | enas arc draw --part network --preset cifar10 --format png --theme dark
  enas arc random | enas arc draw --out both.dot && dot -Tpdf both.dot > both.pdf")]
pub(crate) struct ArcDraw {
    #[command(flatten)]
    pub(crate) input: ArcInput,
    /// A folder, or one .svg, .png or .dot file, which shows both cells unless --part says otherwise
    #[arg(long, value_name = "PATH", value_parser = output_path(), default_value = ".")]
    pub(crate) out: PathBuf,
    /// The format of the files [default: the extension of --out, else svg]
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub(crate) format: Option<Format>,
    /// What to draw; several with commas [default: cells,network; network for the macro space]
    #[arg(long, value_enum, value_name = "PART", value_delimiter = ',')]
    pub(crate) part: Vec<Part>,
    /// Colours of SVG and PNG; auto follows the viewer, and is light in PNG [default: auto]
    #[arg(long, value_enum, value_name = "THEME")]
    pub(crate) theme: Option<Theme>,
    /// Size of a PNG [default: 2]
    #[arg(long, value_name = "FACTOR", allow_negative_numbers = true)]
    pub(crate) scale: Option<f32>,
    /// Number of classes, for the size of the classifier [default: those of the run, else 10]
    #[arg(long, value_name = "N", value_parser = whole(2, 1_000_000))]
    pub(crate) classes: Option<usize>,
    #[command(flatten)]
    pub(crate) settings: Settings,
}

/// A kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Lines and text of any size
    Svg,
    /// Pixels
    Png,
    /// Text for Graphviz
    Dot,
}

/// A part of an architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Both cells on one sheet
    Cells,
    /// The normal cell
    Normal,
    /// The reduction cell
    Reduction,
    /// All layers with their sizes and costs
    Network,
}

/// Colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Theme {
    Auto,
    Light,
    Dark,
}

/// Runs `enas arc draw`.
///
/// # Errors
/// A usage error for an invalid arc, invalid settings or flags that exclude each other; an error if a file cannot be
/// written.
pub(crate) fn run(context: &Context, args: &ArcDraw) -> Result<()> {
    #[derive(Serialize)]
    struct Written {
        #[serde(serialize_with = "crate::output::paths")]
        paths: Vec<PathBuf>,
    }
    let target = Target::new(args)?;
    let style = Style::new(args, target.format)?;
    let subject = Subject::new(&args.input, args.classes, &args.settings)?;
    let mut files = Vec::new();
    for (i, arch) in subject.arches.iter().enumerate() {
        let number = (subject.arches.len() > 1).then_some((i + 1, subject.arches.len()));
        for part in target.parts_of(arch) {
            files.push((target.path(part, number), style.draw(&subject, arch, part)?));
        }
    }
    fs::create_dir_all(&target.folder)
        .with_context(|| format!("cannot create {}", visible(&target.folder)))?;
    for (path, content) in &files {
        enas_search::write_file(path, content)?;
    }
    let written = Written { paths: files.into_iter().map(|(path, _)| path).collect() };
    context
        .out
        .print(&written, |out| written.paths.iter().try_for_each(|path| writeln!(out, "{}", visible(&path))))
}

/// The files of the drawings.
struct Target {
    folder: PathBuf,
    /// The file name without extension, if the user gave one.
    name: Option<String>,
    format: Format,
    /// The parts that the user asked for; empty without `--part`.
    parts: Vec<Part>,
}

impl Target {
    fn new(args: &ArcDraw) -> Result<Self> {
        let out = &args.out;
        let ending = out.extension().and_then(|ending| ending.to_str()).map(str::to_ascii_lowercase);
        if let Some(other @ ("jpg" | "jpeg" | "gif" | "webp" | "pdf" | "bmp" | "eps" | "html")) =
            ending.as_deref()
        {
            return Err(usage(format!("--out {}: drawings are svg, png or dot, not {other}", visible(&out))));
        }
        let of_file =
            ending.and_then(|ending| Format::from_str(&ending, false).ok()).filter(|_| !out.is_dir());
        let Some(of_file) = of_file else {
            let format = args.format.unwrap_or(Format::Svg);
            return Ok(Self { folder: out.clone(), name: None, format, parts: args.part.clone() });
        };
        if args.format.is_some_and(|format| format != of_file) {
            let problem = "does not end as --format says; leave --format out, or name a folder";
            return Err(usage(format!("--out {}: {problem}", visible(&out))));
        }
        if args.part.len() > 1 {
            let problem = "is one file; ask for one --part, or name a folder";
            return Err(usage(format!("--out {}: {problem}", visible(&out))));
        }
        let parts = args.part.clone();
        let name = out.file_stem().map(|stem| stem.to_string_lossy().into_owned());
        let folder = match out.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        Ok(Self { folder, name, format: of_file, parts })
    }

    /// The parts to draw of an architecture: those that the user asked for, or the default ones. A macro arc has no
    /// cells, so its default is the network.
    fn parts_of(&self, arch: &Arch) -> Vec<Part> {
        match (arch, &self.name) {
            _ if !self.parts.is_empty() => self.parts.clone(),
            (Arch::Macro(_), _) => vec![Part::Network],
            (Arch::Micro(_), Some(_)) => vec![Part::Cells],
            (Arch::Micro(_), None) => vec![Part::Cells, Part::Network],
        }
    }

    /// The path of a drawing. `number` is `(i, n)` for the `i`th of `n` architectures, if there are several.
    fn path(&self, part: Part, number: Option<(usize, usize)>) -> PathBuf {
        let name = self.name.clone().unwrap_or_else(|| word(part));
        let number =
            number.map_or(String::new(), |(i, n)| format!("-{i:0width$}", width = n.to_string().len()));
        let file = format!("{name}{number}.{}", word(self.format));
        if self.folder == Path::new(".") { file.into() } else { self.folder.join(file) }
    }
}

/// The name of a value on the command line.
fn word(value: impl ValueEnum) -> String {
    value.to_possible_value().map_or(String::new(), |value| value.get_name().to_owned())
}

/// Format and appearance of the drawings.
struct Style {
    format: Format,
    theme: enas_draw::Theme,
    scale: f32,
}

impl Style {
    fn new(args: &ArcDraw, format: Format) -> Result<Self> {
        if args.scale.is_some() && format != Format::Png {
            return Err(usage(format!("--scale is for PNG; this would be {}", word(format))));
        }
        if args.theme.is_some() && format == Format::Dot {
            return Err(usage("--theme is for SVG and PNG; a DOT file gets its colours from Graphviz"));
        }
        let theme = match args.theme {
            None | Some(Theme::Auto) => enas_draw::Theme::Auto,
            Some(Theme::Light) => enas_draw::Theme::Light,
            Some(Theme::Dark) => enas_draw::Theme::Dark,
        };
        Ok(Self { format, theme, scale: args.scale.unwrap_or(2.0) })
    }

    /// The contents of a file.
    fn draw(&self, subject: &Subject, arch: &Arch, part: Part) -> Result<Vec<u8>> {
        if self.format == Format::Dot {
            return Ok(dot(subject, arch, part)?.into_bytes());
        }
        let drawing = self.svg(subject, arch, part)?;
        match self.format {
            Format::Png => drawing.png(self.scale, self.theme).context("--scale").or_usage(),
            _ => Ok(drawing.into_string().into_bytes()),
        }
    }

    fn svg(&self, subject: &Subject, arch: &Arch, part: Part) -> Result<Svg> {
        let theme = self.theme;
        Ok(match Shape::of(subject, arch, part)? {
            Shape::Cells(arc) => enas_draw::cells(arc, theme),
            Shape::Cell(cell, kind) => enas_draw::cell(cell, kind, theme),
            Shape::Network(FinalNetwork::Cells(child, arc)) => enas_draw::network(&child, &arc, theme)?,
            Shape::Network(FinalNetwork::Layers(child, arc)) => {
                enas_draw::macro_network(&child, &arc, theme)?
            }
        })
    }
}

/// The subject of one drawing: both cells, one cell or the network.
#[allow(clippy::large_enum_variant, reason = "there is one at a time")]
enum Shape<'a> {
    Cells(&'a Arc),
    Cell(&'a Cell, CellKind),
    Network(FinalNetwork),
}

impl<'a> Shape<'a> {
    fn of(subject: &Subject, arch: &'a Arch, part: Part) -> Result<Self> {
        Ok(match (part, arch) {
            (Part::Network, _) => Self::Network(subject.network(arch)?),
            (Part::Cells, Arch::Micro(arc)) => Self::Cells(arc),
            (Part::Normal, Arch::Micro(arc)) => Self::Cell(arc.normal(), CellKind::Normal),
            (Part::Reduction, Arch::Micro(arc)) => Self::Cell(arc.reduction(), CellKind::Reduction),
            (_, Arch::Macro(_)) => {
                let problem = "an architecture of the macro space has no cells";
                return Err(usage(format!("{problem}; leave --part out, or ask for --part network")));
            }
        })
    }
}

fn dot(subject: &Subject, arch: &Arch, part: Part) -> Result<String> {
    Ok(match Shape::of(subject, arch, part)? {
        Shape::Cells(arc) => enas_draw::cells_dot(arc),
        Shape::Cell(cell, kind) => enas_draw::cell_dot(cell, kind),
        Shape::Network(FinalNetwork::Cells(child, arc)) => enas_draw::network_dot(&child, &arc)?,
        Shape::Network(FinalNetwork::Layers(child, arc)) => enas_draw::macro_network_dot(&child, &arc)?,
    })
}
