//! Property-based tests: what must hold for the drawing of any architecture.

use enas_arc::{Arc, Cell, CellKind, MacroArc};
use enas_child::{AuxHead, Child, Config, InputShape, MacroChild, MacroConfig, Reductions};
use enas_rng::Seed;
use proptest::prelude::*;

use crate::cell;
use crate::drawing::{Drawing, Item, PathCommand, Point, Rect, RoundedRect, TextLine};
use crate::network;
use crate::route::{BoxSpec, Placement, route};
use crate::sheet;

fn arc(seed: u64, nodes: usize) -> Arc {
    Arc::random(nodes, &mut Seed::new(seed).stream("drawing", &[]))
}

fn placement(cell: &Cell) -> (Vec<BoxSpec>, Placement) {
    let box_specs = cell::box_specs(cell);
    let placement = route(&box_specs);
    (box_specs, placement)
}

/// The smaller of the horizontal and the vertical overlap of two rectangles. A negative value is a distance.
fn overlap(a: &Rect, b: &Rect) -> f64 {
    let x = a.right().min(b.right()) - a.x.max(b.x);
    let y = a.bottom().min(b.bottom()) - a.y.max(b.y);
    x.min(y)
}

/// Whether `inner` lies inside `outer` with at least `room` pixels on every side.
fn within(outer: &Rect, inner: &Rect, room: f64) -> bool {
    inner.x - outer.x >= room
        && inner.y - outer.y >= room
        && outer.right() - inner.right() >= room
        && outer.bottom() - inner.bottom() >= room
}

/// Points along a path, including the ends of every piece.
fn points(commands: &[PathCommand]) -> Vec<Point> {
    let mut points: Vec<Point> = Vec::new();
    let mut at = (0.0, 0.0);
    let mix = |a: Point, b: Point, t: f64| (a.0 + (b.0 - a.0) * t, a.1 + (b.1 - a.1) * t);
    for command in commands {
        let curve = match *command {
            PathCommand::Move(p) => (p, p, p),
            PathCommand::Line(p) => (at, p, p),
            PathCommand::Cubic(a, b, c) => (a, b, c),
            PathCommand::Close => continue,
        };
        let start = if let PathCommand::Move(p) = *command { p } else { at };
        for t in (0..=16).map(|i| f64::from(i) / 16.0) {
            let a = mix(start, curve.0, t);
            let b = mix(curve.0, curve.1, t);
            let c = mix(curve.1, curve.2, t);
            points.push(mix(mix(a, b, t), mix(b, c, t), t));
        }
        at = curve.2;
    }
    points
}

fn rounded_rects(drawing: &Drawing) -> Vec<&RoundedRect> {
    let items = drawing.items.iter();
    items
        .filter_map(|item| if let Item::RoundedRect(rounded_rect) = item { Some(rounded_rect) } else { None })
        .collect()
}

fn text_lines(drawing: &Drawing) -> Vec<&TextLine> {
    let items = drawing.items.iter();
    items.filter_map(|item| if let Item::Text(line) = item { Some(line) } else { None }).collect()
}

