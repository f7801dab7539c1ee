//! Drawings as their users get them: as documents, and as files that must not change unseen.
//!
//! A golden file that differs is written to the build folder (the message says where): look at both, and copy it
//! over the old one if the change is meant.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "in helpers of tests, too, a failed unwrap is a failed test")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use enas_arc::{Arc, CellKind};
use enas_child::{AuxHead, Child, Config, InputShape};
use enas_draw::{Error, Svg, Theme};
use enas_rng::Seed;
use roxmltree::{Document, Node};
use tiny_skia::Pixmap;

const ARC: &str = "1 2 1 3 0 1 0 4 1 1 1 1 0 1 0 1 1 0 0 1  0 1 0 4 1 0 2 0 0 3 1 1 0 0 0 0 4 1 1 0";
/// A chain in the normal cell; in the reduction cell h[i] is not read by any node.
const CHAIN: &str = "0 0 1 1 2 2 2 3 3 4 3 0 4 1 4 1 5 2 5 4  0 0 0 4 2 1 0 1 3 3 0 2 4 0 0 0 5 1 0 4";

const GOLDENS: &str = "tests/goldens";

fn arc(text: &str) -> Arc {
    text.parse().unwrap()
}

fn child(arc: &Arc) -> Child {
    let config = Config { aux_head: AuxHead::Trained, ..Config::plain(12, 6, arc.n_nodes()) };
    let input = InputShape { channels: 3, height: 32, width: 32 };
    Child::fixed(&config, arc, input, 10, Seed::new(0)).unwrap()
}

/// Drawings of every kind, in every theme.
fn drawings() -> Vec<Svg> {
    let one = arc(ARC);
    let other = arc(CHAIN);
    let of_theme = |theme| {
        [
            enas_draw::cell(one.normal(), CellKind::Normal, theme),
            enas_draw::cell(one.reduction(), CellKind::Reduction, theme),
            enas_draw::cells(&other, theme),
            enas_draw::network(&child(&one), &one, theme).unwrap(),
        ]
    };
    [Theme::Auto, Theme::Light, Theme::Dark].into_iter().flat_map(of_theme).collect()
}

fn golden(folder: &str, name: &str, content: &[u8], same: impl Fn(&[u8], &[u8]) -> bool) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join(name);
    let expected = fs::read(&path).unwrap_or_default();
    if !same(&expected, content) {
        let actual = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::write(&actual, content).unwrap();
        panic!("{} differs from the drawing of today, {}", path.display(), actual.display());
    }
}

fn golden_text(name: &str, text: &str) {
    golden(GOLDENS, name, text.as_bytes(), |a, b| a == b);
}

#[test]
fn cells_are_drawn_as_they_were() {
    // The picture in the README.
    let cells = enas_draw::cells(&arc(ARC), Theme::Auto);
    golden("../../docs", "cells.svg", cells.as_str().as_bytes(), |a, b| a == b);
    golden_text("chain-dark.svg", enas_draw::cells(&arc(CHAIN), Theme::Dark).as_str());
    golden_text("cells.dot", &enas_draw::cells_dot(&arc(ARC)));
    golden_text("reduction.dot", &enas_draw::cell_dot(arc(CHAIN).reduction(), CellKind::Reduction));
}

#[test]
fn networks_are_drawn_as_they_were() {
    let arc = arc(ARC);
    golden_text("network.svg", enas_draw::network(&child(&arc), &arc, Theme::Light).unwrap().as_str());
    golden_text("network.dot", &enas_draw::network_dot(&child(&arc), &arc).unwrap());
}

#[test]
fn pixels_are_as_they_were() {
    let drawing = enas_draw::cell(arc(CHAIN).reduction(), CellKind::Reduction, Theme::Auto);
    // Another instruction set may round a blended pixel the other way.
    let close = |a: &[u8], b: &[u8]| {
        let (Ok(a), Ok(b)) = (Pixmap::decode_png(a), Pixmap::decode_png(b)) else { return false };
        let pairs = a.data().iter().zip(b.data());
        (a.width(), a.height()) == (b.width(), b.height())
            && pairs.into_iter().all(|(a, b)| a.abs_diff(*b) <= 2)
    };
    golden(GOLDENS, "reduction.png", &drawing.png(1.0, Theme::Auto).unwrap(), close);
    golden(GOLDENS, "reduction-dark.png", &drawing.png(1.0, Theme::Dark).unwrap(), close);
}

#[test]
fn equal_architectures_give_equal_bytes() {
    assert_eq!(drawings(), drawings());
    let png = |svg: &Svg| svg.png(0.5, Theme::Light).unwrap();
    assert_eq!(png(&drawings()[0]), png(&drawings()[0]));
}

#[test]
fn a_png_is_as_large_as_asked_for() {
    let drawing = enas_draw::cell(arc(ARC).normal(), CellKind::Normal, Theme::Auto);
    for scale in [0.5, 1.0, 3.0] {
        let pixels = Pixmap::decode_png(&drawing.png(scale, Theme::Light).unwrap()).unwrap();
        assert_eq!(f64::from(pixels.width()), (drawing.width() * f64::from(scale)).ceil());
        assert_eq!(f64::from(pixels.height()), (drawing.height() * f64::from(scale)).ceil());
    }
}

