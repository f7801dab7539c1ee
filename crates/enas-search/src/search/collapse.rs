//! Detection of a collapsed strategy, and the warnings that a search reports with its result.

use enas_arc::{Arc, Arch, Cell, Op};
use enas_rng::Seed;
use enas_run::error::Result;
use enas_strategy::Space as _;

use super::progress::PolicyRunningMean;
use super::space::{ImageSpace, operations as numbers_of_operations};
use super::strategy::Proposer;

/// Number of proposals that are examined.
const ARCS: u64 = 100;
/// Share of one operation in the choices above which the strategy counts as collapsed.
const MOST: f64 = 0.6;

/// Warnings about the arc found and about the strategy that proposed it. `learned` is `None` if nothing was learned.
pub(super) fn warnings(
    found: &Arch,
    space: &ImageSpace,
    learned: Option<&mut Proposer>,
    seed: Seed,
) -> Vec<String> {
    let of_strategy = learned.and_then(|strategy| {
        let sampled = |i| strategy.propose_one(&mut seed.stream("select/collapse", &[i]));
        let arcs: Vec<Arch> = (0..ARCS).map(sampled).collect();
        one_operation(&arcs, space, strategy.noun())
    });
    let without_convolution = match found {
        Arch::Micro(arc) => without_convolution(arc),
        Arch::Macro(arc) => arc.layers().iter().all(|layer| layer.op.id() > 3).then(|| {
            "the network found has no convolution: search for more epochs, or with a higher \
             controller.entropy_weight"
                .to_owned()
        }),
    };
    without_convolution.into_iter().chain(of_strategy).collect()
}

/// Describes the operation whose share in an epoch exceeds `most`; `noun` names the strategy.
pub(super) fn of_epoch(
    tally: &PolicyRunningMean,
    most: f64,
    space: &ImageSpace,
    noun: &str,
) -> Option<String> {
    let (op, share) = tally.commonest();
    let name = || space.op_name(op);
    (share > most).then(|| format!("{:.0} % of the {noun}'s choices are {}", 100.0 * share, name()))
}

/// Describes a strategy whose median proposal has fewer multiply-adds than 90 % of random
/// architectures.
///
/// Small networks learn fast under weight sharing but reach less when trained alone.
pub(super) fn of_size(
    strategy: &mut Proposer,
    space: &ImageSpace,
    seed: Seed,
    macs: &dyn Fn(&Arch) -> Result<u64>,
) -> Result<Option<String>> {
    let sizes = |arcs: &mut dyn Iterator<Item = Arch>| -> Result<Vec<u64>> {
        let mut sizes = arcs.map(|arc| macs(&arc)).collect::<Result<Vec<u64>, _>>()?;
        sizes.sort_unstable();
        Ok(sizes)
    };
    let random = sizes(&mut (0..ARCS).map(|i| space.random(&mut seed.stream("search/sizes", &[i]))))?;
    let noun = strategy.noun();
    let sampled = |i| strategy.propose_one(&mut seed.stream("search/policy-sizes", &[i]));
    let proposed = sizes(&mut (0..ARCS).map(sampled))?;
    let tenth = random[random.len() / 10];
    let median = proposed[proposed.len() / 2];
    Ok((median < tenth).then(|| {
        format!("the {noun}'s networks have {median} multiply-adds, fewer than nine tenths of random ones ({tenth})")
    }))
}

/// Describes cells without a convolution: pools and identities have no weights.
fn without_convolution(arc: &Arc) -> Option<String> {
    let convolves = |cell: &Cell| operations(cell).any(|op| matches!(op, Op::SepConv3x3 | Op::SepConv5x5));
    let which = match (convolves(arc.normal()), convolves(arc.reduction())) {
        (true, true) => return None,
        (false, true) => "the normal cell found has no convolution",
        (true, false) => "the reduction cell found has no convolution",
        (false, false) => "the cells found have no convolution",
    };
    Some(format!(
        "{which}: shared weights that were trained too little favour pools and identities; search for more epochs, \
         or train a ready cell (enas train DATA)"
    ))
}

/// Describes the operation whose share of the choices exceeds [`MOST`]; `noun` names the strategy.
fn one_operation(arcs: &[Arch], space: &ImageSpace, noun: &str) -> Option<String> {
    let mut counts = vec![0usize; space.no_counts().first().map_or(0, Vec::len)];
    arcs.iter().flat_map(numbers_of_operations).flatten().for_each(|op| counts[op] += 1);
    let all = counts.iter().sum::<usize>().max(1);
    let (id, most) = counts.into_iter().enumerate().max_by_key(|(_, n)| *n)?;
    let share = most as f64 / all as f64;
    let remedy = if noun == "policy" { "raise controller.entropy_weight, or " } else { "" };
    (share > MOST).then(|| {
        format!(
            "the {noun} collapsed: {:.0} % of its choices are {}; {remedy}search for more epochs",
            100.0 * share,
            space.op_name(id)
        )
    })
}

fn operations(cell: &Cell) -> impl Iterator<Item = Op> + '_ {
    cell.nodes().iter().flat_map(|node| [node.x.op, node.y.op])
}

#[cfg(test)]
mod tests {
    use super::*;
    use enas_run::config::SearchConfig;

    fn arc(text: &str) -> Arc {
        text.parse().unwrap()
    }

    fn space() -> ImageSpace {
        ImageSpace::of(&SearchConfig::default()).unwrap()
    }

    #[test]
    fn cells_without_a_convolution_are_named() {
        assert_eq!(without_convolution(&arc("0 0 1 2  0 1 1 3")), None);
        assert!(without_convolution(&arc("0 2 1 2  0 1 1 3")).unwrap().starts_with("the normal cell"));
        assert!(without_convolution(&arc("0 0 1 2  0 4 1 3")).unwrap().starts_with("the reduction cell"));
        assert!(without_convolution(&arc("0 2 1 2  0 4 1 3")).unwrap().starts_with("the cells"));
    }

    #[test]
    fn an_operation_that_is_nearly_always_chosen_is_named() {
        // Three of four choices.
        let said = one_operation(&[arc("0 2 1 2  0 2 1 3").into()], &space(), "policy").unwrap();
        assert!(said.starts_with("the policy collapsed: 75 % of its choices are avg-pool-3x3"), "{said}");
        assert_eq!(
            one_operation(&[arc("0 2 1 2  0 1 1 3").into()], &space(), "policy"),
            None,
            "half is not too much"
        );
    }

    #[test]
    fn a_policy_that_has_learnt_nothing_has_not_collapsed() {
        let mut strategy = Proposer::of(&SearchConfig::default(), 1.0).unwrap();
        let found = arc("0 0 1 2  0 1 1 3");
        assert_eq!(warnings(&found.into(), &space(), Some(&mut strategy), Seed::new(1)), [""; 0]);
    }
}
