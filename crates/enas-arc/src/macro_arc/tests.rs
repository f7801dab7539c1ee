use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;

use super::*;

/// Three layers: the second adds the stem, the third adds layer 1.
const THREE: &str = "0 3 1 5 0 1";

fn three() -> MacroArc {
    THREE.parse().unwrap()
}

fn message(text: &str) -> String {
    MacroArc::parse_any(text).unwrap_err().to_string()
}

#[test]
fn numbers_mean_operations_and_skips() {
    let arc = three();
    let layer = |op, skips: &[bool]| MacroLayer { op, skips: skips.to_vec() };
    let expected = [
        layer(MacroOp::Conv3x3, &[]),
        layer(MacroOp::SepConv5x5, &[true]),
        layer(MacroOp::MaxPool3x3, &[false, true]),
    ];
    assert_eq!(arc.layers(), expected);
    assert_eq!(arc.layers()[2].added().collect::<Vec<_>>(), [1]);
    assert_eq!((arc.n_layers(), arc.skip_rate()), (3, 2.0 / 3.0));
    assert_eq!(arc.to_string(), THREE);
    assert_eq!(arc.readable(), "1 = conv-3x3(0)\n2 = sep-conv-5x5(1) + 0\n3 = max-pool-3x3(2) + 1\n");
    let one: MacroArc = "4".parse().unwrap();
    assert_eq!((one.n_layers(), one.skip_rate()), (1, 0.0));
}

#[test]
fn twelve_layers_are_78_numbers_and_24_are_300() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    for (layers, numbers) in [(1, 1), (2, 3), (12, 78), (24, 300)] {
        let ints = MacroArc::random(layers, &mut rng).to_ints();
        assert_eq!(ints.len(), numbers);
        assert_eq!(n_layers(numbers), Some(layers));
    }
    assert_eq!([0, 2, 77, 79].map(n_layers), [None; 4]);
}

#[test]
fn the_space_has_the_published_size() {
    // "1.6 × 10^29" for 12 layers (section 2.3 of the paper).
    let size = MacroArcSpace { n_layers: 12 }.size();
    assert!((size / (6f64.powi(12) * 2f64.powi(66)) - 1.0).abs() < 1e-12, "{size}");
    assert_eq!(format!("{size:.1e}"), "1.6e29");
    assert!((MacroArcSpace { n_layers: 1 }.size() - 6.0).abs() < 1e-12);
}

#[test]
fn integers_may_be_separated_by_commas_and_enclosed() {
    let commas = THREE.replace(' ', ",\n");
    for text in [commas.clone(), format!("[{commas}]"), format!(" ( {THREE}\t) "), format!("\"{THREE}\"")] {
        assert_eq!(text.parse(), Ok(three()), "{text:?}");
    }
    assert_eq!(MacroArc::from_ints(&[0, 3, 1, 5, 0, 1]), Ok(three()));
}

#[test]
fn space_case_and_separators_are_free_in_the_readable_form() {
    let text = three().readable();
    for text in [
        text.replace('\n', ";"),
        text.replace(' ', ""),
        text.to_uppercase(),
        text.replace('(', "\n("),
        "1=conv-3x3(0)2=sep-conv-5x5(1)+0 3=max-pool-3x3(2)+1".to_owned(),
    ] {
        assert_eq!(MacroArc::parse_any(&text), Ok(three()), "{text:?}");
    }
}

#[test]
fn messages_of_the_integer_form_say_where_what_and_what_would_do() {
    for (text, expected) in [
        (
            "0 3 1 6 0 1",
            "position 3 (layer 3, operation): 6 is out of range, allowed 0..=5 (0 conv-3x3, 1 sep-conv-3x3, \
             2 conv-5x5, 3 sep-conv-5x5, 4 avg-pool-3x3, 5 max-pool-3x3)",
        ),
        (
            "0 3 2",
            "position 2 (layer 2, skip from the stem): 2 is out of range, allowed 0 (not added) or 1 (added)",
        ),
        (
            "0 3 1 5 0 -1",
            "position 5 (layer 3, skip from layer 1): -1 is out of range, allowed 0 (not added) or 1 (added)",
        ),
        (
            "0 3 99999999999999999999",
            "position 2 (layer 2, skip from the stem): 99999999999999999999 is out of range, allowed 0 (not added) or 1 (added)",
        ),
        (
            "0 3 1.0",
            "position 2 (layer 2, skip from the stem): `1.0` is not an integer, allowed 0 (not added) or 1 (added)",
        ),
        ("0 three", "position 1: `three` is not an integer"),
        (
            "0 3 1 5",
            "4 integers do not make a macro arc: L layers need L operations and L(L-1)/2 skips, such as 3 for 2 or \
             6 for 3",
        ),
    ] {
        assert_eq!(message(text), expected);
    }
    for text in ["", " \n", "[]", ",,"] {
        assert_eq!(text.parse::<MacroArc>(), Err(MacroArcError::Empty), "{text:?}");
    }
    assert_eq!(MacroArc::from_ints(&[]), Err(MacroArcError::Empty));
}

