//! The source of a network's initial tensors.

use candle_core::{DType, Device, Result, Shape, Tensor, Var, bail};
use candle_nn::init::NormalOrUniform;
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder, VarMap};
use enas_rng::Seed;

use crate::error::Error as NetworkError;

/// The source of a network's initial tensors: a seed, with a device if it is not the CPU, or a candle `VarBuilder`. The
/// builder may be [`seeded`], read a file, or make variables as candle does.
pub struct InitialWeights<'a>(WeightSource<'a>);

enum WeightSource<'a> {
    Seed(Seed, Device),
    Builder(VarBuilder<'a>),
}

impl From<Seed> for InitialWeights<'_> {
    fn from(seed: Seed) -> Self {
        Self::from((seed, &Device::Cpu))
    }
}

impl From<(Seed, &Device)> for InitialWeights<'_> {
    fn from((seed, device): (Seed, &Device)) -> Self {
        Self(WeightSource::Seed(seed, device.clone()))
    }
}

impl<'a> From<VarBuilder<'a>> for InitialWeights<'a> {
    fn from(builder: VarBuilder<'a>) -> Self {
        Self(WeightSource::Builder(builder))
    }
}

impl<'a> InitialWeights<'a> {
    /// The builder.
    pub(crate) fn into_builder(self) -> VarBuilder<'a> {
        match self.0 {
            WeightSource::Seed(seed, device) => seeded(&VarMap::new(), seed, &device),
            WeightSource::Builder(builder) => builder,
        }
    }

    /// The builder of a network that is computed on the CPU alone.
    pub(crate) fn into_cpu_builder(self) -> std::result::Result<VarBuilder<'a>, NetworkError> {
        let builder = self.into_builder();
        if builder.device().is_cpu() {
            return Ok(builder);
        }
        let device = builder.device();
        Err(NetworkError::State(format!("tensors on {device:?}; this network is computed on the CPU alone")))
    }
}

/// A builder of variables whose initial values come from a seed. Each variable has its own stream of random numbers,
/// named after it. So its values do not depend on the device or on other variables. Variables that are already in the
/// map stay as they are.
///
/// Normal values are truncated at two standard deviations.
pub fn seeded(varmap: &VarMap, seed: Seed, device: &Device) -> VarBuilder<'static> {
    let backend: Box<dyn SimpleBackend> = Box::new(Seeded { varmap: varmap.clone(), seed });
    VarBuilder::from_backend(backend, DType::F32, device.clone())
}

struct Seeded {
    varmap: VarMap,
    seed: Seed,
}

impl Seeded {
    /// The initial values of a variable.
    fn numbers(&self, name: &str, shape: &Shape, init: Init) -> Vec<f32> {
        let len = shape.elem_count();
        let mut stream = self.seed.stream(&format!("init {name}"), &[]);
        match init {
            Init::Const(value) => vec![value as f32; len],
            Init::Randn { mean, stdev } => {
                let mean = mean as f32;
                let sigma = stdev as f32;
                (0..len).map(|_| mean + stream.truncated_normal(sigma)).collect()
            }
            Init::Uniform { lo, up } => {
                let lo = lo as f32;
                let up = up as f32;
                (0..len).map(|_| lo + (up - lo) * stream.uniform()).collect()
            }
            Init::Kaiming { dist, fan, non_linearity } => {
                let stdev = non_linearity.gain() / (fan.for_shape(shape) as f64).sqrt();
                let end = 3f64.sqrt() * stdev;
                let init = match dist {
                    NormalOrUniform::Normal => Init::Randn { mean: 0.0, stdev },
                    NormalOrUniform::Uniform => Init::Uniform { lo: -end, up: end },
                };
                self.numbers(name, shape, init)
            }
        }
    }
}

impl SimpleBackend for Seeded {
    fn get(&self, shape: Shape, name: &str, init: Init, dtype: DType, device: &Device) -> Result<Tensor> {
        let mut all = match self.varmap.data().lock() {
            Ok(all) => all,
            Err(poisoned) => poisoned.into_inner(),
        };
        if let Some(var) = all.get(name) {
            if *var.shape() != shape {
                bail!("{name} is {:?}, expected {shape:?}", var.shape());
            }
            return Ok(var.as_tensor().clone());
        }
        if dtype != DType::F32 {
            bail!("{name} was asked for as {dtype:?}; the network computes in F32");
        }
        let numbers = self.numbers(name, &shape, init);
        let var = Var::from_vec(numbers, shape, device)?;
        let tensor = var.as_tensor().clone();
        all.insert(name.to_owned(), var);
        Ok(tensor)
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> Result<Tensor> {
        bail!("{name} was asked for without its shape")
    }

    fn contains_tensor(&self, name: &str) -> bool {
        match self.varmap.data().lock() {
            Ok(all) => all.contains_key(name),
            Err(poisoned) => poisoned.into_inner().contains_key(name),
        }
    }
}
