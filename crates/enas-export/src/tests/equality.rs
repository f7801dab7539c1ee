//! The graph computes the same as the network.

use enas_child::{InputShape, Reductions};

use super::subject::{DEEP, LOOSE_INPUT, Shape, WIDE};

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
///
/// For tiny images that are higher than wide, tract gives other results in release builds, so the export is refused.
/// No setting of the program makes such images.
#[test]
fn any_size_is_exported() {
    for (height, width) in [(4, 4), (4, 7), (5, 5), (7, 9), (8, 8)] {
        for (arc, reductions) in [(WIDE, Reductions::Two), (LOOSE_INPUT, Reductions::Three)] {
            assert_equal(Shape { arc, layers: 4, reductions, input: input(1, height, width) });
        }
    }
}
