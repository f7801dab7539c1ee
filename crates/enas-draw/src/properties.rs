//! Property-based tests: what must hold for the drawing of any architecture.

use enas_arc::{Arc, Cell, CellKind, MacroArc};
use enas_child::{AuxHead, Child, Config, InputShape, MacroChild, MacroConfig, Reductions};
use enas_rng::Seed;
use proptest::prelude::*;

use crate::cell;
use crate::network;
use crate::route::{Block, Placed, route};
use crate::scene::{Item, Panel, Point, Rect, Scene, Step, Words};
use crate::sheet;

fn arc(seed: u64, nodes: usize) -> Arc {
    Arc::random(nodes, &mut Seed::new(seed).stream("drawing", &[]))
}

fn placed(cell: &Cell) -> (Vec<Block>, Placed) {
    let blocks = cell::blocks(cell);
    let placed = route(&blocks);
    (blocks, placed)
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
fn points(steps: &[Step]) -> Vec<Point> {
    let mut points: Vec<Point> = Vec::new();
    let mut at = (0.0, 0.0);
    let mix = |a: Point, b: Point, t: f64| (a.0 + (b.0 - a.0) * t, a.1 + (b.1 - a.1) * t);
    for step in steps {
        let curve = match *step {
            Step::Move(p) => (p, p, p),
            Step::Line(p) => (at, p, p),
            Step::Cubic(a, b, c) => (a, b, c),
            Step::Close => continue,
        };
        let start = if let Step::Move(p) = *step { p } else { at };
        for t in (0..=16).map(|i| f64::from(i) / 16.0) {
            let (a, b, c) = (mix(start, curve.0, t), mix(curve.0, curve.1, t), mix(curve.1, curve.2, t));
            points.push(mix(mix(a, b, t), mix(b, c, t), t));
        }
        at = curve.2;
    }
    points
}

fn panels(scene: &Scene) -> Vec<&Panel> {
    let items = scene.items.iter();
    items.filter_map(|item| if let Item::Panel(panel) = item { Some(panel) } else { None }).collect()
}

fn words(scene: &Scene) -> Vec<&Words> {
    let items = scene.items.iter();
    items.filter_map(|item| if let Item::Words(words) = item { Some(words) } else { None }).collect()
}

/// Checks that nothing leaves the drawing, no text leaves its box and no two texts touch.
fn check_scene(scene: &Scene) -> Result<(), TestCaseError> {
    let paper = Rect { x: 0.0, y: 0.0, w: scene.width, h: scene.height };
    for panel in panels(scene) {
        prop_assert!(within(&paper, &panel.rect, 0.0), "{panel:?} leaves {paper:?}");
    }
    for item in &scene.items {
        if let Item::Curve(curve) = item {
            for (x, y) in points(&curve.steps) {
                prop_assert!(within(&paper, &Rect { x, y, w: 0.0, h: 0.0 }, 4.0), "({x}, {y}) in {curve:?}");
            }
        }
    }
    let all = words(scene);
    for (i, one) in all.iter().enumerate() {
        let bounds = one.bounds();
        let (x, y) = bounds.centre();
        let around = panels(scene).into_iter().rev();
        let home =
            around.map(|panel| panel.rect).find(|rect| within(rect, &Rect { x, y, w: 0.0, h: 0.0 }, 0.0));
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
        let (_, placed) = placed(arc(seed, nodes).normal());
        for (i, a) in placed.rects.iter().enumerate() {
            for b in &placed.rects[..i] {
                prop_assert!(overlap(a, b) <= -20.0, "{a:?} and {b:?}");
            }
        }
    }

    #[test]
    fn every_inlet_has_one_wire_from_the_bottom_of_its_source_to_its_place_at_the_top(
        seed in any::<u64>(),
        nodes in 1_usize..=8,
    ) {
        let (blocks, placed) = placed(arc(seed, nodes).normal());
        let mut wired = Vec::new();
        for wire in &placed.wires {
            let from = placed.rects[wire.from];
            prop_assert_eq!(wire.steps[0], Step::Move((from.centre().0, from.bottom())));
            for arrival in &wire.arrivals {
                prop_assert_eq!(blocks[arrival.to].inlets[arrival.inlet], wire.from);
                let to = placed.rects[arrival.to];
                prop_assert!((to.x..=to.right()).contains(&arrival.tip.0) && arrival.tip.1 == to.y, "{arrival:?}");
                wired.push((arrival.to, arrival.inlet));
            }
        }
        wired.sort_unstable();
        let inlets = |to: usize| (0..blocks[to].inlets.len()).map(move |inlet| (to, inlet));
        prop_assert_eq!(wired, (0..blocks.len()).flat_map(inlets).collect::<Vec<_>>());
    }

    #[test]
    fn every_piece_of_a_wire_begins_where_another_ended(seed in any::<u64>(), nodes in 1_usize..=8) {
        let (_, placed) = placed(arc(seed, nodes).normal());
        for wire in &placed.wires {
            let from = placed.rects[wire.from];
            let mut ends = vec![(from.centre().0, from.bottom())];
            for step in &wire.steps {
                match *step {
                    Step::Move(p) => prop_assert!(ends.contains(&p), "{p:?} of {:?}", wire.steps),
                    Step::Line(p) | Step::Cubic(_, _, p) => ends.push(p),
                    Step::Close => {}
                }
            }
            for arrival in &wire.arrivals {
                prop_assert!(
                    ends.iter().any(|end| end.0 == arrival.tip.0 && (0.0..8.0).contains(&(arrival.tip.1 - end.1))),
                    "{arrival:?}"
                );
            }
        }
    }

    #[test]
    fn no_wire_crosses_a_box(seed in any::<u64>(), nodes in 1_usize..=8) {
        let (_, placed) = placed(arc(seed, nodes).normal());
        for wire in &placed.wires {
            for (x, y) in points(&wire.steps) {
                for rect in &placed.rects {
                    let point = Rect { x, y, w: 0.0, h: 0.0 };
                    prop_assert!(!within(rect, &point, 0.01), "({x}, {y}) of {wire:?} is in {rect:?}");
                }
            }
        }
    }

    #[test]
    fn cells_stay_on_their_paper_and_text_in_its_box(seed in any::<u64>(), nodes in 1_usize..=8) {
        let arc = arc(seed, nodes);
        let normal = |width| cell::scene(arc.normal(), CellKind::Normal, width);
        let reduction = |width| cell::scene(arc.reduction(), CellKind::Reduction, width);
        check_scene(&sheet::on_paper(normal(0.0)))?;
        check_scene(&sheet::on_paper(sheet::both([&normal, &reduction])))?;
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
        let diagram = network::Diagram::of_cells(&child, &arc).unwrap();
        check_scene(&sheet::on_paper(network::scene(&diagram)))?;
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
        let diagram = network::Diagram::of_layers(&child, &arc).unwrap();
        check_scene(&sheet::on_paper(network::scene(&diagram)))?;
    }
}

#[test]
fn columns_are_as_wide_as_their_numbers() {
    // Convolutions would give still larger numbers but take longer.
    let arc: Arc = "0 4 1 4 0 2 1 3 0 2 1 3 2 2 2 3".parse().expect("an arc");
    let config = Config { filters: 160, layers: 1, ..config() };
    let input = InputShape { channels: 3, height: 512, width: 512 };
    let child = Child::fixed(&config, &arc, input, 1000, Seed::new(0)).unwrap();
    let scene = network::scene(&network::Diagram::of_cells(&child, &arc).unwrap());
    assert!(words(&scene).iter().any(|words| words.text.len() > 16), "no number was long");
    check_scene(&sheet::on_paper(scene)).unwrap();
}

#[test]
fn the_largest_cells_are_drawn_too() {
    for seed in 0..2 {
        let arc = arc(seed, 20);
        let (_, placed) = placed(arc.normal());
        for (i, a) in placed.rects.iter().enumerate() {
            assert!(placed.rects[..i].iter().all(|b| overlap(a, b) <= -20.0), "{a:?}");
        }
        check_scene(&sheet::on_paper(cell::scene(arc.normal(), CellKind::Normal, 0.0))).unwrap();
    }
}

fn config() -> Config {
    Config::plain(4, 3, 2)
}
