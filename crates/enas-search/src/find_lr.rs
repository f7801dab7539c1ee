//! A learning-rate range test (Smith, WACV 2017): a few steps with a rising rate, with a network that is then
//! dropped.

use enas_arc::Arc;
use enas_child::Step;
use enas_data::Dataset;
use enas_kernels::gpu::Gpu;
use enas_run::config::{Settings as _, TrainConfig};
use enas_run::error::Result;
use enas_run::loader::ImageSource;
use enas_run::network::{fixed_child, set_loss};
use enas_run::non_finite::NonFinite;
use serde::Serialize;

use crate::epoch::{epoch_plan, steps_per_epoch};

/// Maximum number of steps.
const STEPS: u64 = 100;
/// The first and the last rate.
const RATES: (f64, f64) = (1e-5, 10.0);
/// Decay of the exponential moving average of the loss.
const KEEPS: f64 = 0.9;
/// The test ends when the smoothed loss exceeds its minimum by this factor.
const TOO_HIGH: f64 = 4.0;
/// The rate with the lowest loss is close to instability. The suggestion is lower by this factor.
const MARGIN: f64 = 10.0;

/// The loss of a network for a rising learning rate.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LrCurve {
    /// One point per step, until the loss is far above its minimum.
    pub curve: Vec<LrPoint>,
    /// A tenth of the rate with the lowest smoothed loss.
    pub suggested_lr: f64,
}

/// A step of the test.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct LrPoint {
    /// Learning rate.
    pub lr: f64,
    /// Mean training loss of the step's batch, in nats.
    pub loss: f64,
    /// The exponential moving average of the loss (bias-corrected), in nats.
    pub smoothed_loss: f64,
}

/// Trains a network of `arc` for at most a hundred steps while the rate rises from 1e-5 to 10 in equal factors.
///
/// The learning rate of the configuration is not used. Load `data` with `config.run.seed()`.
///
/// # Errors
/// Errors of settings, data, network and device.
pub fn find_lr(config: &TrainConfig, arc: &Arc, data: &Dataset, gpu: Option<&Gpu>) -> Result<LrCurve> {
    config.check()?;
    config.run.check_device(gpu)?;
    let mut child = fixed_child(config, arc, data)?;
    set_loss(&mut child, &config.run, data)?;
    if let Some(gpu) = gpu {
        child.use_gpu(gpu, config.run.activations.into())?;
    }
    let source = ImageSource::new(&data.train, &child)?;
    let steps = steps_per_epoch(&data.train, &config.run);
    let mut ramp = Ramp::default();
    for epoch in 0..STEPS.div_ceil(steps) {
        for batch in source.epoch(&epoch_plan(&data.train, epoch, &config.run, 0))? {
            let global_step = ramp.curve.len() as u64;
            let lr = ramp.lr();
            let step = Step { lr: lr as f32, global_step, total_steps: STEPS, seed: config.run.seed() };
            let stats = child.train_on(arc, batch?.examples(), &step, &mut || ())?;
            let finite = NonFinite::of_step(&stats).is_none();
            if !finite || !ramp.goes_on(lr, f64::from(stats.loss)) {
                return Ok(ramp.finish());
            }
        }
    }
    Ok(ramp.finish())
}

/// The curve so far.
#[derive(Default)]
struct Ramp {
    curve: Vec<LrPoint>,
    /// The moving average of the loss, which started at 0.
    average: f64,
}

impl Ramp {
    /// The rate of the next step.
    fn lr(&self) -> f64 {
        let (first, last) = RATES;
        first * (last / first).powf(self.curve.len() as f64 / (STEPS - 1) as f64)
    }

    /// Adds a step; returns whether another one should follow.
    fn goes_on(&mut self, lr: f64, loss: f64) -> bool {
        self.average = KEEPS * self.average + (1.0 - KEEPS) * loss;
        let steps = self.curve.len() as i32 + 1;
        let smoothed_loss = self.average / (1.0 - KEEPS.powi(steps));
        let lowest = self.curve.iter().map(|point| point.smoothed_loss).fold(smoothed_loss, f64::min);
        self.curve.push(LrPoint { lr, loss, smoothed_loss });
        smoothed_loss <= TOO_HIGH * lowest && (steps as u64) < STEPS
    }

    fn finish(self) -> LrCurve {
        let best = self.curve.iter().min_by(|a, b| a.smoothed_loss.total_cmp(&b.smoothed_loss));
        let suggested_lr = best.map_or(RATES.0, |point| point.lr / MARGIN);
        LrCurve { curve: self.curve, suggested_lr }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use enas_run::config::ConfigBuilder;

    #[test]
    fn the_ramp_rises_by_equal_factors_and_ends_where_the_loss_explodes() {
        let mut ramp = Ramp::default();
        // A minimum at about 0.1.
        let loss = |lr: f64| 1.0 + (lr.log10() + 1.0).powi(2);
        while ramp.goes_on(ramp.lr(), loss(ramp.lr())) {}
        let curve = ramp.finish();
        assert_eq!((curve.curve[0].lr, curve.curve.len() as u64), (1e-5, STEPS));
        assert!((curve.curve[99].lr - 10.0).abs() < 1e-9);
        // Smoothing shifts the minimum towards higher rates.
        assert!((0.01..0.06).contains(&curve.suggested_lr), "{}", curve.suggested_lr);
        let mut ramp = Ramp::default();
        (0..30).for_each(|_| assert!(ramp.goes_on(ramp.lr(), 1.0)));
        assert!(!ramp.goes_on(ramp.lr(), 1000.0), "no further");
    }

    #[test]
    fn a_network_on_the_digits_gets_a_rate_that_it_learns_with() {
        let small =
            ["child.filters=4", "child.layers=1", "child.nodes=2", "data.image_size=8", "run.batch_size=64"];
        let layers = small.iter().fold(ConfigBuilder::preset("quick"), |layers, a| layers.set(*a));
        let config: TrainConfig = layers.load().unwrap();
        let arc: Arc = "0 0 1 4 2 2 0 3  0 1 1 4 2 2 1 3".parse().unwrap();
        let data = enas_data::load(&config.data, &enas_data::LoadOptions::new(config.run.seed())).unwrap();
        let found = find_lr(&config, &arc, &data, None).unwrap();
        assert!((0.003..1.0).contains(&found.suggested_lr), "{}", found.suggested_lr);
        assert_eq!(find_lr(&config, &arc, &data, None).unwrap(), found, "the same again");
    }
}
