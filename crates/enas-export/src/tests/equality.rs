//! The graph computes the same as the network.

use enas_child::{InputShape, Reductions};

use super::subject::{DEEP, LOOSE_INPUT, Shape, WIDE, macro_network};

fn assert_equal(shape: Shape) {
    let subject = shape.network();
    let InputShape { channels, height, width } = shape.input;
    let difference = subject.verdict(&subject.exported());
    assert!(difference.is_ok(), "{} on {channels}x{height}x{width}: {difference:?}", shape.arc);
}

fn input(channels: usize, height: usize, width: usize) -> InputShape {
    InputShape { channels, height, width }
}

#[test]
fn every_operation_and_every_kind_of_loose_end_is_exported() {
    for arc in [WIDE, DEEP, LOOSE_INPUT] {
        for (reductions, input) in
            [(Reductions::Two, input(1, 27, 27)), (Reductions::Three, input(3, 33, 33))]
        {
            assert_equal(Shape { arc, layers: 2, reductions, input });
        }
    }
}

#[test]
fn deep_networks_are_exported() {
    for (arc, reductions) in [(WIDE, Reductions::Three), (DEEP, Reductions::Two)] {
        assert_equal(Shape { arc, layers: 15, reductions, input: input(3, 16, 16) });
    }
}

/// Down to images of 4×4, whose last feature maps have one pixel surrounded by padding.
#[test]
fn any_size_is_exported() {
    for (height, width) in [(4, 4), (4, 7), (7, 4), (5, 5), (9, 7), (8, 8)] {
        for (arc, reductions) in [(WIDE, Reductions::Two), (LOOSE_INPUT, Reductions::Three)] {
            assert_equal(Shape { arc, layers: 4, reductions, input: input(1, height, width) });
        }
    }
}

#[test]
fn networks_of_the_macro_space_are_exported() {
    let every_operation = "1 = conv-3x3(0); 2 = sep-conv-3x3(1) + 0; 3 = conv-5x5(2) + 0 + 1; 4 = sep-conv-5x5(3) + 2; \
                           5 = avg-pool-3x3(4); 6 = max-pool-3x3(5) + 0 + 4";
    let chain = "1 = max-pool-3x3(0); 2 = avg-pool-3x3(1); 3 = conv-3x3(2)";
    for (arc, input) in
        [(every_operation, input(3, 33, 33)), (every_operation, input(1, 8, 8)), (chain, input(1, 5, 7))]
    {
        let subject = macro_network(arc, input);
        let difference = subject.verdict(&subject.exported());
        assert!(difference.is_ok(), "{arc} on {input:?}: {difference:?}");
    }
}
