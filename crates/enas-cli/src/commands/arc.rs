//! `enas arc`: check, explain, convert and make up architectures. Drawing them is next door.

use std::io::{self, Write};

use anyhow::Result;
use enas_arc::{Arc, Cell};
use enas_child::{Child, InputShape};
use enas_rng::Seed;
use serde::Serialize;

use super::{Context, draw, settings};
use crate::arcs;
use crate::args::{self, ArcForm, ArcInput, ArcRandom, ArcShow};
use crate::failure::{OrUsage, SUCCESS};
use crate::output::grouped;

/// Runs `enas arc …`.
///
/// # Errors
/// Usage, for an arc that is not one.
pub(crate) fn run(context: &Context, command: &args::Arc) -> Result<u8> {
    match command {
        args::Arc::Check(input) => check(context, input),
        args::Arc::Show(args) => show(context, args),
        args::Arc::Draw(args) => draw::run(context, args),
        args::Arc::Random(args) => random(context, args),
        args::Arc::Convert(args) => convert(context, args),
    }?;
    Ok(SUCCESS)
}

fn check(context: &Context, input: &ArcInput) -> Result<()> {
    #[derive(Serialize)]
    struct Checked<'a> {
        valid: bool,
        nodes: usize,
        arc: &'a Arc,
    }
    for arc in &arcs::given(input)? {
        let nodes = arc.n_nodes();
        context
            .out
            .print(&Checked { valid: true, nodes, arc }, |out| writeln!(out, "ok: {nodes} nodes per cell"))?;
    }
    Ok(())
}

/// What an architecture comes to.
#[derive(Serialize)]
struct Shown {
    arc: Arc,
    normal: Vec<usize>,
    reduction: Vec<usize>,
    loose: Loose,
    params: usize,
    aux_params: usize,
    macs: u64,
}

#[derive(Serialize)]
struct Loose {
    normal: Vec<usize>,
    reduction: Vec<usize>,
}

fn show(context: &Context, args: &ArcShow) -> Result<()> {
    let arcs = arcs::given(&args.input)?;
    let config = settings::train(&args.settings, None, None)?;
    let size = config.data.image_size;
    let input = InputShape { channels: config.data.channels, height: size, width: size };
    for arc in arcs {
        let child_config = enas_child::Config { nodes: arc.n_nodes(), ..config.child.clone() };
        let child =
            Child::fixed(&child_config, &arc, input, args.classes, Seed::new(config.run.seed)).or_usage()?;
        let shown = Shown::new(arc, &child)?;
        context.out.print(&shown, |out| shown.write(out, input, args.classes))?;
    }
    Ok(())
}

impl Shown {
    fn new(arc: Arc, child: &Child) -> Result<Self> {
        let half = 4 * arc.n_nodes();
        let mut normal = arc.to_ints();
        let reduction = normal.split_off(half);
        let loose = Loose { normal: arc.normal().loose_ends(), reduction: arc.reduction().loose_ends() };
        let (params, aux_params, macs) = (child.n_params(), child.n_aux_params(), child.macs(&arc)?);
        Ok(Self { arc, normal, reduction, loose, params, aux_params, macs })
    }

    fn write(&self, out: &mut dyn Write, input: InputShape, classes: usize) -> io::Result<()> {
        write!(out, "{}", self.arc.readable())?;
        writeln!(
            out,
            "loose ends: normal {}, reduction {}",
            list(&self.arc, Arc::normal),
            list(&self.arc, Arc::reduction)
        )?;
        let InputShape { channels, height, width } = input;
        writeln!(out, "on {height}x{width}x{channels} pictures of {classes} classes:")?;
        writeln!(
            out,
            "  {} parameters, {} multiply-adds per picture",
            grouped(self.params as u64),
            grouped(self.macs)
        )
    }
}

fn list(arc: &Arc, cell: fn(&Arc) -> &Cell) -> String {
    let ids: Vec<String> = cell(arc).loose_ends().iter().map(usize::to_string).collect();
    ids.join(" ")
}

fn random(context: &Context, args: &ArcRandom) -> Result<()> {
    #[derive(Serialize)]
    struct Drawn {
        arc: Arc,
    }
    for i in 0..args.n {
        let mut stream = Seed::new(args.seed).stream("arc-random", &[i as u64]);
        let arc = Arc::random(args.nodes, &mut stream);
        context.out.print(&Drawn { arc: arc.clone() }, |out| writeln!(out, "{arc}"))?;
    }
    Ok(())
}

fn convert(context: &Context, args: &args::ArcConvert) -> Result<()> {
    #[derive(Serialize)]
    struct Converted<'a> {
        arc: &'a Arc,
        readable: String,
    }
    let (arcs, given) = arcs::given_with_form(&args.input)?;
    let to = args.to.unwrap_or(match given {
        ArcForm::Ints => ArcForm::Readable,
        ArcForm::Readable => ArcForm::Ints,
    });
    for arc in &arcs {
        context.out.print(&Converted { arc, readable: arc.readable() }, |out| match to {
            ArcForm::Ints => writeln!(out, "{arc}"),
            ArcForm::Readable => write!(out, "{}", arc.readable()),
        })?;
    }
    Ok(())
}
