//! Parsers for the values of flags, with messages for wrong values.

use clap::builder::{PossibleValue, PossibleValuesParser};
use enas_search::{Activations, MemoryLimit, ReadyCell, TimeLimit, ready_cells};

/// Where the work is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Device {
    Cpu,
    /// The NVIDIA GPU with this number.
    #[cfg_attr(not(feature = "cuda"), expect(dead_code, reason = "refused while parsing"))]
    Cuda(usize),
}

pub(crate) fn whole(low: usize, high: usize) -> impl Fn(&str) -> Result<usize, String> + Clone {
    move |text| match text.parse::<usize>() {
        Ok(n) if (low..=high).contains(&n) => Ok(n),
        _ => Err(format!("write a whole number from {low} to {high}")),
    }
}

/// A seed: any 64-bit number.
pub(crate) fn seed(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(n) => Ok(n),
        Err(_) => Err(format!("write a whole number from 0 to {}", u64::MAX)),
    }
}

pub(crate) fn epochs(text: &str) -> Result<u64, String> {
    whole(1, 1_000_000)(text).map(|n| n as u64)
}

/// The names of the ready cells, each with its description.
pub(crate) fn cell() -> PossibleValuesParser {
    let value = |cell: ReadyCell| PossibleValue::new(cell.name).help(cell.about);
    PossibleValuesParser::new(ready_cells().into_iter().map(value))
}

pub(crate) fn patience(text: &str) -> Result<u64, String> {
    whole(0, 1_000_000)(text).map(|n| n as u64)
}

pub(crate) fn share(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(p) if p > 0.0 && p <= 1.0 => Ok(p),
        _ => Err("write a number above 0, up to 1".to_owned()),
    }
}

pub(crate) fn switch(text: &str) -> Result<bool, String> {
    match text {
        "0" => Ok(false),
        "1" => Ok(true),
        _ => Err("write 0 or 1".to_owned()),
    }
}

pub(crate) fn activations(text: &str) -> Result<Activations, String> {
    match text {
        "f32" => Ok(Activations::F32),
        "bf16" => Ok(Activations::Bf16),
        _ => Err("write f32 or bf16".to_owned()),
    }
}

pub(crate) fn device(text: &str) -> Result<Device, String> {
    let number = match text {
        "cpu" => return Ok(Device::Cpu),
        "cuda" => Some(0),
        _ => text.strip_prefix("cuda:").and_then(|number| number.parse().ok()),
    };
    match number {
        None => Err("write cpu, cuda or cuda:N".to_owned()),
        #[cfg(feature = "cuda")]
        Some(number) => Ok(Device::Cuda(number)),
        #[cfg(not(feature = "cuda"))]
        Some::<usize>(_) => {
            let remedy = "build it with `--features cuda`, or use --device cpu";
            Err(format!("CUDA is not built into this program; {remedy}"))
        }
    }
}

pub(crate) fn time_limit(text: &str) -> Result<TimeLimit, String> {
    match text.parse() {
        Ok(TimeLimit(None)) | Err(_) => {
            Err("write a whole number with a unit, as in 90s, 30m or 2h".to_owned())
        }
        Ok(limit) => Ok(limit),
    }
}

pub(crate) fn memory_limit(text: &str) -> Result<MemoryLimit, String> {
    text.parse()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_limits_are_a_number_and_a_unit() {
        assert_eq!(time_limit("90s").unwrap().to_string(), "90s");
        assert_eq!(time_limit("120m").unwrap().to_string(), "2h");
        for bad in ["", "s", "90", "1h30m", "-5m", "5 m", "infs", "1e3s", "90µ", "0s", "m5", "off"] {
            assert!(time_limit(bad).is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn devices_are_the_cpu_and_numbered_gpus() {
        #[cfg(not(feature = "cuda"))]
        assert!(device("cuda:1").unwrap_err().contains("not built"));
        #[cfg(feature = "cuda")]
        assert_eq!((device("cuda"), device("cuda:1")), (Ok(Device::Cuda(0)), Ok(Device::Cuda(1))));
        assert!(device("cuda:x").unwrap_err().contains("write cpu"));
        assert_eq!(device("cpu"), Ok(Device::Cpu));
    }

    #[test]
    fn whole_numbers_stay_in_their_range() {
        assert_eq!(seed("-1"), Err("write a whole number from 0 to 18446744073709551615".into()));
        assert_eq!(seed("18446744073709551615"), Ok(u64::MAX));
        let threads = whole(1, 4);
        assert_eq!(threads("4"), Ok(4));
        for bad in ["0", "5", "-1", "1.5", "two"] {
            assert_eq!(threads(bad), Err("write a whole number from 1 to 4".to_owned()));
        }
    }
}
