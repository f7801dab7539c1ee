//! The gradients of one pass, by parameter.

use rayon::prelude::*;

use super::table::ParamId;

/// The gradients of one pass. Parameters that took no part have none.
#[derive(Clone, Debug)]
pub(crate) struct Gradients {
    rows: Vec<Option<Vec<f32>>>,
}

impl Gradients {
    /// No gradients yet.
    pub(crate) fn new(rows: usize) -> Self {
        Self { rows: vec![None; rows] }
    }

    /// From one entry per parameter, in order.
    pub(super) fn from_rows(rows: Vec<Option<Vec<f32>>>) -> Self {
        Self { rows }
    }

    /// The gradient of the parameter at `place`.
    pub(crate) fn row(&self, place: usize) -> Option<&[f32]> {
        self.rows[place].as_deref()
    }

    /// Takes the gradient of the parameter at `place` out.
    pub(crate) fn take(&mut self, place: usize) -> Option<Vec<f32>> {
        self.rows[place].take()
    }

    /// Whether every gradient is finite.
    pub(crate) fn is_finite(&self) -> bool {
        self.rows.par_iter().flatten().all(|row| is_finite(row))
    }

    /// Whether the gradient of one parameter is finite or missing.
    pub(crate) fn is_finite_at(&self, id: ParamId) -> bool {
        self.row(id.0).is_none_or(is_finite)
    }

    /// Adds to the gradient of one parameter.
    pub(crate) fn add(&mut self, id: ParamId, gradient: Vec<f32>) {
        match &mut self.rows[id.0] {
            Some(total) => total.iter_mut().zip(gradient).for_each(|(t, g)| *t += g),
            empty => *empty = Some(gradient),
        }
    }
}

/// Whether all values are finite. Has no early exit, so that it compiles to vector instructions.
pub(crate) fn is_finite(values: &[f32]) -> bool {
    const EXPONENT: u32 = 0x7f80_0000;
    !values.iter().fold(false, |found, x| found | (x.to_bits() & EXPONENT == EXPONENT))
}
