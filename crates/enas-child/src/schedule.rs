//! Learning rates over epochs.

use serde::{Deserialize, Serialize};

use crate::Error;

/// How the learning rate changes; constant within an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Schedule {
    /// Cosine annealing with warm restarts (Loshchilov and Hutter, 2017).
    Cosine(Cosine),
    /// A constant factor every so many epochs.
    Staircase(Staircase),
}

/// From `lr_max` down towards `lr_min` over `t_0` epochs, then again over `t_0·t_mul`, and so on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cosine {
    /// Learning rate of the first epoch of every cycle.
    pub lr_max: f64,
    /// Learning rate that every cycle approaches.
    pub lr_min: f64,
    /// Epochs of the first cycle.
    pub t_0: u64,
    /// Growth of the cycles.
    pub t_mul: u64,
}

/// `lr·rate^⌊epoch/every⌋`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Staircase {
    /// Learning rate of the first epoch.
    pub lr: f64,
    /// Factor of every step down.
    pub rate: f64,
    /// Epochs between steps.
    pub every: u64,
}

impl Schedule {
    /// The learning rate of `epoch`, counted from 0.
    pub fn lr(&self, epoch: u64) -> f32 {
        match self {
            Self::Cosine(cosine) => cosine.lr(epoch),
            Self::Staircase(stairs) => stairs.lr(epoch),
        }
    }

    /// Refuses schedules that define no learning rate.
    ///
    /// # Errors
    /// Names the key, its value and what is allowed.
    pub fn validate(&self) -> Result<(), Error> {
        let check = |ok: bool, key, value: String, allowed: &str| {
            if ok { Ok(()) } else { Err(Error::Config { key, value, allowed: allowed.to_owned() }) }
        };
        let rate = |x: f64| x >= 0.0 && x.is_finite();
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
        // The published code spells π like this; the exact one would change the last digit of some rates.
        #[allow(clippy::approx_constant)]
        const PI: f32 = 3.141_592_6;
        let (mut start, mut length) = (0, self.t_0.max(1));
        while epoch - start >= length {
            start += length;
            length = length.saturating_mul(self.t_mul.max(1));
        }
        // Single precision in the published order of operations, so that rates agree to the last digit.
        let phase = (epoch - start) as f32 / length as f32 * PI;
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
        let cosine = Cosine { lr_max: 0.05, lr_min: 0.0005, t_0: 10, t_mul: 2 };
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
}
