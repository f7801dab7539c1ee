//! The table of kernels.

use std::fmt::Write as _;

use anyhow::{Result, ensure};

use super::ptxas::Usage;

/// A line per kernel: registers on each architecture, and the maxima of the other resources.
pub(crate) fn text(usages: &[Usage]) -> String {
    let (kernels, architectures) = names(usages);
    let wide = kernels.iter().map(|kernel| kernel.len()).max().unwrap_or(0).max("registers on".len());
    let mut text = format!("{:<wide$}", "registers on");
    architectures.iter().for_each(|name| push(&mut text, name));
    ["shared", "stack", "spills"].iter().for_each(|name| push(&mut text, name));
    for kernel in kernels {
        let of = || usages.iter().filter(|usage| usage.kernel == kernel);
        let _ = write!(text, "\n{kernel:<wide$}");
        for architecture in &architectures {
            let registers = of().find(|usage| usage.architecture == *architecture).map(|u| u.registers);
            push(&mut text, &registers.map_or("–".to_owned(), |n| n.to_string()));
        }
        let most = |what: fn(&Usage) -> u32| of().map(what).max().unwrap_or(0).to_string();
        [most(|u| u.shared), most(|u| u.stack), most(spilled)].iter().for_each(|n| push(&mut text, n));
    }
    text
}

/// Appends a cell of the table.
fn push(text: &mut String, cell: &str) {
    let _ = write!(text, " {cell:>7}");
}

/// The names of kernels and architectures, in the order of their first occurrence.
fn names(usages: &[Usage]) -> (Vec<&str>, Vec<&str>) {
    let mut kernels = Vec::new();
    let mut architectures = Vec::new();
    for usage in usages {
        for (list, name) in [(&mut kernels, &*usage.kernel), (&mut architectures, &*usage.architecture)] {
            if !list.contains(&name) {
                list.push(name);
            }
        }
    }
    (kernels, architectures)
}

fn spilled(usage: &Usage) -> u32 {
    usage.spill_stores + usage.spill_loads
}

/// Checks that no kernel spills registers.
///
/// # Errors
/// Names every kernel that does.
pub(crate) fn refuse_spills(usages: &[Usage]) -> Result<()> {
    let spilling: Vec<String> = usages
        .iter()
        .filter(|usage| spilled(usage) > 0)
        .map(|u| {
            format!(
                "{} on {} ({} bytes stored, {} loaded)",
                u.kernel, u.architecture, u.spill_stores, u.spill_loads
            )
        })
        .collect();
    ensure!(spilling.is_empty(), "kernels spill registers: {}", spilling.join(", "));
    Ok(())
}

/// The largest use of each resource, with its kernel, in one line.
pub(crate) fn summary(usages: &[Usage]) -> String {
    let (kernels, architectures) = names(usages);
    let most = |what: fn(&Usage) -> u32, unit: &str| match usages.iter().max_by_key(|usage| what(usage)) {
        Some(usage) if what(usage) > 0 => {
            format!("{} {unit} ({} on {})", what(usage), usage.kernel, usage.architecture)
        }
        _ => format!("no {unit}"),
    };
    format!(
        "{} kernels for {}; at most {}, {}, {}; {}",
        kernels.len(),
        architectures.join(" "),
        most(|u| u.registers, "registers"),
        most(|u| u.shared, "bytes of shared memory"),
        most(|u| u.stack, "bytes of stack"),
        most(spilled, "bytes spilled"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(kernel: &str, architecture: &str, registers: u32, shared: u32) -> Usage {
        Usage {
            kernel: kernel.to_owned(),
            architecture: architecture.to_owned(),
            registers,
            shared,
            ..Usage::default()
        }
    }

    fn usages() -> [Usage; 3] {
        [usage("add", "sm_75", 20, 0), usage("add", "sm_80", 22, 0), usage("sum", "sm_75", 31, 4096)]
    }

    #[test]
    fn a_kernel_is_a_line() {
        assert_eq!(
            text(&usages()),
            "registers on   sm_75   sm_80  shared   stack  spills\n\
             add               20      22       0       0       0\n\
             sum               31       –    4096       0       0"
        );
    }

    #[test]
    fn a_spill_is_an_error_with_the_kernels_name() {
        let mut usages = usages();
        assert!(refuse_spills(&usages).is_ok());
        usages[1].spill_loads = 8;
        let error = refuse_spills(&usages).unwrap_err().to_string();
        assert_eq!(error, "kernels spill registers: add on sm_80 (0 bytes stored, 8 loaded)");
    }

    #[test]
    fn the_summary_names_the_largest() {
        assert_eq!(
            summary(&usages()),
            "2 kernels for sm_75 sm_80; at most 31 registers (sum on sm_75), \
             4096 bytes of shared memory (sum on sm_75), no bytes of stack; no bytes spilled"
        );
    }
}