/// Checks that nothing leaves the drawing, no text leaves its box and no two texts touch.
fn check_scene(drawing: &Drawing) -> Result<(), TestCaseError> {
    let paper = Rect { x: 0.0, y: 0.0, w: drawing.width, h: drawing.height };
    for rounded_rect in rounded_rects(drawing) {
        prop_assert!(within(&paper, &rounded_rect.rect, 0.0), "{rounded_rect:?} leaves {paper:?}");
    }
    for item in &drawing.items {
        if let Item::Curve(curve) = item {
            for (x, y) in points(&curve.commands) {
                prop_assert!(within(&paper, &Rect { x, y, w: 0.0, h: 0.0 }, 4.0), "({x}, {y}) in {curve:?}");
            }
        }
    }
    let all = text_lines(drawing);
    for (i, one) in all.iter().enumerate() {
        let bounds = one.bounds();
        let (x, y) = bounds.centre();
        let around = rounded_rects(drawing).into_iter().rev();
        let home = around
            .map(|rounded_rect| rounded_rect.rect)
            .find(|rect| within(rect, &Rect { x, y, w: 0.0, h: 0.0 }, 0.0));
        let home = home.expect("the paper is around everything");
        prop_assert!(within(&home, &bounds, 3.0), "{one:?} leaves {home:?}");
        for other in &all[..i] {
            prop_assert!(overlap(&bounds, &other.bounds()) < -2.0, "{one:?} touches {other:?}");
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn no_two_boxes_overlap(seed in any::<u64>(), nodes in 1_usize..=8) {
        let (_, placement) = placement(arc(seed, nodes).normal());
        for (i, a) in placement.rects.iter().enumerate() {
            for b in &placement.rects[..i] {
                prop_assert!(overlap(a, b) <= -20.0, "{a:?} and {b:?}");
            }
        }
    }

    #[test]
    fn every_port_has_one_edge_from_the_bottom_of_its_source_to_its_place_at_the_top(
        seed in any::<u64>(),
        nodes in 1_usize..=8,
    ) {
        let (box_specs, placement) = placement(arc(seed, nodes).normal());
        let mut wired = Vec::new();
        for edge in &placement.edges {
            let from = placement.rects[edge.from];
            prop_assert_eq!(edge.commands[0], PathCommand::Move((from.centre().0, from.bottom())));
            for arrival in &edge.arrivals {
                prop_assert_eq!(box_specs[arrival.to].ports[arrival.port], edge.from);
                let to = placement.rects[arrival.to];
                prop_assert!((to.x..=to.right()).contains(&arrival.tip.0) && arrival.tip.1 == to.y, "{arrival:?}");
                wired.push((arrival.to, arrival.port));
            }
        }
        wired.sort_unstable();
        let ports = |to: usize| (0..box_specs[to].ports.len()).map(move |port| (to, port));
        prop_assert_eq!(wired, (0..box_specs.len()).flat_map(ports).collect::<Vec<_>>());
    }

    #[test]
    fn every_piece_of_an_edge_begins_where_another_ended(seed in any::<u64>(), nodes in 1_usize..=8) {
        let (_, placement) = placement(arc(seed, nodes).normal());
        for edge in &placement.edges {
            let from = placement.rects[edge.from];
            let mut ends = vec![(from.centre().0, from.bottom())];
            for command in &edge.commands {
                match *command {
                    PathCommand::Move(p) => prop_assert!(ends.contains(&p), "{p:?} of {:?}", edge.commands),
                    PathCommand::Line(p) | PathCommand::Cubic(_, _, p) => ends.push(p),
                    PathCommand::Close => {}
                }
            }
            for arrival in &edge.arrivals {
                prop_assert!(
                    ends.iter().any(|end| end.0 == arrival.tip.0 && (0.0..8.0).contains(&(arrival.tip.1 - end.1))),
                    "{arrival:?}"
                );
            }
        }
    }

    #[test]
    fn no_wire_crosses_a_box(seed in any::<u64>(), nodes in 1_usize..=8) {
        let (_, placement) = placement(arc(seed, nodes).normal());
        for edge in &placement.edges {
            for (x, y) in points(&edge.commands) {
                for rect in &placement.rects {
                    let point = Rect { x, y, w: 0.0, h: 0.0 };
                    prop_assert!(!within(rect, &point, 0.01), "({x}, {y}) of {edge:?} is in {rect:?}");
                }
            }
        }
    }

    #[test]
    fn cells_stay_on_their_paper_and_text_in_its_box(seed in any::<u64>(), nodes in 1_usize..=8) {
        let arc = arc(seed, nodes);
        let normal = |width| cell::drawing(arc.normal(), CellKind::Normal, width);
        let reduction = |width| cell::drawing(arc.reduction(), CellKind::Reduction, width);
        check_scene(&sheet::with_background(normal(0.0)))?;
        check_scene(&sheet::with_background(sheet::combined([&normal, &reduction])))?;
    }
}

proptest! {
    // Few cases, because initialising a network's weights takes time; an auxiliary head has more weights the larger
    // the images are.
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn networks_stay_on_their_paper_and_text_in_its_box(
        seed in any::<u64>(),
        layers in 1_usize..=9,
        filters in 1_usize..=4,
        size in 1_usize..=32,
        (three, aux, shared) in any::<(bool, bool, bool)>(),
    ) {
        let arc = arc(seed, 2);
        let config = Config {
            filters: 2 * filters,
            layers,
            reductions: if three { Reductions::Three } else { Reductions::Two },
            aux_head: if aux { AuxHead::Trained } else { AuxHead::Off },
            ..config()
        };
        let input = InputShape { channels: 3, height: size, width: size.div_ceil(2) };
        let child = if shared {
            Child::shared(&config, input, 1000, Seed::new(0)).unwrap()
        } else {
            Child::fixed(&config, &arc, input, 1000, Seed::new(0)).unwrap()
        };
        let diagram = crate::diagram::Diagram::of_cells(&child, &arc).unwrap();
        check_scene(&sheet::with_background(network::drawing(&diagram)))?;
    }

    #[test]
    fn macro_networks_stay_on_their_paper_and_text_in_its_box(
        seed in any::<u64>(),
        n_layers in 1_usize..=24,
        filters in 1_usize..=4,
        size in 1_usize..=32,
        shared in any::<bool>(),
    ) {
        let arc = MacroArc::random(n_layers, &mut Seed::new(seed).stream("arc", &[]));
        let config = MacroConfig { layers: n_layers, filters: 2 * filters, ..MacroConfig::default() };
        let input = InputShape { channels: 3, height: size, width: size.div_ceil(2) };
        let child = if shared {
            MacroChild::shared(&config, input, 1000, Seed::new(0)).unwrap()
        } else {
            MacroChild::fixed(&config, &arc, input, 1000, Seed::new(0)).unwrap()
        };
        let diagram = crate::diagram::Diagram::of_layers(&child, &arc).unwrap();
        check_scene(&sheet::with_background(network::drawing(&diagram)))?;
    }
}

#[test]
fn columns_are_as_wide_as_their_numbers() {
    // Convolutions would give still larger numbers but take longer.
    let arc: Arc = "0 4 1 4 0 2 1 3 0 2 1 3 2 2 2 3".parse().expect("an arc");
    let config = Config { filters: 160, layers: 1, ..config() };
    let input = InputShape { channels: 3, height: 512, width: 512 };
    let child = Child::fixed(&config, &arc, input, 1000, Seed::new(0)).unwrap();
    let drawing = network::drawing(&crate::diagram::Diagram::of_cells(&child, &arc).unwrap());
    assert!(text_lines(&drawing).iter().any(|line| line.text.len() > 16), "no number was long");
    check_scene(&sheet::with_background(drawing)).unwrap();
}

#[test]
fn the_largest_cells_are_drawn_too() {
    for seed in 0..2 {
        let arc = arc(seed, 20);
        let (_, placement) = placement(arc.normal());
        for (i, a) in placement.rects.iter().enumerate() {
            assert!(placement.rects[..i].iter().all(|b| overlap(a, b) <= -20.0), "{a:?}");
        }
        check_scene(&sheet::with_background(cell::drawing(arc.normal(), CellKind::Normal, 0.0))).unwrap();
    }
}

fn config() -> Config {
    Config::plain(4, 3, 2)
}
