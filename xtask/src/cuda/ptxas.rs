//! The report of the assembler ptxas about kernels (`nvcc -Xptxas -v`).

/// The resources of one kernel on one architecture.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) kernel: String,
    /// For example `sm_80`.
    pub(crate) architecture: String,
    /// Registers per thread.
    pub(crate) registers: u32,
    /// Bytes of shared memory per block.
    pub(crate) shared: u32,
    /// Bytes of stack per thread.
    pub(crate) stack: u32,
    /// Bytes of register spills: values written to local memory and read back because registers do not suffice.
    pub(crate) spill_stores: u32,
    pub(crate) spill_loads: u32,
}

/// Parses a report. Functions that were not inlined count for the kernel they are listed under.
pub(crate) fn parse(report: &str) -> Vec<Usage> {
    let mut usages: Vec<Usage> = Vec::new();
    for line in report.lines() {
        if let Some(entry) = line.split_once("Compiling entry function '") {
            let mut quoted = entry.1.split('\'');
            let mut next = || quoted.next().unwrap_or_default().to_owned();
            let kernel = next();
            next();
            usages.push(Usage { kernel, architecture: next(), ..Usage::default() });
        } else if let Some(usage) = usages.last_mut() {
            usage.stack = usage.stack.max(before(line, "bytes stack frame"));
            usage.spill_stores += before(line, "bytes spill stores");
            usage.spill_loads += before(line, "bytes spill loads");
            usage.registers = usage.registers.max(before(line, "registers"));
            usage.shared = usage.shared.max(before(line, "bytes smem"));
        }
    }
    usages
}

/// The number before `words` in the line; 0 if they do not occur.
fn before(line: &str, words: &str) -> u32 {
    let number = |(head, _): (&str, &str)| head.split_whitespace().last()?.parse().ok();
    line.split_once(&format!(" {words}")).and_then(number).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Output of nvcc 13.0.88 for two kernels of this repository and one that was made to spill.
    const REPORT: &str = include_str!("ptxas.txt");

    #[test]
    fn a_report_lists_kernels_with_what_they_need() {
        let usage = |kernel: &str, [registers, shared, stack, spill_stores, spill_loads]: [u32; 5]| Usage {
            kernel: kernel.to_owned(),
            architecture: "sm_80".to_owned(),
            registers,
            shared,
            stack,
            spill_stores,
            spill_loads,
        };
        let by_eye = [
            usage("product_64", [96, 12544, 0, 0, 0]),
            usage("moments_affine", [20, 0, 0, 0, 0]),
            usage("crowded", [32, 4096, 544, 544, 788]),
        ];
        assert_eq!(parse(REPORT), by_eye);
    }

    #[test]
    fn text_without_kernels_has_none() {
        assert_eq!(parse("ptxas info    : 0 bytes gmem\nUsed 3 registers\n"), []);
    }
}
