//! Arguments of launches.

use super::buffer::{Buffer, WORD};
use super::device::Arg;
use super::feature_map::GpuFeatureMap;
use super::precision::Precision;

/// An argument of a launch: numbers of a buffer or a map from some element on, a whole number, or a real number.
pub(crate) enum Param<'a> {
    Buffer(&'a Buffer, usize),
    FeatureMap(&'a GpuFeatureMap, usize),
    Int(usize),
    Real(f32),
}

impl Param<'_> {
    /// A copy. The type is not `Copy`, because `Vec::extend` could then not tell the element type of an array of them.
    pub(super) fn again(&self) -> Self {
        match *self {
            Self::Buffer(buffer, first) => Self::Buffer(buffer, first),
            Self::FeatureMap(map, first) => Self::FeatureMap(map, first),
            Self::Int(value) => Self::Int(value),
            Self::Real(value) => Self::Real(value),
        }
    }

    /// In the form of the device; `None` if its memory could not be allocated.
    pub(super) fn arg(&self) -> Option<Arg> {
        let memory = |buffer: &Buffer, offset: usize| Some(Arg::Memory(buffer.memory().ok()?, offset));
        match self {
            Self::Buffer(buffer, first) => memory(buffer, first * WORD),
            Self::FeatureMap(map, first) => {
                let (buffer, offset) = map.place(*first);
                memory(buffer, offset)
            }
            Self::Int(value) => {
                Some(Arg::U32(u32::try_from(*value).expect("shapes were checked to fit 32 bits")))
            }
            Self::Real(value) => Some(Arg::F32(*value)),
        }
    }
}

/// The precision of the maps among the arguments of a launch; single precision if there are none.
///
/// # Panics
/// If they differ.
pub(super) fn precision_of(kernel: &str, args: &[Param<'_>]) -> Precision {
    let mut maps = args.iter().filter_map(|arg| match arg {
        Param::FeatureMap(map, _) => Some(map.precision()),
        _ => None,
    });
    let first = maps.next().unwrap_or_default();
    assert!(maps.all(|other| other == first), "{kernel}: the maps of one operation have one precision");
    first
}

impl<'a> From<&'a GpuFeatureMap> for Param<'a> {
    fn from(map: &'a GpuFeatureMap) -> Self {
        Self::FeatureMap(map, 0)
    }
}

impl<'a> From<&'a Buffer> for Param<'a> {
    fn from(buffer: &'a Buffer) -> Self {
        Self::Buffer(buffer, 0)
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
