//! The settings of a child network.

use std::fmt::Display;

use enas_kernels::candle::NesterovConfig;
use serde::{Deserialize, Serialize};

use crate::error::Error;

/// How a child network is built and regularised.
///
/// Sizes follow the micro search space of the ENAS paper (Pham et al. 2018, section 2.4). The flags of the authors'
/// code are named where they differ.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Channels of the first cells (`child_out_filters`). Doubles at every reduction.
    pub filters: usize,
    /// Number of normal cells in the stack (`child_num_layers`). The network has two more cells
    /// (`micro_child.py:263`).
    pub layers: usize,
    /// Computed nodes per cell (`child_num_cells`).
    pub nodes: usize,
    /// Positions of the reduction cells.
    pub reductions: Reductions,
    /// The auxiliary classifier in the upper third of the network (`micro_child.py:112-113`).
    pub aux_head: AuxHead,
    /// Weight of the auxiliary cross entropy in the loss; 0.4 in the authors' code (`micro_child.py:711`).
    pub aux_weight: f32,
    /// Fan-in rule for the initialisation of the shared weights.
    pub shared_init: SharedInit,
    /// Probability of keeping a feature before the classifier (inverted dropout, `micro_child.py:333-334`). 1
    /// switches dropout off.
    pub keep_prob: f32,
    /// Probability of keeping a path in the last cell at the end of training (drop-path; Larsson et al., 2017); fixed
    /// networks only. The probability is nearer to 1 in earlier cells and at earlier steps: see
    /// [`drop_path_keep_at`](Self::drop_path_keep_at). 1 switches drop-path off.
    pub drop_path_keep: f32,
    /// Factor `λ` of the penalty `λ·Σ w²` on every trained weight, batch norm included (`utils.py:118-123`).
    pub l2: f32,
    /// Nesterov momentum; 0.9 in the authors' code (`utils.py:213-214`).
    pub momentum: f32,
    /// Largest global norm of the gradient; larger gradients are scaled down to it. 0 switches clipping off. The
    /// authors' code does not clip either: it computes clipped gradients and then keeps the raw ones
    /// (`utils.py:141-150`).
    pub clip_norm: f32,
}

impl Default for Config {
    /// The search settings of the preset `folder`: a small network for images of 64×64 pixels, without the quirks of
    /// the authors' code.
    fn default() -> Self {
        Self {
            filters: 16,
            layers: 4,
            nodes: 5,
            reductions: Reductions::Three,
            aux_head: AuxHead::Off,
            aux_weight: 0.4,
            shared_init: SharedInit::Kernel,
            keep_prob: 0.9,
            drop_path_keep: 1.0,
            l2: 1e-4,
            momentum: 0.9,
            clip_norm: 5.0,
        }
    }
}

/// Positions of the reduction cells in a stack of `layers + 2` cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reductions {
    /// Two, after each third: cells `d` and `2d + 1` with `d = ⌊layers/3⌋` (`micro_child.py:109-110`).
    Two,
    /// Three, after each quarter: cells `d`, `2d + 1` and `layers` with `d = ⌊layers/4⌋` (ENAS-Tensorflow).
    Three,
}

/// The auxiliary classifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AuxHead {
    /// No auxiliary classifier.
    Off,
    /// The head keeps its random initial weights, but its loss trains the body, as in the authors' code: the
    /// optimiser's variables exclude `aux_head` (`micro_child.py:721-723`).
    Frozen,
    /// An ordinary, trained classifier.
    Trained,
}

/// The fan-in that shared weight tables are initialised with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SharedInit {
    /// The number of rows of the table, 2 to `nodes + 1`, as in the authors' code. There, `he_normal` takes the first
    /// dimension of a 2-D shape as its fan-in (`common_ops.py:29`). With five nodes the standard deviation
    /// `√(2/rows)` is 0.58 to 1.
    Table,
    /// The fan-in of the kernel in a row: `k²` for depthwise filters, the number of input channels for 1×1
    /// convolutions.
    Kernel,
}

/// The shape of the images that a network takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputShape {
    /// 1 for grey images, 3 for colour images.
    pub channels: usize,
    /// Height in pixels.
    pub height: usize,
    /// Width in pixels.
    pub width: usize,
}

