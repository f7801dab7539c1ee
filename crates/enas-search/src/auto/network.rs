//! The largest network that the time allows to train, measured on this machine.

use enas_arc::Arc;
use enas_child::{Child, InputShape};
use enas_data::Dataset;
use enas_kernels::gpu::Gpu;
use enas_run::auto::FittedNetwork;
use enas_run::config::TrainConfig;
use enas_run::error::Result;
use enas_run::memory::MemoryPlan;

use super::costs::{Costs, of_training};

/// Sizes to choose from; each costs about twice as much as the one before.
const SIZES: [FittedNetwork; 5] = [
    FittedNetwork { filters: 8, layers: 2 },
    FittedNetwork { filters: 12, layers: 2 },
    FittedNetwork { filters: 12, layers: 3 },
    FittedNetwork { filters: 16, layers: 3 },
    FittedNetwork { filters: 20, layers: 4 },
];

/// Share of the wanted epochs that must fit into the time. A smaller network gains more from more epochs.
const ENOUGH: f64 = 0.5;

/// The largest network that fits into `seconds`, and its measured costs.
pub(super) fn fit(
    config: &TrainConfig,
    arc: &Arc,
    data: &Dataset,
    gpu: Option<&Gpu>,
    memory: Option<&MemoryPlan>,
    seconds: f64,
) -> Result<(FittedNetwork, Costs)> {
    let mut best: Option<(FittedNetwork, Costs)> = None;
    for size in SIZES {
        let mut sized = config.clone();
        size.apply(&mut sized, arc);
        let costs = costs(&sized, arc, data, gpu, memory)?;
        let wanted = of_training(&sized, config.run.epochs, &costs, data);
        let fits = ENOUGH * wanted <= seconds;
        // Timing the next size would take time away from this one.
        if fits || best.is_none() {
            best = Some((size, costs));
        }
        if 2.0 * ENOUGH * wanted > seconds {
            break;
        }
    }
    Ok(best.expect("the smallest network is always taken"))
}

/// The measured costs of the network of `arc`, in the size that `config` says.
pub(super) fn costs(
    config: &TrainConfig,
    arc: &Arc,
    data: &Dataset,
    gpu: Option<&Gpu>,
    memory: Option<&MemoryPlan>,
) -> Result<Costs> {
    let input = InputShape { channels: data.channels, height: data.height, width: data.width };
    let network = enas_child::Config { nodes: arc.n_nodes(), ..config.child.clone() };
    let mut child = Child::fixed(&network, arc, input, data.classes.len(), config.run.seed())?;
    child.recompute(memory.map(|plan| plan.recompute).unwrap_or_default());
    Costs::of(child, arc, &config.run, data, gpu)
}
