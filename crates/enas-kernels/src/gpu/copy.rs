//! Copies, sums and transposes of arrays; the kernels are in `layout.cu`.

use crate::gpu::buffer::{Buffer, Span};
use crate::gpu::cost::Cost;
use crate::gpu::launch::THREADS;

/// Copies the numbers of `from` to `to`. Reads and writes them once.
///
/// # Panics
/// If the spans differ in length.
pub fn copy_numbers(from: Span<'_>, to: Span<'_>) {
    number_by_number("copy_numbers", from, to, Cost::new(2 * to.len, 0));
}

/// Adds the numbers of `from` to those of `to`. Reads both once, writes the sums.
///
/// # Panics
/// If the spans differ in length.
pub fn add_numbers(from: Span<'_>, to: Span<'_>) {
    number_by_number("add_numbers", from, to, Cost::new(3 * to.len, to.len));
}

/// Returns a matrix `[rows, columns]` as `[columns, rows]`. Reads and writes it once.
///
/// # Panics
/// If the length is not a multiple of the rows.
pub fn transpose_numbers(from: Span<'_>, rows: usize) -> Buffer {
    assert!(rows > 0 && from.len.is_multiple_of(rows), "{} numbers in {rows} rows", from.len);
    let gpu = from.buffer.gpu();
    let columns = from.len / rows;
    let to = gpu.buffer(from.len);
    let args = [from.into(), (&to).into(), rows.into(), columns.into()];
    let grid = [from.len.div_ceil(THREADS), 1, 1];
    gpu.launch("transpose_numbers", grid, [THREADS, 1, 1], &args, Cost::new(2 * from.len, 0));
    to
}

fn number_by_number(kernel: &'static str, from: Span<'_>, to: Span<'_>, cost: Cost) {
    assert_eq!(from.len, to.len, "as many numbers on both sides");
    let grid = [from.len.div_ceil(THREADS), 1, 1];
    let args = [from.into(), to.into(), from.len.into()];
    from.buffer.gpu().launch(kernel, grid, [THREADS, 1, 1], &args, cost);
}
