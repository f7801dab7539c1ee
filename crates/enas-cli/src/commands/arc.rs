//! `enas arc`: checks, explains, converts and samples architectures. `draw.rs` draws them.

use std::io::{self, Write};

use anyhow::Result;
use clap::{Args, Subcommand};
use enas_arc::{Arc, Arch, Cell, MacroArc};
use enas_child::InputShape;
use enas_rng::Seed;
use serde::Serialize;

use super::subject::{FinalSize, Subject};
use super::{Context, draw};
use crate::arcs;
use crate::args::{ArcForm, ArcInput, Settings, whole};
use crate::failure::SUCCESS;
use crate::output::{cost, counted};
use crate::terminal::stdout_paragraph;

/// Check, explain, draw, convert and sample architectures
#[derive(Debug, Subcommand)]
#[command(after_help = "\
An architecture is a normal and a reduction cell. As integers it is 4 per node (input, operation, input, operation),
first the normal cell, then the reduction cell: 40 for 5 nodes. Operations: 0 sep-conv-3x3, 1 sep-conv-5x5,
2 avg-pool-3x3, 3 max-pool-3x3, 4 identity. Architectures of the macro space are accepted as well, in the form
\"1 = conv-3x3(0); 2 = max-pool-3x3(1) + 0\": each layer reads the one before, and + adds the output of an earlier one.

Examples:
  enas arc random | enas arc show
  enas arc check \"0 1 0 3 2 3 0 1 …\"
  enas arc draw --run runs/digits-search-1
  enas arc convert runs/digits-search-1/best.arc.json")]
pub(crate) enum ArcCommand {
    Check(ArcInput),
    Show(ArcShow),
    Draw(draw::ArcDraw),
    Random(ArcRandom),
    Convert(ArcConvert),
}

/// Explain an architecture: readable cells or layers, loose ends, size and cost
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  enas arc show --run runs/digits-search-1
  enas arc show runs/digits-search-1/best.arc.json
  enas arc random | enas arc show --preset cifar10 --set child.filters=36

Parameters and multiply-adds are those of the final network, the one that `enas train` builds. With a run, or a file in
its directory, it is the network for the run's images; else that of the settings and --classes.")]
pub(crate) struct ArcShow {
    #[command(flatten)]
    pub(crate) input: ArcInput,
    /// Number of classes, for the size of the classifier [default: those of the run, else 10]
    #[arg(long, value_name = "N", value_parser = whole(2, 1_000_000))]
    pub(crate) classes: Option<usize>,
    #[command(flatten)]
    pub(crate) settings: Settings,
}

/// Sample random architectures, all equally likely
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  enas arc random
  enas arc random --n 100 --nodes 4 --seed 7
  enas arc random --layers 12 | enas arc show")]
pub(crate) struct ArcRandom {
    /// How many
    #[arg(long, value_name = "N", default_value = "1", value_parser = whole(1, 1_000_000))]
    pub(crate) n: usize,
    /// Nodes per cell
    #[arg(long, value_name = "N", default_value = "5", value_parser = whole(1, 20))]
    pub(crate) nodes: usize,
    /// Layers, for architectures of the macro space
    #[arg(long, value_name = "N", conflicts_with = "nodes", value_parser = whole(1, 200))]
    pub(crate) layers: Option<usize>,
    /// The seed of the random numbers
    #[arg(long, value_name = "N", default_value = "0")]
    pub(crate) seed: u64,
}

/// Turn integers into the readable form and back
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  enas arc convert 0 1 0 3 2 3 0 1 …          prints the readable form
  enas arc convert --to ints my.arc")]
pub(crate) struct ArcConvert {
    #[command(flatten)]
    pub(crate) input: ArcInput,
    /// The form to print [default: the other one]
    #[arg(long, value_enum, value_name = "FORM")]
    pub(crate) to: Option<ArcForm>,
}

/// Runs `enas arc …`.
///
/// # Errors
/// A usage error for an invalid arc.
pub(crate) fn run(context: &Context, command: &ArcCommand) -> Result<u8> {
    match command {
        ArcCommand::Check(input) => check(context, input),
        ArcCommand::Show(args) => show(context, args),
        ArcCommand::Draw(args) => draw::run(context, args),
        ArcCommand::Random(args) => random(context, args),
        ArcCommand::Convert(args) => convert(context, args),
    }?;
    Ok(SUCCESS)
}

fn check(context: &Context, input: &ArcInput) -> Result<()> {
    #[derive(Serialize)]
    struct Checked<'a> {
        valid: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        nodes: Option<usize>,
        #[serde(skip_serializing_if = "Option::is_none")]
        layers: Option<usize>,
        arc: &'a Arch,
    }
    for arch in &arcs::given(input)? {
        let (nodes, layers) = match arch {
            Arch::Micro(arc) => (Some(arc.n_nodes()), None),
            Arch::Macro(arc) => (None, Some(arc.n_layers())),
        };
        context.out.print(&Checked { valid: true, nodes, layers, arc: arch }, |out| match arch {
            Arch::Micro(arc) => writeln!(out, "ok: {} per cell", counted(arc.n_nodes() as u64, "node")),
            Arch::Macro(arc) => writeln!(out, "ok: {}", counted(arc.n_layers() as u64, "layer")),
        })?;
    }
    Ok(())
}

