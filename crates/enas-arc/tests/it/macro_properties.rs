//! What holds for every macro arc and for every text that is none.

use std::collections::BTreeSet;

use enas_arc::{Location, MacroArc, MacroArcError};
use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;

use crate::mangled::mangled;

fn arcs() -> impl Strategy<Value = MacroArc> {
    (1usize..14, any::<u64>())
        .prop_map(|(n_layers, seed)| MacroArc::random(n_layers, &mut ChaCha8Rng::seed_from_u64(seed)))
}

/// Either written form of an arc.
fn written() -> impl Strategy<Value = String> {
    (arcs(), any::<bool>())
        .prop_map(|(arc, readable)| if readable { arc.readable() } else { arc.to_string() })
}

/// The largest number at `index`, counted afresh: operations stand at 0, 1, 3, 6, 10, …
fn max_at(index: usize) -> usize {
    let starts = (0..).scan(0, |start, layer| {
        *start += layer;
        Some(*start)
    });
    if starts.take_while(|&start| start <= index).any(|start| start == index) { 5 } else { 1 }
}

proptest! {
    #[test]
    fn every_form_reads_back(arc in arcs()) {
        let ints: Vec<i64> = arc.to_ints().into_iter().map(|int| int as i64).collect();
        prop_assert_eq!(&MacroArc::from_ints(&ints).unwrap(), &arc);
        prop_assert_eq!(&arc.to_string().parse::<MacroArc>().unwrap(), &arc);
        prop_assert_eq!(&MacroArc::parse_any(&arc.readable()).unwrap(), &arc);
        prop_assert_eq!(&MacroArc::new(arc.layers().to_vec()).unwrap(), &arc);
        let json = serde_json::to_string(&arc).unwrap();
        prop_assert_eq!(&serde_json::from_str::<MacroArc>(&json).unwrap(), &arc);
    }

    #[test]
    fn a_number_is_taken_exactly_where_it_is_allowed(
        arc in arcs(), location: prop::sample::Index, value in -2i64..9,
    ) {
        let mut ints: Vec<i64> = arc.to_ints().into_iter().map(|int| int as i64).collect();
        let index = location.index(ints.len());
        ints[index] = value;
        match MacroArc::from_ints(&ints) {
            Ok(_) => prop_assert!((0..=max_at(index) as i64).contains(&value)),
            Err(MacroArcError::OutOfRange { location, .. }) => {
                prop_assert!(!(0..=max_at(index) as i64).contains(&value));
                prop_assert_eq!(location, Location::Index(index));
            }
            Err(other) => prop_assert!(false, "{}", other),
        }
    }

    #[test]
    fn any_text_is_read_or_refused_in_one_short_line(text in mangled(written())) {
        match MacroArc::parse_any(&text) {
            Ok(arc) => prop_assert_eq!(arc.to_string().parse::<MacroArc>().unwrap(), arc),
            Err(error) => {
                let message = error.to_string();
                prop_assert!(message.len() < 400 && !message.contains('\n'), "{}", message);
            }
        }
    }

    #[test]
    fn mutants_are_arcs_of_as_many_layers_and_are_no_copies(arc in arcs(), seed: u64) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mutant = arc.mutated(&mut rng);
        prop_assert_eq!(mutant.n_layers(), arc.n_layers());
        prop_assert_ne!(mutant, arc);
    }
}

#[test]
fn different_numbers_are_different_networks() {
    let mut readable = BTreeSet::new();
    for code in 0..6 * 6 * 2 {
        let ints = [code / 12, code / 2 % 6, code % 2];
        readable.insert(MacroArc::from_ints(&ints).unwrap().readable());
    }
    assert_eq!(readable.len(), 72);
}
