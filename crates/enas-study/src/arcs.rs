//! The random architectures of a study. Each depends only on the seed and its number.

use std::collections::BTreeSet;

use enas_arc::Arc;
use enas_rng::{Seed, Stream};

/// Draws per wanted architecture; after that, fewer architectures are used.
const MAX_DRAWS_PER_ARC: u64 = 50;

/// Largest number of draws for the controls of one pick.
const DRAWS: u64 = 3000;

/// Tolerance of a control's number of weights, relative to that of its pick.
const WEIGHTS: f64 = 0.05;
/// Tolerance of its multiply-adds.
const MACS: f64 = 0.10;

/// Size and cost of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Number of trained weights.
    pub params: usize,
    /// Multiply-adds per image.
    pub macs: u64,
}

/// The first `n` different uniform draws. A larger `n` only adds to the end.
pub(crate) fn uniform(n: usize, n_nodes: usize, seed: Seed) -> Vec<Arc> {
    distinct(n, seed, "study/pool", |stream| Arc::random(n_nodes, stream))
}

/// The first `n` different uniform draws among wide architectures.
pub(crate) fn wide(n: usize, n_nodes: usize, seed: Seed) -> Vec<Arc> {
    distinct(n, seed, "study/wide", |stream| Arc::random_wide(n_nodes, stream))
}

fn distinct(n: usize, seed: Seed, purpose: &str, draw: impl Fn(&mut Stream) -> Arc) -> Vec<Arc> {
    let mut seen = BTreeSet::new();
    let draws = (0..MAX_DRAWS_PER_ARC * n as u64).map(|i| draw(&mut seed.stream(purpose, &[i])));
    draws.filter(|arc| seen.insert(arc.canonical())).take(n).collect()
}

/// A random architecture with the size and cost of a pick.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Control {
    pub(crate) arc: Arc,
    /// Whether size and cost are within the tolerances.
    pub(crate) fits: bool,
}

/// `n` random architectures whose number of weights is within 5 % of that of `pick`, and whose multiply-adds are
/// within 10 %. If too few are drawn, the nearest ones fill up. `None` if `goes_on` stops the search for them.
pub(crate) fn controls<E>(
    pick: &Arc,
    pick_index: usize,
    n: usize,
    seed: Seed,
    size: &dyn Fn(&Arc) -> Result<Size, E>,
    goes_on: &dyn Fn() -> bool,
) -> Result<Option<Vec<Control>>, E> {
    let wanted = size(pick)?;
    let mut seen = BTreeSet::from([pick.canonical()]);
    let mut near: Vec<(f64, Arc)> = Vec::new();
    for draw in 0..DRAWS {
        if !goes_on() {
            return Ok(None);
        }
        let arc = Arc::random(pick.n_nodes(), &mut seed.stream("study/control", &[pick_index as u64, draw]));
        if !seen.insert(arc.canonical()) {
            continue;
        }
        near.push((distance(size(&arc)?, wanted), arc));
        // All that fit count as equal, so the stable sort keeps them in the order of their draws.
        near.sort_by(|a, b| a.0.max(1.0).total_cmp(&b.0.max(1.0)));
        near.truncate(n);
        if near.len() == n && near.iter().all(|(distance, _)| *distance <= 1.0) {
            break;
        }
    }
    Ok(Some(near.into_iter().map(|(distance, arc)| Control { arc, fits: distance <= 1.0 }).collect()))
}

/// The distance of two sizes in units of the tolerances: at most 1 means within them.
fn distance(size: Size, wanted: Size) -> f64 {
    let off = |is: f64, wanted: f64, tolerance: f64| (is - wanted).abs() / (tolerance * wanted.max(1.0));
    off(size.params as f64, wanted.params as f64, WEIGHTS).max(off(
        size.macs as f64,
        wanted.macs as f64,
        MACS,
    ))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    /// Imitates real sizes: convolutions have weights, and every other operation costs little.
    fn size(arc: &Arc) -> Result<Size, Infallible> {
        let ops = || arc.to_ints().into_iter().skip(1).step_by(2);
        let convolutions = ops().filter(|op| *op < 2).count();
        let pools = ops().filter(|op| (2..4).contains(op)).count();
        Ok(Size { params: 100 + 40 * convolutions, macs: (1000 + 500 * convolutions + 20 * pools) as u64 })
    }

    #[test]
    fn a_larger_pool_begins_with_the_smaller_one() {
        let seed = Seed::new(7);
        let few = uniform(5, 4, seed);
        let many = uniform(9, 4, seed);
        assert_eq!(few, many[..5]);
        assert_eq!(many.iter().map(Arc::canonical).collect::<BTreeSet<_>>().len(), 9);
        assert_ne!(few, uniform(5, 4, Seed::new(8)));
        assert!(wide(6, 4, seed).iter().all(Arc::is_wide));
    }

    #[test]
    fn controls_have_the_size_of_their_pick() {
        let seed = Seed::new(3);
        let pick = Arc::random(4, &mut seed.stream("test", &[]));
        let found = controls(&pick, 0, 4, seed, &size, &|| true).unwrap().unwrap();
        assert_eq!(found.len(), 4);
        let wanted = size(&pick).unwrap();
        for Control { arc, fits } in &found {
            let Ok(is) = size(arc);
            assert!(*fits && arc.canonical() != pick.canonical());
            assert!((is.params as f64 / wanted.params as f64 - 1.0).abs() <= 0.05, "{is:?} for {wanted:?}");
            assert!((is.macs as f64 / wanted.macs as f64 - 1.0).abs() <= 0.10, "{is:?} for {wanted:?}");
        }
        assert_eq!(found, controls(&pick, 0, 4, seed, &size, &|| true).unwrap().unwrap());
        assert_ne!(found, controls(&pick, 1, 4, seed, &size, &|| true).unwrap().unwrap());
    }

    #[test]
    fn where_nothing_fits_the_nearest_are_taken_and_said_not_to_fit() {
        // Sixteen convolutions are drawn about once in three million draws.
        let pick: Arc = "0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0".parse().unwrap();
        let found = controls(&pick, 0, 2, Seed::new(1), &size, &|| true).unwrap().unwrap();
        assert!(found.iter().all(|control| !control.fits), "{found:?}");
        let convolutions = |arc: &Arc| (size(arc).unwrap().params - 100) / 40;
        assert!(found.iter().all(|control| convolutions(&control.arc) >= 11), "{found:?}");
    }

    #[test]
    fn drawing_ends_when_it_must() {
        let pick = uniform(1, 4, Seed::new(1)).remove(0);
        assert_eq!(controls(&pick, 0, 2, Seed::new(1), &size, &|| false).unwrap(), None);
    }
}
