//! The architecture of a run and its network: drawings, size, and time per image on this machine.

use std::fs;
use std::path::Path;

use enas_arc::{Arc, Arch, CellKind};
use enas_child::{Child, FixedNetwork, InputShape, MacroChild, MacroConfig};
use enas_data::SplitFile;
use enas_draw::Theme;
use enas_rng::Seed;
use enas_run::Model;

use crate::machine::{self, InferenceSpeed};
use crate::settings::RunSettings;

/// The architecture of a run, with drawings of its cells and of its network.
#[derive(Clone, Debug)]
pub(crate) struct Architecture {
    pub(crate) arch: Arch,
    /// Drawings of its cells; `None` for an architecture of the macro search space.
    pub(crate) cells: Option<CellDrawings>,
    pub(crate) network: Option<Network>,
}

/// Gap between two drawings in the style sheet, in pixels.
const GAP: u64 = 14;

/// Drawings of both cells, as SVG.
#[derive(Clone, Debug)]
pub struct CellDrawings {
    /// The normal cell.
    pub normal: String,
    /// The reduction cell.
    pub reduction: String,
    /// Width of the normal and of the reduction cell with their borders, in pixels.
    pub widths: [u64; 2],
}

/// The network of an architecture with its own weights.
#[derive(Clone, Debug)]
pub(crate) struct Network {
    pub(crate) drawing: Option<String>,
    pub(crate) params: u64,
    pub(crate) macs: u64,
    /// Size of the model file in bytes; without one, 4 bytes per parameter.
    pub(crate) bytes: u64,
    pub(crate) speed: Option<InferenceSpeed>,
    /// Whether time was too short to measure `speed`.
    pub(crate) hurried: bool,
    pub(crate) input: InputShape,
}

/// Maximum number of parameters of a network that is built to be measured: 512 MiB of `f32`.
const MOST_WEIGHTS: usize = 1 << 27;

/// A network with random weights that is built to be drawn and measured.
#[allow(clippy::large_enum_variant, reason = "there is one at a time")]
pub(crate) enum Built {
    Cells(Child),
    Layers(MacroChild),
}

/// A network of the architecture alone with the settings of the run and random weights.
pub(crate) fn built(settings: &RunSettings, arch: &Arch, split: Option<&SplitFile>) -> Result<Built, String> {
    let data: enas_data::Config = settings.section("data")?;
    let classes = split.ok_or("the classes are not known")?.classes.len();
    let input = InputShape { channels: data.channels, height: data.image_size, width: data.image_size };
    let seed = Seed::new(0);
    let network = match arch {
        Arch::Micro(arc) => {
            let config: enas_child::Config = settings.section("child")?;
            Child::fixed_within(&config, arc, input, classes, seed, MOST_WEIGHTS).map(Built::Cells)
        }
        Arch::Macro(arc) => {
            let config: MacroConfig = settings.section("macro").unwrap_or_default();
            let config = MacroConfig { layers: arc.n_layers(), ..config };
            MacroChild::fixed_within(&config, arc, input, classes, seed, MOST_WEIGHTS).map(Built::Layers)
        }
    };
    network.map_err(|e| e.to_string())
}

impl CellDrawings {
    /// Draws the cells of an architecture.
    pub fn new(arc: &Arc) -> Self {
        let normal = enas_draw::cell(arc.normal(), CellKind::Normal, Theme::Auto);
        let reduction = enas_draw::cell(arc.reduction(), CellKind::Reduction, Theme::Auto);
        Self {
            widths: [&normal, &reduction].map(|cell| cell.width().ceil() as u64 + 2),
            normal: normal.into_string(),
            reduction: reduction.into_string(),
        }
    }

    /// The style of the element around both drawings: their widths, for the style sheet.
    pub fn style(&self) -> String {
        let [normal, reduction] = self.widths;
        format!("--natural: {}px; --both: {}px", normal.max(reduction), normal + reduction + GAP)
    }
}

impl Network {
    /// The network of a trained model that is stored at `path`.
    pub(crate) fn of_model(model: &Model, path: &Path, left: Option<f64>) -> Option<Self> {
        let drawing = match model.macro_child() {
            Some(child) => drawing_of_layers(child),
            None => model.child().ok().and_then(drawing_of_cells),
        };
        Self::new(model.network(), drawing, path, left)
    }

    pub(crate) fn of_built(built: &Built, path: &Path, left: Option<f64>) -> Option<Self> {
        match built {
            Built::Cells(child) => Self::new(child, drawing_of_cells(child), path, left),
            Built::Layers(child) => Self::new(child, drawing_of_layers(child), path, left),
        }
    }

    fn new(
        network: &dyn FixedNetwork,
        drawing: Option<String>,
        path: &Path,
        left: Option<f64>,
    ) -> Option<Self> {
        let params = network.n_params() as u64;
        let has_time = machine::has_time(network, left);
        Some(Self {
            drawing,
            params,
            macs: network.parts().ok()?.macs(),
            bytes: fs::metadata(path).map_or(4 * params, |file| file.len()),
            speed: has_time.then(|| InferenceSpeed::measure(network)).flatten(),
            hurried: !has_time,
            input: network.input(),
        })
    }
}

fn drawing_of_cells(child: &Child) -> Option<String> {
    enas_draw::network(child, child.arc()?, Theme::Auto).ok().map(enas_draw::Svg::into_string)
}

fn drawing_of_layers(child: &MacroChild) -> Option<String> {
    enas_draw::macro_network(child, child.arc()?, Theme::Auto).ok().map(enas_draw::Svg::into_string)
}
