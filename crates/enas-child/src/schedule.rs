//! Learning rates over epochs, and over the steps within them.

use serde::{Deserialize, Serialize};

use crate::error::Error;

/// How the learning rate changes. It is constant within an epoch unless `per_step` is set or a warm-up is on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Schedule {
    /// Cosine annealing with warm restarts (Loshchilov and Hutter, 2017).
    Cosine(Cosine),
    /// Multiplied by a constant factor every few epochs.
    Staircase(Staircase),
}

/// Falls from `lr_max` towards `lr_min` over `t_0` epochs, then again over `t_0·t_mul` epochs, and so on
/// (`utils.py:154-183`).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cosine {
    /// Learning rate of the first epoch of every cycle.
    pub lr_max: f64,
    /// Learning rate that every cycle approaches.
    pub lr_min: f64,
    /// Length of the first cycle, in epochs.
    pub t_0: u64,
    /// Factor between the lengths of successive cycles.
    pub t_mul: u64,
    /// Whether the rate falls with every step instead of once per epoch. A cycle of few epochs stays well above
    /// `lr_min` otherwise.
    #[serde(default)]
    pub per_step: bool,
    /// Length of the warm-up, in epochs; see [`warmup_factor`].
    #[serde(default)]
    pub warmup_epochs: f64,
}

/// `lr·rate^⌊epoch/every⌋` (`utils.py:185-187`).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Staircase {
    /// Learning rate of the first epochs.
    pub lr: f64,
    /// Factor of every step down.
    pub rate: f64,
    /// Number of epochs between steps down.
    pub every: u64,
    /// Length of the warm-up, in epochs; see [`warmup_factor`].
    #[serde(default)]
    pub warmup_epochs: f64,
}

/// Factor of the learning rate at the start of a warm-up.
const WARMUP_START: f64 = 0.01;

/// The factor of the learning rate after `done` of `epochs` epochs; `done` may have a fraction.
///
/// It rises linearly from 0.01 to 1 in the first `warmup_epochs` epochs. The warm-up takes at most half of the run,
/// so that a short run also reaches the full rate.
pub fn warmup_factor(warmup_epochs: f64, done: f64, epochs: u64) -> f32 {
    let length = warmup_epochs.min(epochs as f64 / 2.0);
    if done >= length {
        return 1.0;
    }
    (WARMUP_START + (1.0 - WARMUP_START) * done / length) as f32
}

impl Schedule {
    /// The learning rate of `epoch`, counted from 0.
    pub fn lr(&self, epoch: u64) -> f32 {
        match self {
            Self::Cosine(cosine) => cosine.lr(epoch),
            Self::Staircase(stairs) => stairs.lr(epoch),
        }
    }

    /// Whether the rate changes with every step rather than with every epoch.
    pub fn is_per_step(&self) -> bool {
        matches!(self, Self::Cosine(Cosine { per_step: true, .. }))
    }

    /// Length of the warm-up, in epochs; see [`warmup_factor`].
    pub fn warmup_epochs(&self) -> f64 {
        match self {
            Self::Cosine(cosine) => cosine.warmup_epochs,
            Self::Staircase(stairs) => stairs.warmup_epochs,
        }
    }

    /// Refuses schedules that do not define a learning rate.
    ///
    /// # Errors
    /// Names the key, its value and what is allowed.
    pub fn validate(&self) -> Result<(), Error> {
        let check = |ok: bool, key, value: String, allowed: &str| {
            if ok { Ok(()) } else { Err(Error::Config { key, value, allowed: allowed.to_owned() }) }
        };
        let rate = |x: f64| x >= 0.0 && x.is_finite();
        let warmup = self.warmup_epochs();
        check(
            rate(warmup),
            "schedule.warmup_epochs",
            warmup.to_string(),
            "0 or more epochs, parts included",
        )?;
        match self {
            Self::Cosine(c) => {
                check(rate(c.lr_max), "schedule.lr_max", c.lr_max.to_string(), "0 or more")?;
                let ordered = rate(c.lr_min) && c.lr_min <= c.lr_max;
                check(ordered, "schedule.lr_min", c.lr_min.to_string(), "0 to schedule.lr_max")?;
                check(c.t_0 >= 1, "schedule.t_0", c.t_0.to_string(), "1 or more epochs")?;
                check(c.t_mul >= 1, "schedule.t_mul", c.t_mul.to_string(), "1 or more")
            }
            Self::Staircase(s) => {
                check(rate(s.lr), "schedule.lr", s.lr.to_string(), "0 or more")?;
                check(rate(s.rate) && s.rate <= 1.0, "schedule.rate", s.rate.to_string(), "0 to 1")?;
                check(s.every >= 1, "schedule.every", s.every.to_string(), "1 or more epochs")
            }
        }
    }
}

