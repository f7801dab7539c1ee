//! Launches of kernels, and their arguments.

use crate::gpu::buffer::{Buffer, Span};
use crate::gpu::cost::Cost;
use crate::gpu::device::{Arg, Launch};
use crate::gpu::memory::{Gpu, WORD};
use crate::gpu::precision::Precision;

/// Threads of a block in kernels that treat every number alike.
pub(crate) const THREADS: usize = 256;

/// An argument of a launch: numbers of a buffer or a map from some element on, a whole number, or a real number.
pub(crate) enum Param<'a> {
    Buffer(&'a Buffer, usize),
    /// Numbers of a map: its words, an offset in bytes, and the format of the numbers.
    FeatureMap {
        words: &'a Buffer,
        offset: usize,
        precision: Precision,
    },
    Int(usize),
    Real(f32),
}

impl Param<'_> {
    /// A copy. The type is not `Copy`, because `Vec::extend` could then not tell the element type of an array of them.
    pub(crate) fn again(&self) -> Self {
        match *self {
            Self::Buffer(buffer, first) => Self::Buffer(buffer, first),
            Self::FeatureMap { words, offset, precision } => Self::FeatureMap { words, offset, precision },
            Self::Int(value) => Self::Int(value),
            Self::Real(value) => Self::Real(value),
        }
    }

    /// In the form of the device; `None` if its memory could not be allocated.
    fn arg(&self) -> Option<Arg> {
        let memory = |buffer: &Buffer, offset: usize| Some(Arg::Memory(buffer.memory().ok()?, offset));
        match self {
            Self::Buffer(buffer, first) => memory(buffer, first * WORD),
            Self::FeatureMap { words, offset, .. } => memory(words, *offset),
            Self::Int(value) => {
                Some(Arg::U32(u32::try_from(*value).expect("shapes were checked to fit 32 bits")))
            }
            Self::Real(value) => Some(Arg::F32(*value)),
        }
    }
}

impl Gpu {
    /// Launches `kernel` over a grid of blocks. `cost` is its lower bound on traffic and operations, for the report.
    ///
    /// # Panics
    /// If the maps among the arguments differ in precision.
    pub(crate) fn launch(
        &self,
        kernel: &'static str,
        grid: [usize; 3],
        block: [usize; 3],
        args: &[Param<'_>],
        cost: Cost,
    ) {
        if grid.contains(&0) {
            return;
        }
        let maps = precision_of(kernel, args);
        let Some(args) = args.iter().map(Param::arg).collect::<Option<Vec<Arg>>>() else {
            return; // The allocation's failure is already remembered.
        };
        let narrow =
            |axes: [usize; 3]| axes.map(|x| u32::try_from(x).expect("grids are far below 2³² blocks"));
        let launch = Launch { kernel, maps, grid: narrow(grid), block: narrow(block) };
        self.attempt_counted(kernel, cost, |device| device.launch(&launch, &args));
    }
}

/// The precision of the maps among the arguments of a launch; single precision if there are none.
///
/// # Panics
/// If they differ.
fn precision_of(kernel: &str, args: &[Param<'_>]) -> Precision {
    let mut maps = args.iter().filter_map(|arg| match arg {
        Param::FeatureMap { precision, .. } => Some(*precision),
        _ => None,
    });
    let first = maps.next().unwrap_or_default();
    assert!(maps.all(|other| other == first), "{kernel}: the maps of one operation have one precision");
    first
}

impl<'a> From<&'a Buffer> for Param<'a> {
    fn from(buffer: &'a Buffer) -> Self {
        Self::Buffer(buffer, 0)
    }
}

impl<'a> From<Span<'a>> for Param<'a> {
    fn from(span: Span<'a>) -> Self {
        Self::Buffer(span.buffer, span.first)
    }
}

impl From<usize> for Param<'_> {
    fn from(value: usize) -> Self {
        Self::Int(value)
    }
}

impl From<bool> for Param<'_> {
    fn from(value: bool) -> Self {
        Self::Int(usize::from(value))
    }
}

impl From<f32> for Param<'_> {
    fn from(value: f32) -> Self {
        Self::Real(value)
    }
}
