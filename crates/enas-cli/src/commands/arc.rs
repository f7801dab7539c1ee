//! `enas arc`: checks, explains, converts and samples architectures. `draw.rs` draws them.

use std::io::{self, Write};

use anyhow::Result;
use enas_arc::{Arc, Cell};
use enas_child::{Child, InputShape};
use enas_rng::Seed;
use serde::Serialize;

use super::subject::Subject;
use super::{Context, draw};
use crate::arcs;
use crate::args::{self, ArcForm, ArcInput, ArcRandom, ArcShow};
use crate::failure::SUCCESS;
use crate::output::cost;

/// Runs `enas arc …`.
///
/// # Errors
/// A usage error for an invalid arc.
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

/// The output of `enas arc show` for one architecture.
#[derive(Serialize)]
struct Shown {
    arc: Arc,
    normal: Vec<usize>,
    reduction: Vec<usize>,
    loose: Loose,
    params: usize,
    aux_params: usize,
    macs: u64,
    /// Channels, height and width of the images.
    input: [usize; 3],
    classes: usize,
}

#[derive(Serialize)]
struct Loose {
    normal: Vec<usize>,
    reduction: Vec<usize>,
}

fn show(context: &Context, args: &ArcShow) -> Result<()> {
    let subject = Subject::new(&args.input, args.classes, &args.settings)?;
    for arc in &subject.arcs {
        let shown = Shown::new(arc.clone(), &subject.child(arc)?)?;
        context.out.print(&shown, |out| shown.write(out))?;
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
        let InputShape { channels, height, width } = child.input();
        let (input, classes) = ([channels, height, width], child.n_classes());
        Ok(Self { arc, normal, reduction, loose, params, aux_params, macs, input, classes })
    }

    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        write!(out, "{}", self.arc.readable())?;
        writeln!(
            out,
            "loose ends: normal {}, reduction {}",
            list(&self.arc, Arc::normal),
            list(&self.arc, Arc::reduction)
        )?;
        let ([channels, height, width], classes) = (self.input, self.classes);
        writeln!(out, "final network on {height}x{width}x{channels} images of {classes} classes:")?;
        writeln!(out, "  {}", cost(self.params, self.macs))
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