impl Cosine {
    /// The learning rate of `epoch`, counted from 0.
    pub fn lr(&self, epoch: u64) -> f32 {
        self.lr_within(epoch, 0.0)
    }

    /// The learning rate after the share `part` of `epoch`, with `part` in `[0, 1)`. It is
    /// `lr_min + (lr_max − lr_min)/2·(1 + cos(π·e/T))` at epoch `e` of a cycle of `T` epochs.
    ///
    /// The authors keep the cycle in two variables that lag by one step at a restart (`utils.py:164-183`). This
    /// function computes it from the epoch.
    pub fn lr_within(&self, epoch: u64, part: f32) -> f32 {
        // The authors' value of π (`utils.py:173`). A closer one would change the last digit of some rates.
        #[allow(clippy::approx_constant)]
        const PI: f32 = 3.141_592_6;
        let mut start = 0;
        let mut length = self.t_0.max(1);
        while epoch - start >= length {
            start += length;
            length = length.saturating_mul(self.t_mul.max(1));
        }
        // Single precision in the authors' order of operations, so that rates agree to the last digit.
        let phase = ((epoch - start) as f32 + part) / length as f32 * PI;
        let half = (0.5 * (self.lr_max - self.lr_min)) as f32;
        self.lr_min as f32 + half * (1.0 + f64::from(phase).cos() as f32)
    }
}

impl Staircase {
    /// The learning rate of `epoch`, counted from 0.
    pub fn lr(&self, epoch: u64) -> f32 {
        let steps = epoch / self.every.max(1);
        (self.lr * self.rate.powf(steps as f64)) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cosine_restarts_after_10_30_and_70_epochs() {
        let cosine =
            Cosine { lr_max: 0.05, lr_min: 0.0005, t_0: 10, t_mul: 2, per_step: false, warmup_epochs: 0.0 };
        for (epoch, lr) in [
            (0, 0.05),
            (1, 0.048_788_65),
            (2, 0.045_273_17),
            (5, 0.025_25),
            (9, 0.001_711_35),
            (10, 0.05),
            (11, 0.049_695_29),
            (29, 0.000_804_71),
            (30, 0.05),
            (69, 0.000_576_3),
            (70, 0.05),
            (149, 0.000_519_08),
            (150, 0.05),
        ] {
            assert!(
                (cosine.lr(epoch) - lr).abs() < 1e-8,
                "epoch {epoch}: {} instead of {lr}",
                cosine.lr(epoch)
            );
        }
    }
    #[test]
    fn the_rate_within_an_epoch_lies_between_that_epoch_and_the_next() {
        let cosine =
            Cosine { lr_max: 0.1, lr_min: 0.0, t_0: 2, t_mul: 1, per_step: true, warmup_epochs: 0.0 };
        assert!((cosine.lr_within(0, 0.5) - 0.1 * 0.853_553_4).abs() < 1e-7);
        assert!(cosine.lr_within(1, 0.99) < 1e-4, "the end of the cycle");
        assert_eq!(cosine.lr_within(1, 0.0), cosine.lr(1));
    }

    #[test]
    fn a_warm_up_rises_from_a_hundredth_to_the_whole() {
        let at = |done| warmup_factor(2.0, done, 10);
        assert_eq!((at(0.0), at(2.0), at(7.5)), (0.01, 1.0, 1.0));
        assert!((at(1.0) - 0.505).abs() < 1e-6);
        assert_eq!(warmup_factor(0.0, 0.0, 10), 1.0, "no warm-up");
        assert_eq!(warmup_factor(5.0, 1.0, 2), 1.0, "half of a short run");
    }

    #[test]
    fn a_warm_up_of_no_length_is_refused() {
        for warmup_epochs in [-1.0, f64::NAN, f64::INFINITY] {
            let schedule = Schedule::Staircase(Staircase { lr: 0.1, rate: 0.5, every: 1, warmup_epochs });
            let error = schedule.validate().expect_err("no such warm-up").to_string();
            assert!(error.contains("schedule.warmup_epochs"), "{error}");
        }
    }
}
