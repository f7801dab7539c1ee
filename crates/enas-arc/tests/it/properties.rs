//! What holds for every arc and for every text that is none.

use enas_arc::{Arc, ArcError, Location};
use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;

use crate::mangled::mangled;

fn arcs() -> impl Strategy<Value = Arc> {
    (1usize..9, any::<u64>())
        .prop_map(|(n_nodes, seed)| Arc::random(n_nodes, &mut ChaCha8Rng::seed_from_u64(seed)))
}

/// Either written form of an arc.
fn written() -> impl Strategy<Value = String> {
    (arcs(), any::<bool>())
        .prop_map(|(arc, readable)| if readable { arc.readable() } else { arc.to_string() })
}

fn signed(arc: &Arc) -> Vec<i64> {
    arc.to_ints().into_iter().map(|int| int as i64).collect()
}

/// The index that an error about one number names.
fn named_index(error: &ArcError) -> Option<usize> {
    let (ArcError::Negative { at, .. }
    | ArcError::TooLarge { at, .. }
    | ArcError::InputOutOfRange { at, .. }
    | ArcError::OpOutOfRange { at, .. }) = error
    else {
        return None;
    };
    match at.location {
        Location::Index(index) => Some(index),
        Location::Text { .. } => None,
    }
}

/// The largest number allowed at `index`, counted afresh from the definition of the integer form.
fn max_at(index: usize, n_nodes: usize) -> usize {
    if index % 2 == 1 { 4 } else { index / 4 % n_nodes + 1 }
}

proptest! {

    #[test]
    fn both_forms_read_back_what_they_print(arc in arcs()) {
        prop_assert_eq!(arc.to_string().parse(), Ok(arc.clone()));
        prop_assert_eq!(Arc::from_ints(&signed(&arc)), Ok(arc.clone()));
        prop_assert_eq!(Arc::parse_any(&arc.to_string()), Ok(arc.clone()));
        prop_assert_eq!(Arc::parse_any(&arc.readable()), Ok(arc.clone()));
        prop_assert_eq!(Arc::parse_any(&arc.readable().trim_end().replace('\n', "; ").replace(":;", ":")), Ok(arc));
    }

    #[test]
    fn random_arcs_are_within_the_allowed_ranges(arc in arcs()) {
        let ints = arc.to_ints();
        prop_assert_eq!(ints.len(), 8 * arc.n_nodes());
        for (index, int) in ints.into_iter().enumerate() {
            prop_assert!(int <= max_at(index, arc.n_nodes()), "{int} at {index} of {arc}");
        }
    }

    #[test]
    fn canonical_is_a_fixed_point_with_the_same_branches_and_loose_ends(arc in arcs()) {
        let canonical = arc.canonical();
        prop_assert_eq!(canonical.canonical(), canonical.clone());
        for (before, after) in [(arc.normal(), canonical.normal()), (arc.reduction(), canonical.reduction())] {
            prop_assert_eq!(before.loose_ends(), after.loose_ends());
            for (old, new) in before.nodes().iter().zip(after.nodes()) {
                prop_assert!(new.x <= new.y);
                prop_assert!((new.x, new.y) == (old.x, old.y) || (new.x, new.y) == (old.y, old.x));
            }
        }
    }

    #[test]
    fn swapping_the_branches_of_a_node_does_not_change_the_canonical_form(
        arc in arcs(),
        node in any::<prop::sample::Index>(),
    ) {
        let mut ints = signed(&arc);
        let start = 4 * node.index(2 * arc.n_nodes());
        ints[start..start + 4].rotate_left(2);
        prop_assert_eq!(Arc::from_ints(&ints).unwrap().canonical(), arc.canonical());
    }

    #[test]
    fn the_last_state_is_a_loose_end_and_no_loose_end_is_read(arc in arcs()) {
        for cell in [arc.normal(), arc.reduction()] {
            let loose = cell.loose_ends();
            prop_assert_eq!(loose.last(), Some(&(cell.n_nodes() + 1)));
            for state in 0..cell.n_nodes() + 2 {
                let read = cell.nodes().iter().any(|node| node.x.input == state || node.y.input == state);
                prop_assert_eq!(loose.contains(&state), !read);
            }
        }
    }

    #[test]
    fn mangled_text_is_an_error_or_an_arc_that_reads_back(text in mangled(written())) {
        match Arc::parse_any(&text) {
            Ok(arc) => prop_assert_eq!(Arc::parse_any(&arc.readable()), Ok(arc)),
            Err(error) => prop_assert!(!error.to_string().contains('\n'), "{error}"),
        }
    }

    #[test]
    fn any_text_is_an_error_or_an_arc(text in "\\PC*|[0-9 ,:=+;()-]*") {
        let _ = Arc::parse_any(&text);
    }

    #[test]
    fn a_list_of_the_wrong_length_is_refused(ints in prop::collection::vec(0i64..2, 1..100)) {
        let parsed = Arc::from_ints(&ints);
        if ints.len().is_multiple_of(8) {
            prop_assert!(parsed.is_ok());
        } else {
            prop_assert_eq!(parsed, Err(ArcError::Length { len: ints.len() }));
        }
    }
}

proptest! {

    #[test]
    fn a_number_out_of_range_is_refused_at_its_position(arc in arcs(), excess in 1i64..1_000_000) {
        let ints = signed(&arc);
        for index in 0..ints.len() {
            let max = max_at(index, arc.n_nodes()) as i64;
            for wrong in [max + 1, max + excess, -1, -excess, i64::MAX, i64::MIN] {
                let mut ints = ints.clone();
                ints[index] = wrong;
                let error = Arc::from_ints(&ints).unwrap_err();
                prop_assert_eq!(named_index(&error), Some(index), "{}", error);
                let text: Vec<String> = ints.iter().map(i64::to_string).collect();
                prop_assert_eq!(text.join(" ").parse::<Arc>(), Err(error.clone()));
                let message = error.to_string();
                prop_assert!(message.starts_with(&format!("position {index} (")), "{message}");
                prop_assert!(message.contains(&wrong.to_string()), "{message}");
                prop_assert!(message.contains(&format!("allowed 0..={max}")), "{message}");
            }
        }
    }

    #[test]
    fn a_word_is_refused_at_its_position(arc in arcs(), word in "[a-z.]{1,5}|[0-9]{20,40}") {
        let words: Vec<String> = arc.to_ints().iter().map(usize::to_string).collect();
        for index in 0..words.len() {
            let mut words = words.clone();
            words[index] = word.clone();
            let message = words.join(" ").parse::<Arc>().unwrap_err().to_string();
            prop_assert!(message.starts_with(&format!("position {index} (")), "{message}");
        }
    }
}
