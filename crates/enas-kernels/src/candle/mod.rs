//! Additions to candle for networks written with it. They give tensors as slices without copies, join many tensors as
//! one input of a custom op, and update variables in place.
//!
//! ```
//! use candle_core::{Device, Tensor, Var};
//! use candle_nn::Optimizer;
//! use enas_kernels::candle::{NesterovConfig, NesterovSgd};
//!
//! # fn main() -> candle_core::Result<()> {
//! let weight = Var::new(&[1.0f32, -2.0], &Device::Cpu)?;
//! let config = NesterovConfig { lr: 0.1, ..NesterovConfig::default() };
//! let mut optimizer = NesterovSgd::new(vec![weight.clone()], config)?;
//! optimizer.backward_step(&weight.sqr()?.sum_all()?)?;
//! assert!(weight.to_vec1::<f32>()?[0] < 1.0);
//! # Ok(())
//! # }
//! ```

mod access;
mod adam;
mod nesterov;
mod nesterov_config;
mod on_gpu;
mod slots;
mod tie;

pub use access::{Guards, distinct, read, write};
pub use adam::{TfAdam, TfAdamConfig};
pub use nesterov::NesterovSgd;
pub use nesterov_config::NesterovConfig;
pub use tie::{Gradients, Tied, tie};
