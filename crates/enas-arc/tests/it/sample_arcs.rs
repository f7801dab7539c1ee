//! The arcs that the authors and others have published: they parse, print back, and have the known loose ends.

use enas_arc::Arc;

struct Published {
    name: &'static str,
    arc: &'static str,
    normal: &'static [usize],
    reduction: &'static [usize],
}

const PUBLISHED: [Published; 6] = [
    Published {
        name: "MNIST",
        arc: "1 2 1 3 0 1 0 4 1 1 1 1 0 1 0 1 1 0 0 1 0 1 0 4 1 0 2 0 0 3 1 1 0 0 0 0 4 1 1 0",
        normal: &[2, 3, 4, 5, 6],
        reduction: &[3, 5, 6],
    },
    Published {
        name: "CIFAR-10",
        arc: "1 0 1 1 1 1 0 0 1 1 0 0 0 3 0 3 1 3 1 1 1 1 0 3 0 3 0 3 1 3 0 1 1 3 0 2 0 3 1 0",
        normal: &[2, 3, 4, 5, 6],
        reduction: &[2, 3, 4, 5, 6],
    },
    Published {
        name: "welding",
        arc: "1 0 0 1 0 0 1 1 2 2 1 1 1 1 1 2 1 0 0 0 0 0 0 3 2 2 1 0 2 0 2 3 0 3 4 0 1 0 3 2",
        normal: &[3, 4, 5, 6],
        reduction: &[5, 6],
    },
    Published {
        name: "the authors' final arc",
        arc: "0 2 0 0 0 4 0 1 0 4 1 1 1 0 0 1 0 2 1 1 1 0 1 0 0 3 0 2 1 1 3 1 1 0 0 4 0 3 1 1",
        normal: &[2, 3, 4, 5, 6],
        reduction: &[2, 4, 5, 6],
    },
    Published {
        name: "the example of the instructions",
        arc: "0 1 0 1 0 3 0 0 2 2 0 2 1 0 0 1 1 3 0 1 1 1 0 1 0 1 2 1 0 0 0 0 0 0 1 3 1 1 0 1",
        normal: &[3, 4, 5, 6],
        reduction: &[3, 4, 5, 6],
    },
    Published {
        name: "the default of the drawing script",
        arc: "0 1 0 1 2 0 1 1 3 4 3 1 4 4 1 1 5 1 1 1 0 0 0 1 2 3 1 0 2 0 2 2 3 0 1 4 2 2 5 4",
        normal: &[6],
        reduction: &[4, 6],
    },
];

#[test]
fn published_arcs_print_back() {
    for Published { name, arc, .. } in PUBLISHED {
        let parsed: Arc = arc.parse().unwrap();
        assert_eq!(parsed.n_nodes(), 5, "{name}");
        assert_eq!(parsed.to_string(), arc, "{name}");
        assert_eq!(Arc::parse_any(&parsed.readable()), Ok(parsed), "{name}");
    }
}

#[test]
fn published_arcs_have_the_known_loose_ends() {
    for Published { name, arc, normal, reduction } in PUBLISHED {
        let arc: Arc = arc.parse().unwrap();
        assert_eq!(arc.normal().loose_ends(), normal, "normal cell of {name}");
        assert_eq!(arc.reduction().loose_ends(), reduction, "reduction cell of {name}");
    }
}
