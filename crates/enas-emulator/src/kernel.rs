//! Kernels and their parameters.

use std::fmt;
use std::io;

use crate::launch::LaunchArg;
use crate::wire::PayloadReader;

/// A kernel of the project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EmulatedKernel {
    /// Its name, as launches give it.
    pub name: String,
    /// Its source, `folder/file.cu`.
    pub file: String,
    /// Maximum number of threads per block, from `__launch_bounds__`; 1024 without it.
    pub max_threads: u32,
    /// Its parameters, in order.
    pub parameters: Vec<Parameter>,
}

/// A parameter of a kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Its name in the source.
    pub name: String,
    /// Its type: `In<f32>`, `Out<bf16>`, `u32`.
    pub kind: String,
    /// Bytes per element of a pointer; `None` for a scalar.
    pub element: Option<u32>,
}

impl fmt::Display for EmulatedKernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parameters: Vec<String> =
            self.parameters.iter().map(|p| format!("{}: {}", p.name, p.kind)).collect();
        write!(f, "kernel `{}({})`", self.name, parameters.join(", "))
    }
}

impl EmulatedKernel {
    /// Reads the table that the program sends when it starts.
    pub(crate) fn table(payload: &[u8]) -> io::Result<Vec<EmulatedKernel>> {
        let mut payload = PayloadReader(payload);
        let count = payload.u32()?;
        (0..count).map(|_| EmulatedKernel::read(&mut payload)).collect()
    }

    fn read(payload: &mut PayloadReader<'_>) -> io::Result<EmulatedKernel> {
        let name = payload.text()?;
        let file = payload.text()?.trim_end_matches(":0").to_owned();
        let max_threads = payload.u32()?;
        let count = payload.u32()?;
        let mut parameter = || {
            let name = payload.text()?;
            let kind = payload.text()?;
            let element = payload.u32()?;
            Ok(Parameter { name, kind, element: (element > 0).then_some(element) })
        };
        let parameters = (0..count).map(|_| parameter()).collect::<io::Result<_>>()?;
        Ok(EmulatedKernel { name, file, max_threads, parameters })
    }

    /// Describes the first argument that does not fit the parameters, if there is one.
    pub(crate) fn mismatch(&self, args: &[LaunchArg]) -> Option<String> {
        if args.len() != self.parameters.len() {
            return Some(format!("takes {} arguments, got {}", self.parameters.len(), args.len()));
        }
        let mut pairs = self.parameters.iter().zip(args).enumerate();
        pairs.find_map(|(i, (parameter, arg))| {
            let problem = parameter.mismatch(arg)?;
            Some(format!("argument {i} (`{}`: {}) {problem}", parameter.name, parameter.kind))
        })
    }
}

impl Parameter {
    fn mismatch(&self, arg: &LaunchArg) -> Option<String> {
        let Some(element) = self.element else {
            return (arg.kind() != self.kind).then(|| format!("got {}", arg.kind()));
        };
        let offset = match *arg {
            LaunchArg::Null => return None,
            LaunchArg::Buffer(_, first) | LaunchArg::Slice(_, first, _) => first,
            LaunchArg::U32(_) | LaunchArg::I32(_) | LaunchArg::F32(_) | LaunchArg::U64(_) => {
                return Some(format!("got {}", arg.kind()));
            }
        };
        (offset % u64::from(element) != 0)
            .then(|| format!("begins at byte {offset}, no multiple of the element's {element}"))
    }
}
