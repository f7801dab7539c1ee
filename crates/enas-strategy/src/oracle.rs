//! Oracles: sources of scores.

use crate::space::Space;

/// A source of scores for architectures.
pub trait Oracle<S: Space> {
    /// The error of a failed scoring.
    type Error;

    /// One finite score per architecture, in their order; more is better.
    ///
    /// # Errors
    /// If they cannot be scored.
    fn score(&mut self, archs: &[S::Arch]) -> Result<Vec<f64>, Self::Error>;
}

impl<S: Space, O: Oracle<S>> Oracle<S> for &mut O {
    type Error = O::Error;

    fn score(&mut self, archs: &[S::Arch]) -> Result<Vec<f64>, Self::Error> {
        (**self).score(archs)
    }
}

/// Adds a bias to another oracle's scores. The bias fades with the number of scores given.
///
/// It imitates shared weights that are still being trained. Operations without parameters work from the start, so
/// their first scores are too high. A policy that is rewarded by them learns to prefer these operations.
#[derive(Clone, Debug)]
pub struct DecayingBias<O, B> {
    oracle: O,
    bias: B,
    decays_over: u64,
    scored: u64,
}

impl<O, B> DecayingBias<O, B> {
    /// `bias` returns the initial bias of an architecture. It falls linearly to zero over the first `decays_over`
    /// scores.
    pub fn new(oracle: O, bias: B, decays_over: u64) -> Self {
        Self { oracle, bias, decays_over, scored: 0 }
    }

    /// The remaining share of the bias, from 1 to 0.
    pub fn remaining(&self) -> f64 {
        if self.scored >= self.decays_over { 0.0 } else { 1.0 - self.scored as f64 / self.decays_over as f64 }
    }
}

impl<S: Space, O: Oracle<S>, B: Fn(&S::Arch) -> f64> Oracle<S> for DecayingBias<O, B> {
    type Error = O::Error;

    fn score(&mut self, archs: &[S::Arch]) -> Result<Vec<f64>, Self::Error> {
        let mut scores = self.oracle.score(archs)?;
        for (score, arch) in scores.iter_mut().zip(archs) {
            *score += self.remaining() * (self.bias)(arch);
            self.scored += 1;
        }
        Ok(scores)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{Table, TableSpace};

    #[test]
    fn a_bias_falls_linearly_to_nothing() {
        let table = Table::from_csv("a,valid,test\n0,1,1\n1,2,2\n".as_bytes()).unwrap();
        let rows: Vec<_> = table.rows().collect();
        let bias = |row: &crate::TableRow| if *row == rows[1] { 8.0 } else { 0.0 };
        let mut oracle = DecayingBias::new(&table, bias, 4);
        let mut scores = |rows: &[crate::TableRow]| Oracle::<TableSpace>::score(&mut oracle, rows).unwrap();
        assert_eq!(scores(&[rows[1], rows[1], rows[0]]), [10.0, 8.0, 1.0]);
        assert_eq!(scores(&[rows[1], rows[1]]), [4.0, 2.0]);
        assert_eq!(oracle.remaining(), 0.0);
    }
}