#[test]
fn impossible_scales_are_refused() {
    let drawing = enas_draw::cell(arc(ARC).normal(), CellKind::Normal, Theme::Auto);
    for scale in [0.0, -1.0, f32::NAN, 11.0] {
        let error = drawing.png(scale, Theme::Light).unwrap_err();
        assert!(matches!(error, Error::Scale { .. }), "{error}");
        assert_eq!(error.to_string(), format!("scale {scale} is out of range; allowed: 0.1 to 10"));
    }
    let arc = arc("0 0 1 1 0 0 1 1");
    let config = Config { layers: 200, ..child(&arc).config().clone() };
    let input = InputShape { channels: 1, height: 8, width: 8 };
    let long = Child::fixed(&config, &arc, input, 2, Seed::new(0)).unwrap();
    let error = enas_draw::network(&long, &arc, Theme::Auto).unwrap().png(10.0, Theme::Light).unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error}");
}

#[test]
fn a_foreign_arc_has_no_network() {
    let error = enas_draw::network(&child(&arc(ARC)), &arc(CHAIN), Theme::Auto).unwrap_err();
    assert!(error.to_string().contains("built for"), "{error}");
}

#[test]
fn any_number_of_drawings_fit_one_page() {
    let page: String = drawings().iter().map(Svg::to_string).collect();
    let page = format!("<html>{page}</html>");
    let page = Document::parse(&page).unwrap();
    for node in page.descendants().filter(Node::is_element) {
        // Without ids nothing can clash, and nothing refers to anything.
        assert_eq!(node.attribute("id"), None);
        assert!(node.attributes().all(|a| !a.value().contains("url(") && !a.name().contains("href")));
        let classes = node.attribute("class").unwrap_or_default();
        assert!(classes.split_whitespace().all(|class| class.starts_with("enas-")), "{classes}");
    }
    for style in page.descendants().filter(|node| node.has_tag_name(("http://www.w3.org/2000/svg", "style")))
    {
        let css = style.text().unwrap();
        let rules =
            css.split('}').filter_map(|rule| rule.split_once('{')).map(|(selector, _)| selector.trim());
        let rules: BTreeSet<&str> = rules.filter(|selector| !selector.starts_with('@')).collect();
        assert!(rules.len() > 60, "{rules:?}");
        assert!(rules.iter().all(|selector| selector.starts_with(".enas-auto")), "{rules:?}");
        assert!(!css.contains("http") && !css.contains("@import"));
    }
}

#[test]
fn every_drawing_tells_a_screen_reader_what_it_is() {
    for drawing in drawings() {
        let page = Document::parse(drawing.as_str()).unwrap();
        let svg = page.root_element();
        assert_eq!(svg.attribute("role"), Some("img"));
        let mut elements = svg.children().filter(Node::is_element);
        let title = elements.next().unwrap();
        assert_eq!(title.tag_name().name(), "title");
        assert_eq!(svg.attribute("aria-label"), title.text());
        let description = elements.next().unwrap();
        assert_eq!(description.tag_name().name(), "desc");
        assert!(description.text().unwrap().len() > 100);
    }
}

#[test]
fn a_description_names_every_operation_and_the_loose_ends() {
    let drawing = enas_draw::cell(arc(CHAIN).reduction(), CellKind::Reduction, Theme::Auto);
    let page = Document::parse(drawing.as_str()).unwrap();
    let description = page.descendants().find(|node| node.tag_name().name() == "desc").unwrap();
    assert_eq!(
        description.text().unwrap(),
        "A reduction cell. Node 2 adds sep-conv-3x3 of h[i-1] and identity of h[i-1]. \
         Node 3 adds sep-conv-5x5 of node 2 and sep-conv-5x5 of h[i-1]. \
         Node 4 adds max-pool-3x3 of node 3 and avg-pool-3x3 of h[i-1]. \
         Node 5 adds sep-conv-3x3 of node 4 and sep-conv-3x3 of h[i-1]. \
         Node 6 adds sep-conv-5x5 of node 5 and identity of h[i-1]. \
         The output joins the states that nothing reads: h[i] and node 6."
    );
}

#[test]
fn a_network_shows_what_each_layer_makes_and_costs() {
    let arc = arc(ARC);
    let child = child(&arc);
    let drawing = enas_draw::network(&child, &arc, Theme::Auto).unwrap();
    let page = Document::parse(drawing.as_str()).unwrap();
    let texts: Vec<&str> =
        page.descendants().filter(|n| n.tag_name().name() == "text").filter_map(|n| n.text()).collect();
    let digits = |text: &str| text.replace(' ', "");
    let costs = child.costs(&arc).unwrap();
    for cell in &costs.cells {
        let size = format!("{} × {} × {}", cell.channels, cell.height, cell.width);
        assert!(texts.contains(&&*size), "{size} in {texts:?}");
        assert!(texts.iter().any(|text| digits(text) == cell.params.to_string()));
        assert!(texts.iter().any(|text| digits(text) == cell.macs.to_string()));
    }
    for total in [child.n_params().to_string(), child.macs(&arc).unwrap().to_string()] {
        assert!(texts.iter().any(|text| digits(text) == total), "{total} in {texts:?}");
    }
    for name in
        ["stem", "auxiliary head", "mean, classifier", "10 classes", "reduction cell 2", "normal cell 7"]
    {
        assert!(texts.contains(&name), "{name} in {texts:?}");
    }
}
