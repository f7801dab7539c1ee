//! Variables on a GPU with their momentum: one launch updates up to 32 of them.

use candle_core::{DType, Result, Tensor, Var, bail};

use super::nesterov_config::NesterovConfig;
use crate::gpu::{self, Buffer, Gpu, TensorList};
use crate::ops::optim::Nesterov;

/// Momentum and gradient are one buffer each, in which every variable has a place.
#[derive(Debug)]
pub(super) struct OnGpu {
    gpu: Gpu,
    weights: TensorList,
    momentum: Buffer,
    gradient: Buffer,
    /// Place and length of each variable, in numbers.
    places: Vec<(usize, usize)>,
}

impl OnGpu {
    /// Returns the optimiser's memory for variables that are all on one GPU, and the momentum of each as a tensor,
    /// initially zero. `None` if they are on the CPU.
    pub(super) fn of(vars: &[&Var]) -> Result<Option<(Self, Vec<Tensor>)>> {
        let Some(device) = vars.iter().map(|var| var.device()).find(|device| !device.is_cpu()) else {
            return Ok(None);
        };
        if let Some(other) = vars.iter().find(|var| !var.device().same_device(device)) {
            bail!("variables on {device:?} and on {:?}: an optimiser's are on one device", other.device());
        }
        let Some(gpu) = gpu::for_device(device)? else { return Ok(None) };
        let mut places = Vec::with_capacity(vars.len());
        let mut end = 0;
        for var in vars {
            places.push((end, var.elem_count()));
            end = (end + var.elem_count()).next_multiple_of(TensorList::ALIGNMENT);
        }
        let all = Tensor::zeros(end.max(1), DType::F32, device)?;
        let state =
            |(var, (place, len)): (&&Var, &(usize, usize))| all.narrow(0, *place, *len)?.reshape(var.shape());
        let states = vars.iter().zip(&places).map(state).collect::<Result<_>>()?;
        let arrays = vars.iter().zip(&places).map(|(var, (place, len))| Ok((Buffer::of(var)?, *place, *len)));
        let weights = TensorList::new(&gpu, arrays.collect::<Result<Vec<_>>>()?);
        let momentum = Buffer::of(&all)?;
        let gradient = gpu.zeros(end);
        Ok(Some((Self { gpu, weights, momentum, gradient, places }, states)))
    }

    /// One step. A variable without a gradient is treated as with a gradient of zeros. Waits for the device and returns
    /// the norm of the whole gradient, penalty included. If it is not finite, no variable is changed.
    pub(super) fn step(&self, config: NesterovConfig, gradients: &[Option<Tensor>]) -> Result<f32> {
        self.gradient.clear();
        for (gradient, (place, len)) in gradients.iter().zip(&self.places) {
            if let Some(gradient) = gradient {
                gpu::copy_numbers(Buffer::of(gradient)?.span(0, *len), self.gradient.span(*place, *len));
            }
        }
        self.gpu.failure()?;
        let NesterovConfig { lr, momentum, l2, clip_norm } = config;
        let rule = Nesterov { lr: lr as f32, momentum, l2, scale: 1.0 };
        let norm = self.gpu.buffer(1);
        rule.step_gpu(&self.weights, &self.momentum, &self.gradient, clip_norm, norm.span(0, 1));
        Ok(norm.download(0, 1)?[0])
    }
}