/// The output of `enas arc show` for an architecture of the micro search space.
#[derive(Serialize)]
struct ShownCells<'a> {
    arc: &'a Arc,
    normal: Vec<usize>,
    reduction: Vec<usize>,
    loose: Loose,
    #[serde(flatten)]
    network: ShownNetwork,
}

#[derive(Serialize)]
struct Loose {
    normal: Vec<usize>,
    reduction: Vec<usize>,
}

/// The output of `enas arc show` for an architecture of the macro search space.
#[derive(Serialize)]
struct ShownLayers<'a> {
    arc: &'a Arch,
    layers: usize,
    /// Number of skip connections.
    skips: usize,
    #[serde(flatten)]
    network: ShownNetwork,
}

/// Size, cost and input of the network that `enas train` would build.
#[derive(Serialize)]
struct ShownNetwork {
    #[serde(flatten)]
    size: FinalSize,
    aux_params: usize,
    /// Channels, height and width of the images.
    input: [usize; 3],
    classes: usize,
}

fn show(context: &Context, args: &ArcShow) -> Result<()> {
    let subject = Subject::new(&args.input, args.classes, &args.settings)?;
    for arch in &subject.arches {
        let network = ShownNetwork::new(&subject, arch)?;
        match arch {
            Arch::Micro(arc) => {
                let shown = ShownCells::new(arc, network);
                context.out.print(&shown, |out| shown.write(out))?;
            }
            Arch::Macro(arc) => {
                let skips = arc.layers().iter().map(|layer| layer.added().count()).sum();
                let shown = ShownLayers { arc: arch, layers: arc.n_layers(), skips, network };
                context.out.print(&shown, |out| shown.write(arc, out))?;
            }
        }
    }
    Ok(())
}

impl ShownNetwork {
    fn new(subject: &Subject, arch: &Arch) -> Result<Self> {
        let network = subject.network(arch)?;
        let InputShape { channels, height, width } = subject.input();
        let input = [channels, height, width];
        let classes = subject.classes;
        Ok(Self { size: network.size()?, aux_params: network.n_aux_params(), input, classes })
    }

    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let [channels, height, width] = self.input;
        let classes = self.classes;
        writeln!(out, "final network on {height}x{width}x{channels} images of {classes} classes:")?;
        writeln!(out, "{}", stdout_paragraph("  ", &cost(self.size.params, self.size.macs)))
    }
}

impl<'a> ShownCells<'a> {
    fn new(arc: &'a Arc, network: ShownNetwork) -> Self {
        let half = 4 * arc.n_nodes();
        let mut normal = arc.to_ints();
        let reduction = normal.split_off(half);
        let loose = Loose { normal: arc.normal().loose_ends(), reduction: arc.reduction().loose_ends() };
        Self { arc, normal, reduction, loose, network }
    }

    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        write!(out, "{}", self.arc.readable())?;
        let normal = list(self.arc, Arc::normal);
        let reduction = list(self.arc, Arc::reduction);
        writeln!(out, "loose ends: normal {normal}, reduction {reduction}")?;
        self.network.write(out)
    }
}

impl ShownLayers<'_> {
    fn write(&self, arc: &MacroArc, out: &mut dyn Write) -> io::Result<()> {
        write!(out, "{}", arc.readable())?;
        let layers = counted(self.layers as u64, "layer");
        writeln!(out, "{layers}, {}", counted(self.skips as u64, "skip connection"))?;
        self.network.write(out)
    }
}

fn list(arc: &Arc, cell: fn(&Arc) -> &Cell) -> String {
    let ids: Vec<String> = cell(arc).loose_ends().iter().map(usize::to_string).collect();
    ids.join(" ")
}

fn random(context: &Context, args: &ArcRandom) -> Result<()> {
    #[derive(Serialize)]
    struct Drawn {
        arc: Arch,
    }
    for i in 0..args.n {
        let mut stream = Seed::new(args.seed).stream("arc-random", &[i as u64]);
        let arch = match args.layers {
            Some(layers) => Arch::Macro(MacroArc::random(layers, &mut stream)),
            None => Arch::Micro(Arc::random(args.nodes, &mut stream)),
        };
        let line = in_one_line(&arch);
        context.out.print(&Drawn { arc: arch }, |out| writeln!(out, "{line}"))?;
    }
    Ok(())
}

/// The form that is parsed as the same architecture again, in one line.
///
/// It is the integers of cells. For a macro arc it is the readable form, because its integers can also be those of
/// cells.
fn in_one_line(arch: &Arch) -> String {
    match arch {
        Arch::Micro(arc) => arc.to_string(),
        Arch::Macro(arc) => arc.readable().trim_end().replace('\n', "; "),
    }
}

fn convert(context: &Context, args: &ArcConvert) -> Result<()> {
    #[derive(Serialize)]
    struct Converted<'a> {
        arc: &'a Arch,
        readable: String,
    }
    let (arches, given) = arcs::given_with_form(&args.input)?;
    let to = args.to.unwrap_or(match given {
        ArcForm::Ints => ArcForm::Readable,
        ArcForm::Readable => ArcForm::Ints,
    });
    for arch in &arches {
        context.out.print(&Converted { arc: arch, readable: arch.readable() }, |out| match to {
            ArcForm::Ints => writeln!(out, "{arch}"),
            ArcForm::Readable => write!(out, "{}", arch.readable()),
        })?;
    }
    Ok(())
}
