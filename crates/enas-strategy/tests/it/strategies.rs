//! What must stay true of the strategies, on tables of three shapes.

use std::io::BufReader;

use enas_strategy::{
    Budget, DecayingBias, Evolution, EvolutionSettings, Outcome, PartlyUniform, Reinforce, ReinforceSettings,
    RowLocation, Seed, Strategy, Table, TableEntry, TableRow, TableSpace, TableSummary, Uniform, search,
};
use flate2::read::GzDecoder;

/// Searches per strategy and table.
const REPEATS: usize = 24;

/// NAS-Bench-Graph on CiteSeer; see `tests/data/README.md`.
fn graph() -> Table {
    let bytes = include_bytes!("../data/nas-bench-graph-citeseer.csv.gz");
    let table = Table::from_csv(BufReader::new(GzDecoder::new(&bytes[..]))).unwrap();
    assert_eq!((table.n_rows(), table.names().len()), (26_206, 5));
    table
}

/// Effects of single choices and of pairs of them, and noise of its own on either value.
fn synthetic(n_choices: &[usize], noise: f64, seed: u64) -> Table {
    let seed = Seed::new(seed);
    let mut stream = seed.stream("effects", &[]);
    let mut effects = |n: usize, sd: f64| (0..n).map(|_| sd * f64::from(stream.normal())).collect::<Vec<_>>();
    let single: Vec<Vec<f64>> = n_choices.iter().map(|&n| effects(n, 1.0)).collect();
    let pairs: Vec<(usize, usize)> = (0..n_choices.len()).flat_map(|i| (0..i).map(move |j| (i, j))).collect();
    let of_pairs: Vec<Vec<f64>> =
        pairs.iter().map(|&(i, j)| effects(n_choices[i] * n_choices[j], 0.4)).collect();
    let mut noises = seed.stream("noise", &[]);
    let entry = |number: usize| {
        let mut left = number;
        let choices: Vec<usize> = n_choices.iter().map(|&n| (left % n, left /= n).0).collect();
        let alone: f64 = choices.iter().zip(&single).map(|(&c, effects)| effects[c]).sum();
        let joint = pairs.iter().zip(&of_pairs).map(|(&(i, j), e)| e[choices[i] * n_choices[j] + choices[j]]);
        let value = alone + joint.sum::<f64>();
        let mut noisy = || value + noise * f64::from(noises.normal());
        let valid = noisy();
        let test = noisy();
        let decisions = choices.into_iter().map(|c| c as i64).collect();
        TableEntry { location: RowLocation::Object(number as u32), decisions, valid, test }
    };
    let names = (0..n_choices.len()).map(|i| format!("d{i}")).collect();
    Table::new(names, (0..n_choices.iter().product()).map(entry)).unwrap()
}

fn tables() -> Vec<(&'static str, Table)> {
    vec![
        ("graph", graph()),
        ("six of five", synthetic(&[5; 6], 0.6, 1)),
        ("eight of three", synthetic(&[3; 8], 0.6, 2)),
        ("inputs and operations", synthetic(&[2, 5, 3, 5, 4, 5], 0.6, 3)),
    ]
}

type BoxedStrategy<'a> = Box<dyn Strategy<TableSpace<'a>> + 'a>;

fn reinforce(table: &Table, seed: Seed) -> BoxedStrategy<'_> {
    Box::new(Reinforce::new(TableSpace(table), &ReinforceSettings::default(), seed).unwrap())
}

fn evolution(table: &Table, _: Seed) -> BoxedStrategy<'_> {
    Box::new(Evolution::new(TableSpace(table), EvolutionSettings::default()))
}

fn uniform(table: &Table, _: Seed) -> BoxedStrategy<'_> {
    Box::new(Uniform(TableSpace(table)))
}

fn outcome(
    table: &Table,
    make: fn(&Table, Seed) -> BoxedStrategy<'_>,
    rewards: usize,
    repeat: u64,
) -> Outcome<TableRow> {
    let seed = Seed::new(100 + repeat);
    let Ok(outcome) =
        search(&TableSpace(table), &mut *make(table, seed), &mut &*table, Budget::new(rewards), seed);
    outcome
}

