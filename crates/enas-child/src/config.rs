//! The settings of a child network. Plain values: nothing here computes.

use serde::{Deserialize, Serialize};

use crate::Error;

/// How a child network is built and regularised.
///
/// Sizes follow the ENAS paper's micro search space (Pham et al., 2018, section 2.4); the names of the
/// published flags are given where they differ.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Channels of the first cells (`child_out_filters`). Doubles at every reduction.
    pub filters: usize,
    /// Normal cells in the stack (`child_num_layers`); the network has two cells more than this.
    pub layers: usize,
    /// Computed nodes per cell (`child_num_cells`).
    pub nodes: usize,
    /// Where the reduction cells stand.
    pub reductions: Reductions,
    /// The auxiliary classifier in the upper third of the network.
    pub aux_head: AuxHead,
    /// Weight of the auxiliary cross entropy in the loss.
    pub aux_weight: f32,
    /// Fan-in rule of the shared weights' initialisation.
    pub shared_init: SharedInit,
    /// Probability of keeping a feature before the classifier (inverted dropout). 1 switches dropout off.
    pub keep_prob: f32,
    /// Probability of keeping a path in the last cell at the end of training (fixed networks only; Larsson et
    /// al., 2017). Grows less strict towards the input and the start. 1 switches drop-path off.
    pub drop_path_keep: f32,
    /// Weight `λ` of the penalty `λ·Σ w²` on every trained weight, batch norm included.
    pub l2: f32,
    /// Nesterov momentum.
    pub momentum: f32,
    /// Largest global gradient norm; larger gradients are scaled down to it. 0 switches clipping off, as in the
    /// published code, which computes clipped gradients and then applies the raw ones.
    pub clip_norm: f32,
}

impl Default for Config {
    /// What the preset `folder` has for a search: a small network for images of 64 pixels, without the quirks of the
    /// published code.
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

/// Where the reduction cells stand in a stack of `layers + 2` cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reductions {
    /// Two, after each third: cells `d` and `2d + 1` with `d = ⌊layers/3⌋` (the ENAS authors).
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
    /// Its weights stay at their random start; its loss still reaches the body (the published code).
    Frozen,
    /// An ordinary, trained classifier.
    Trained,
}

/// Which fan-in the shared weight tables are initialised with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SharedInit {
    /// The number of rows of the table, 2 to `nodes + 1`: what a framework derives from a two-dimensional
    /// shape, and what the published code therefore does. Weights start about five times too large.
    Table,
    /// The fan-in of the kernel that a row holds.
    Kernel,
}

/// The pictures a network takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputShape {
    /// 1 for grey, 3 for colour.
    pub channels: usize,
    /// Pixels from top to bottom.
    pub height: usize,
    /// Pixels from left to right.
    pub width: usize,
}

impl Config {
    /// Refuses values that describe no network.
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