#[test]
fn messages_of_the_readable_form_say_where_what_and_what_would_do() {
    for (text, expected) in [
        ("2 = conv-3x3(0)", "line 1, column 1: expected layer 1, found `2`"),
        (
            "1 = conv(0)",
            "line 1, column 5: expected an operation (conv-3x3, sep-conv-3x3, conv-5x5, sep-conv-5x5, avg-pool-3x3, \
             max-pool-3x3), found `conv`",
        ),
        (
            "1 = conv-3x3(1)",
            "line 1, column 14 (layer 1, input): 1 is out of range, allowed 0 alone: a layer reads the one before it",
        ),
        ("1 = conv-3x3()", "line 1, column 14: expected 0, the layer before, found `)`"),
        ("1 = conv-3x3(0) + 0", "line 1, column 17: expected layer 2, found `+`"),
        (
            "1 = conv-3x3(0)\n2 = conv-3x3(1) + 1",
            "line 2, column 19 (layer 2, skip): 1 is out of range, allowed 0..=0: 0 is the stem, and the layer before \
             is read already",
        ),
        (
            "1 = conv-3x3(0)\n2 = conv-3x3(1) + 0 + 0",
            "line 2, column 23 (layer 2, skip): 0 is added twice; name each earlier layer once",
        ),
        (
            "1 = conv-3x3(0)\n2 = conv-3x3(1) -",
            "line 2, column 17: expected layer 3, `+` or the end, found `-`",
        ),
    ] {
        assert_eq!(message(text), expected);
    }
}

#[test]
fn layers_have_a_skip_for_each_one_before_their_input() {
    let layer = |skips| MacroLayer { op: MacroOp::Conv3x3, skips: vec![false; skips] };
    let error = MacroArc::new(vec![layer(0), layer(2)]).unwrap_err();
    assert_eq!(error, MacroArcError::Skips { layer: 2, found: 2 });
    assert_eq!(
        error.to_string(),
        "layer 2 has 2 skips and needs 1: one for the stem and for each earlier layer but the one it reads"
    );
    assert_eq!(MacroArc::new(vec![]), Err(MacroArcError::Empty));
}

#[test]
fn serialises_as_the_integer_string_and_reads_all_forms() {
    let arc = three();
    assert_eq!(serde_json::to_string(&arc).unwrap(), format!("\"{THREE}\""));
    let readable = serde_json::to_string(&arc.readable()).unwrap();
    for json in [format!("[{}]", THREE.replace(' ', ",")), format!("\"{THREE}\""), readable] {
        assert_eq!(serde_json::from_str::<MacroArc>(&json).unwrap(), arc, "{json}");
    }
    let error = serde_json::from_str::<MacroArc>("[6]").unwrap_err().to_string();
    assert!(error.starts_with("position 0 (layer 1, operation): 6 is out of range"), "{error}");
    let error = serde_json::from_str::<MacroArc>("7").unwrap_err().to_string();
    assert!(error.contains("expected a macro arc"), "{error}");
}

#[test]
fn every_value_of_every_position_is_equally_likely() {
    const N: usize = 20_000;
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut counts = [[0usize; 6]; 10];
    for _ in 0..N {
        for (position, value) in MacroArc::random(4, &mut rng).to_ints().into_iter().enumerate() {
            counts[position][value] += 1;
        }
    }
    for (position, counts) in counts.iter().enumerate() {
        let n_values = if [0, 1, 3, 6].contains(&position) { 6 } else { 2 };
        let p = 1.0 / f64::from(n_values);
        let mean = N as f64 * p;
        let sd = (N as f64 * p * (1.0 - p)).sqrt();
        for (value, &count) in counts.iter().enumerate() {
            let expected = if value < n_values as usize { mean } else { 0.0 };
            let distance = (count as f64 - expected).abs();
            assert!(distance <= 5.0 * sd, "{count} of {N} at {position} are {value}, expected {expected}");
        }
    }
}

#[test]
fn a_mutant_differs_in_one_number_and_every_number_can_change_to_every_value() {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let arc = MacroArc::random(4, &mut rng);
    let ints = arc.to_ints();
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..5000 {
        let mutant = arc.mutated(&mut rng).to_ints();
        let changed: Vec<usize> = (0..ints.len()).filter(|&i| mutant[i] != ints[i]).collect();
        assert_eq!(changed.len(), 1);
        seen.insert((changed[0], mutant[changed[0]]));
    }
    // Four operations with five other values each, and six skips.
    assert_eq!(seen.len(), 4 * 5 + 6);
}