/// Test values of what the searches picked.
fn picked(table: &Table, make: fn(&Table, Seed) -> BoxedStrategy<'_>, rewards: usize) -> TableSummary {
    let test = |repeat| table.test(outcome(table, make, rewards, repeat).best.unwrap().0);
    TableSummary::of(&(0..REPEATS as u64).map(test).collect::<Vec<_>>()).unwrap()
}

#[test]
fn reinforce_is_as_good_as_evolution_and_both_beat_uniform_draws() {
    for (name, table) in tables() {
        let [by_reward, by_evolution, by_chance] =
            [reinforce, evolution, uniform].map(|make| picked(&table, make, 1000));
        let shown = format!("{name}: {by_reward:?} {by_evolution:?} {by_chance:?}");
        let standard_error = by_evolution.sd / (REPEATS as f64).sqrt();
        assert!(by_reward.mean >= by_evolution.mean - standard_error, "{shown}");
        assert!(by_chance.mean < by_evolution.mean && by_chance.mean < by_reward.mean, "{shown}");
    }
}

#[test]
fn few_rewards_are_enough_to_be_better_than_uniform_draws() {
    for (name, table) in tables() {
        let [by_reward, by_chance] = [reinforce, uniform].map(|make| picked(&table, make, 300));
        assert!(by_reward.mean > by_chance.mean, "{name}: {by_reward:?} {by_chance:?}");
    }
}

#[test]
fn the_same_seed_gives_the_same_search() {
    let table = synthetic(&[3; 5], 0.3, 4);
    for make in [reinforce, evolution, uniform] {
        assert_eq!(outcome(&table, make, 120, 1), outcome(&table, make, 120, 1));
        assert_ne!(outcome(&table, make, 120, 1).scored, outcome(&table, make, 120, 2).scored);
    }
}

/// The operations of the biased table that need no training: choices 0 and 1 of every decision.
fn parameter_free(table: &Table, row: TableRow) -> usize {
    table.decisions(row).into_iter().filter(|&op| op < 2).count()
}

/// Mean value of the last proposals of the policy itself, and the largest share of an operation among them.
fn end_of_biased(table: &Table, warmup: usize, repeat: u64) -> (f64, f64) {
    const DECAYS_OVER: u64 = 1000;
    let all: Vec<f64> = table.rows().map(|row| table.valid(row)).collect();
    let sd = TableSummary::of(&all).unwrap().sd;
    let bias = |row: &TableRow| 0.5 * sd * parameter_free(table, *row) as f64;
    let seed = Seed::new(200 + repeat);
    let space = TableSpace(table);
    let settings = ReinforceSettings::default();
    let policy = Reinforce::new(space, &settings, seed).unwrap();
    let mut strategy = PartlyUniform::new(space, policy, 0.3);
    let budget = Budget { warmup, ..Budget::new(2000) };
    let mut oracle = DecayingBias::new(table, bias, DECAYS_OVER);
    let Ok(outcome) = search(&space, &mut strategy, &mut oracle, budget, seed);
    let last: Vec<TableRow> =
        outcome.scored[1800..].chunks(10).flat_map(|batch| &batch[..7]).map(|(row, _)| *row).collect();
    let value = last.iter().map(|&row| table.test(row)).sum::<f64>() / last.len() as f64;
    let mut counts = [0; 5];
    last.iter().flat_map(|&row| table.decisions(row)).for_each(|op| counts[op as usize] += 1);
    (value, *counts.iter().max().unwrap() as f64 / counts.iter().sum::<i32>() as f64)
}

#[test]
fn a_planted_bias_that_fades_does_no_harm_after_a_warm_up() {
    let table = synthetic(&[5; 6], 0.6, 5);
    for repeat in 0..30 {
        let (value, share) = end_of_biased(&table, 1000, repeat);
        assert!(value > table.mean_test() && share <= 0.6, "{repeat}: {value}, {share}");
    }
}
