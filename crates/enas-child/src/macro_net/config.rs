//! The settings of a network of the macro space.

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// How a network of the macro search space is built and regularised (Pham et al. 2018, section 2.3).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MacroConfig {
    /// Number of layers, without the stem (`child_num_layers`).
    pub layers: usize,
    /// Channels of the first layers (`child_out_filters`), an even number. In a network with private weights they
    /// double at each of the two reductions (`general_child.py:215-216`).
    pub filters: usize,
    /// What the operations of an arc become in a network with private weights.
    pub fixed_ops: FixedOps,
    /// Probability of keeping a feature before the classifier (inverted dropout). 1 switches dropout off.
    pub keep_prob: f32,
    /// Factor `λ` of the penalty `λ·Σ w²` on every trained weight, batch norm included (`utils.py:118-123`).
    pub l2: f32,
    /// Nesterov momentum.
    pub momentum: f32,
    /// Largest global norm of the gradient; larger gradients are scaled down to it. 0 switches clipping off.
    pub clip_norm: f32,
}

/// What the operations of an arc become in a network with private weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FixedOps {
    /// The same operations as in the search.
    #[default]
    AsSearched,
    /// Dense convolutions for the four convolution operations, and no pooling, as in the authors' code
    /// (`general_child.py:389-409`).
    FullConvolutions,
}

impl Default for MacroConfig {
    /// The authors' search: 12 layers of 36 channels (`scripts/cifar10_macro_search.sh`).
    fn default() -> Self {
        Self {
            layers: 12,
            filters: 36,
            fixed_ops: FixedOps::default(),
            keep_prob: 0.9,
            l2: 2.5e-4,
            momentum: 0.9,
            clip_norm: 0.0,
        }
    }
}

impl MacroConfig {
    /// Refuses values that do not describe a network.
    ///
    /// # Errors
    /// Names the key, its value and what is allowed.
    pub fn validate(&self) -> Result<(), Error> {
        let check = |key, value: String, ok: bool, allowed: &str| {
            if ok { Ok(()) } else { Err(Error::Config { key, value, allowed: allowed.to_owned() }) }
        };
        let even = (2..=4096).contains(&self.filters) && self.filters.is_multiple_of(2);
        check("macro.filters", self.filters.to_string(), even, "even numbers, 2 to 4096")?;
        check("macro.layers", self.layers.to_string(), (1..=200).contains(&self.layers), "1 to 200")?;
        let keep = self.keep_prob;
        check("macro.keep_prob", keep.to_string(), keep > 0.0 && keep <= 1.0, "above 0, up to 1")?;
        for (key, value) in [("macro.l2", self.l2), ("macro.clip_norm", self.clip_norm)] {
            check(key, value.to_string(), value >= 0.0 && value.is_finite(), "0 or more")?;
        }
        let momentum = self.momentum;
        check(
            "macro.momentum",
            momentum.to_string(),
            (0.0..1.0).contains(&momentum),
            "0 up to, not including, 1",
        )
    }

    /// The layers, counted from 0, after which height and width are halved: at a third and at two thirds of the stack
    /// (`general_child.py:95-96`).
    pub fn reductions(&self) -> Vec<usize> {
        match self.layers / 3 {
            0 => Vec::new(),
            d => vec![d - 1, 2 * d - 1],
        }
    }
}