impl Config {
    /// The settings of the authors' scripts, quirks included: two reductions, a frozen auxiliary head, and shared
    /// weights initialised by the size of their tables (`micro_search.sh`).
    pub fn reference(filters: usize, layers: usize, nodes: usize) -> Self {
        Self {
            filters,
            layers,
            nodes,
            reductions: Reductions::Two,
            aux_head: AuxHead::Frozen,
            aux_weight: 0.4,
            shared_init: SharedInit::Table,
            keep_prob: 0.9,
            drop_path_keep: 0.6,
            l2: 1e-4,
            momentum: 0.9,
            clip_norm: 0.0,
        }
    }

    /// A network of two reductions without an auxiliary head and without regularisation: no dropout, no drop-path, no
    /// L2 penalty and no clipping.
    pub fn plain(filters: usize, layers: usize, nodes: usize) -> Self {
        Self {
            filters,
            layers,
            nodes,
            reductions: Reductions::Two,
            aux_head: AuxHead::Off,
            aux_weight: 0.4,
            shared_init: SharedInit::Kernel,
            keep_prob: 1.0,
            drop_path_keep: 1.0,
            l2: 0.0,
            momentum: 0.9,
            clip_norm: 0.0,
        }
    }

    /// The optimiser's settings for the network's training steps.
    pub fn optimizer(&self, lr: f64) -> NesterovConfig {
        NesterovConfig { lr, momentum: self.momentum, l2: self.l2, clip_norm: self.clip_norm }
    }

    /// Refuses values that do not describe a network.
    ///
    /// # Errors
    /// Names the key, its value and what is allowed.
    pub fn validate(&self) -> Result<(), Error> {
        let whole = |key, value: usize, low: usize, high: usize| {
            if (low..=high).contains(&value) {
                return Ok(());
            }
            Err(Error::Config { key, value: value.to_string(), allowed: format!("{low} to {high}") })
        };
        let real = |key, value: f32, ok: bool, allowed: &str| {
            if ok {
                return Ok(());
            }
            Err(Error::Config { key, value: value.to_string(), allowed: allowed.to_owned() })
        };
        whole("child.filters", self.filters, 2, 4096)?;
        if self.filters % 2 == 1 {
            let value = self.filters.to_string();
            return Err(Error::Config { key: "child.filters", value, allowed: "even numbers".into() });
        }
        whole("child.layers", self.layers, 1, 200)?;
        whole("child.nodes", self.nodes, 1, 20)?;
        let share = |x: f32| x > 0.0 && x <= 1.0;
        real("child.keep_prob", self.keep_prob, share(self.keep_prob), "above 0, up to 1")?;
        real("child.drop_path_keep", self.drop_path_keep, share(self.drop_path_keep), "above 0, up to 1")?;
        let positive = |x: f32| x >= 0.0 && x.is_finite();
        real("child.aux_weight", self.aux_weight, positive(self.aux_weight), "0 or more")?;
        real("child.l2", self.l2, positive(self.l2), "0 or more")?;
        real("child.clip_norm", self.clip_norm, positive(self.clip_norm), "0 or more")?;
        real(
            "child.momentum",
            self.momentum,
            (0.0..1.0).contains(&self.momentum),
            "0 up to, not including, 1",
        )
    }
}

/// Refuses numbers of classes, channels and pixels that no network takes.
pub(crate) fn check_sizes(input: InputShape, n_classes: usize) -> Result<(), Error> {
    let sizes = [
        ("number of classes", n_classes, 2),
        ("number of channels", input.channels, 1),
        ("image height", input.height, 1),
        ("image width", input.width, 1),
    ];
    match sizes.into_iter().find(|(_, value, least)| value < least) {
        Some((key, value, least)) => {
            Err(Error::Config { key, value: value.to_string(), allowed: format!("{least} or more") })
        }
        None => Ok(()),
    }
}

/// Refuses a network of too many weights; `filters` is the value of the setting `key`, which would make it smaller.
pub(crate) fn check_weights(
    key: &'static str,
    filters: usize,
    weights: usize,
    max_weights: usize,
) -> Result<(), Error> {
    if weights <= max_weights {
        return Ok(());
    }
    let value = format!("{filters} with {weights} weights in the whole network");
    Err(Error::Config { key, value, allowed: format!("{max_weights} weights") })
}

/// Refuses another arc than the `own` one of a network that was built for one arc.
pub(crate) fn check_own_arc<A: PartialEq + Display>(own: Option<&A>, arc: &A) -> Result<(), Error> {
    match own {
        Some(own) if own != arc => Err(Error::Arc(format!("the network was built for {own}, not for {arc}"))),
        _ => Ok(()),
    }
}
