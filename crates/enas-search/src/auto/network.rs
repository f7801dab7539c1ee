//! How large a network the time allows to train, measured on the machine that trains it.

use enas_arc::Arc;
use enas_child::{Child, InputShape};
use enas_data::Dataset;
use enas_kernels::gpu::Gpu;
use serde::{Deserialize, Serialize};

use super::costs::{Costs, of_training};
use crate::config::TrainConfig;
use crate::error::Result;
use crate::memory::MemoryPlan;

/// The size of a network that was chosen for the time there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FittedNetwork {
    /// Channels of the first cells, as `child.filters`.
    pub filters: usize,
    /// Normal cells, as `child.layers`.
    pub layers: usize,
}

/// Sizes to choose from, each costing about twice as much as the one before.
const SIZES: [FittedNetwork; 5] = [
    FittedNetwork { filters: 8, layers: 2 },
    FittedNetwork { filters: 12, layers: 2 },
    FittedNetwork { filters: 12, layers: 3 },
    FittedNetwork { filters: 16, layers: 3 },
    FittedNetwork { filters: 20, layers: 4 },
];

/// Share of the wanted epochs that a larger network must have time for: a smaller one gains more by more of them.
const ENOUGH: f64 = 0.5;

/// The largest network that `seconds` are enough for, and what training it costs.
pub(super) fn fit(
    config: &TrainConfig,
    arc: &Arc,
    data: &Dataset,
    (gpu, memory): (Option<&Gpu>, Option<&MemoryPlan>),
    seconds: f64,
) -> Result<(FittedNetwork, Costs)> {
    let input = InputShape { channels: data.channels, height: data.height, width: data.width };
    let mut best: Option<(FittedNetwork, Costs)> = None;
    for size in SIZES {
        let mut sized = config.clone();
        size.apply(&mut sized, arc);
        let mut child = Child::fixed(&sized.child, arc, input, data.classes.len(), config.run.seed())?;
        child.recompute(memory.map(|plan| plan.recompute).unwrap_or_default());
        let costs = Costs::of(child, arc, &sized.run, data, gpu)?;
        let wanted = of_training(&sized, config.run.epochs, &costs, data);
        let fits = ENOUGH * wanted <= seconds;
        // Measuring the next one would take time that this one needs.
        if fits || best.is_none() {
            best = Some((size, costs));
        }
        if 2.0 * ENOUGH * wanted > seconds {
            break;
        }
    }
    Ok(best.expect("the smallest network is always taken"))
}

impl FittedNetwork {
    /// Sets the size of the network for an arc.
    pub(super) fn apply(self, config: &mut TrainConfig, arc: &Arc) {
        let child = &mut config.child;
        (child.filters, child.layers, child.nodes) = (self.filters, self.layers, arc.n_nodes());
    }
}
