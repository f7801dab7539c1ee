//! Colours. Drawings refer to an [`ColourRole`]; only this file maps roles to colours.

use enas_arc::{CellKind, Op};

/// The colour scheme of a drawing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Theme {
    /// Dark if the viewer prefers that (`prefers-color-scheme`), else light. A PNG uses the light colours.
    #[default]
    Auto,
    /// Dark lines on white.
    Light,
    /// Bright lines on near black.
    Dark,
}

/// The purpose of a colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ColourRole {
    /// The background.
    Paper,
    /// The border of the drawing, and separating lines.
    Frame,
    /// The body of a node.
    Card,
    CardEdge,
    /// Inputs, outputs and concatenations.
    State,
    StateEdge,
    Text,
    /// Less important text.
    Muted,
    /// Connections between boxes.
    Edge,
    /// A bar of a bar chart.
    Bar,
    Op(Op),
    OpEdge(Op),
    OpText(Op),
    Layer(CellKind),
    LayerEdge(CellKind),
    LayerText(CellKind),
}

/// A colour as `0xRRGGBB`.
pub(crate) type Rgb = u32;

impl ColourRole {
    pub(crate) const ALL: [ColourRole; 31] = {
        use CellKind::{Normal, Reduction};
        use Op::{AvgPool3x3, Identity, MaxPool3x3, SepConv3x3, SepConv5x5};
        [
            ColourRole::Paper,
            ColourRole::Frame,
            ColourRole::Card,
            ColourRole::CardEdge,
            ColourRole::State,
            ColourRole::StateEdge,
            ColourRole::Text,
            ColourRole::Muted,
            ColourRole::Edge,
            ColourRole::Bar,
            ColourRole::Op(SepConv3x3),
            ColourRole::Op(SepConv5x5),
            ColourRole::Op(AvgPool3x3),
            ColourRole::Op(MaxPool3x3),
            ColourRole::Op(Identity),
            ColourRole::OpEdge(SepConv3x3),
            ColourRole::OpEdge(SepConv5x5),
            ColourRole::OpEdge(AvgPool3x3),
            ColourRole::OpEdge(MaxPool3x3),
            ColourRole::OpEdge(Identity),
            ColourRole::OpText(SepConv3x3),
            ColourRole::OpText(SepConv5x5),
            ColourRole::OpText(AvgPool3x3),
            ColourRole::OpText(MaxPool3x3),
            ColourRole::OpText(Identity),
            ColourRole::Layer(Normal),
            ColourRole::Layer(Reduction),
            ColourRole::LayerEdge(Normal),
            ColourRole::LayerEdge(Reduction),
            ColourRole::LayerText(Normal),
            ColourRole::LayerText(Reduction),
        ]
    };

    /// The name in style sheets; it consists of letters, digits and hyphens.
    pub(crate) fn name(self) -> String {
        match self {
            ColourRole::Paper => "paper".to_owned(),
            ColourRole::Frame => "frame".to_owned(),
            ColourRole::Card => "card".to_owned(),
            ColourRole::CardEdge => "card-edge".to_owned(),
            ColourRole::State => "state".to_owned(),
            ColourRole::StateEdge => "state-edge".to_owned(),
            ColourRole::Text => "text".to_owned(),
            ColourRole::Muted => "muted".to_owned(),
            ColourRole::Edge => "wire".to_owned(),
            ColourRole::Bar => "bar".to_owned(),
            ColourRole::Op(op) => format!("op{}", op.id()),
            ColourRole::OpEdge(op) => format!("op{}-edge", op.id()),
            ColourRole::OpText(op) => format!("op{}-text", op.id()),
            ColourRole::Layer(kind) => kind.name().to_owned(),
            ColourRole::LayerEdge(kind) => format!("{kind}-edge"),
            ColourRole::LayerText(kind) => format!("{kind}-text"),
        }
    }

    /// The colours for the light and the dark scheme.
    ///
    /// Two hues that no common colour vision deficiency confuses distinguish operations: blue for convolutions,
    /// orange for pools. Operations of the same hue differ in lightness; the identity has no hue.
    pub(crate) fn colours(self) -> [Rgb; 2] {
        use CellKind::{Normal, Reduction};
        use Op::{AvgPool3x3, Identity, MaxPool3x3, SepConv3x3, SepConv5x5};
        match self {
            ColourRole::Paper => [0xffffff, 0x0f151c],
            ColourRole::Frame => [0xd9e0e8, 0x2b3643],
            ColourRole::Card => [0xf4f6f9, 0x18212b],
            ColourRole::CardEdge => [0xc2ccd8, 0x3a4756],
            ColourRole::State => [0xe4e9f0, 0x26313e],
            ColourRole::StateEdge => [0x8492a4, 0x7a899b],
            ColourRole::Text => [0x17212c, 0xe8edf3],
            ColourRole::Muted => [0x536172, 0xa3b0bf],
            ColourRole::Edge => [0x5d6c7e, 0x93a2b4],
            ColourRole::Bar => [0x9fb4cb, 0x4a6079],
            ColourRole::Op(SepConv3x3) => [0x8fcdf5, 0x79bdea],
            ColourRole::Op(SepConv5x5) => [0x0a5a9e, 0x1d64a8],
            ColourRole::Op(AvgPool3x3) => [0xf8cd68, 0xeab94a],
            ColourRole::Op(MaxPool3x3) => [0xb84a0a, 0xb85014],
            ColourRole::Op(Identity) => [0xffffff, 0x3b4857],
            ColourRole::OpEdge(SepConv3x3) => [0x3d8fc6, 0xa9d8f7],
            ColourRole::OpEdge(SepConv5x5) => [0x063f70, 0x5ea3de],
            ColourRole::OpEdge(AvgPool3x3) => [0xc08a12, 0xf9d98c],
            ColourRole::OpEdge(MaxPool3x3) => [0x843404, 0xea8a4e],
            ColourRole::OpEdge(Identity) => [0x6f7e90, 0x93a2b4],
            ColourRole::OpText(SepConv3x3 | AvgPool3x3) => [0x101922, 0x0b1219],
            ColourRole::OpText(SepConv5x5 | MaxPool3x3) => [0xffffff, 0xffffff],
            ColourRole::OpText(Identity) => [0x17212c, 0xf1f5f9],
            ColourRole::Layer(Normal) => [0xdcebe6, 0x1d3a34],
            ColourRole::Layer(Reduction) => [0x0f6b5b, 0x1c7a69],
            ColourRole::LayerEdge(Normal) => [0x5f9c8d, 0x4f9484],
            ColourRole::LayerEdge(Reduction) => [0x094a3f, 0x5cc0ac],
            ColourRole::LayerText(Normal) => [0x17212c, 0xe8edf3],
            ColourRole::LayerText(Reduction) => [0xffffff, 0xffffff],
        }
    }
}

#[cfg(test)]
mod tests {
    use enas_arc::CellKind::{Normal, Reduction};

    use super::*;

    /// Linear red, green and blue (inverse of the sRGB transfer function), 0 to 1.
    fn light(colour: Rgb) -> [f64; 3] {
        [16, 8, 0].map(|shift| {
            let c = f64::from(colour >> shift & 0xff) / 255.0;
            if c <= 0.04045 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
        })
    }

    /// The contrast ratio of WCAG 2.2, from 1 to 21.
    fn contrast(a: Rgb, b: Rgb) -> f64 {
        let luminance = |[r, g, b]: [f64; 3]| 0.2126 * r + 0.7152 * g + 0.0722 * b;
        let a = luminance(light(a));
        let b = luminance(light(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    fn check(pairs: &[(ColourRole, ColourRole)], least: f64) {
        for (a, b) in pairs {
            for dark in [0, 1] {
                let contrast = contrast(a.colours()[dark], b.colours()[dark]);
                assert!(contrast >= least, "{a:?} on {b:?}, dark {dark}: {contrast:.2}");
            }
        }
    }

    #[test]
    fn text_has_the_contrast_of_wcag_aa() {
        let mut pairs = vec![
            (ColourRole::Muted, ColourRole::Card),
            (ColourRole::Muted, ColourRole::State),
            (ColourRole::Muted, ColourRole::Paper),
        ];
        pairs.extend(
            [ColourRole::Paper, ColourRole::State, ColourRole::Card].map(|ground| (ColourRole::Text, ground)),
        );
        pairs.extend(Op::ALL.map(|op| (ColourRole::OpText(op), ColourRole::Op(op))));
        pairs.extend([Normal, Reduction].map(|kind| (ColourRole::LayerText(kind), ColourRole::Layer(kind))));
        check(&pairs, 4.5);
    }

    #[test]
    fn lines_that_carry_meaning_have_the_contrast_of_wcag_aa() {
        let mut pairs = vec![
            (ColourRole::Edge, ColourRole::Paper),
            (ColourRole::Edge, ColourRole::Card),
            (ColourRole::StateEdge, ColourRole::Paper),
        ];
        pairs.extend([ColourRole::OpEdge(Op::Identity)].map(|edge| (edge, ColourRole::Paper)));
        pairs.extend([Normal, Reduction].map(|kind| (ColourRole::LayerEdge(kind), ColourRole::Paper)));
        check(&pairs, 3.0);
    }

    #[test]
    fn inks_have_names_of_their_own() {
        let mut names: Vec<String> = ColourRole::ALL.iter().map(|colour| colour.name()).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), ColourRole::ALL.len());
    }

    /// Simulation of colour vision deficiencies at full severity: Machado, Oliveira and Fernandes, 2009. The first
    /// matrix is normal vision.
    const EYES: [[[f64; 3]; 3]; 4] = [
        [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
    ];

    /// Converts to CIELAB, in which equal distances look about equal. `eye` is applied first.
    fn lab(eye: &[[f64; 3]; 3], colour: Rgb) -> [f64; 3] {
        let dot = |row: &[f64; 3], v: &[f64; 3]| row.iter().zip(v).map(|(a, b)| a * b).sum::<f64>();
        let seen = light(colour);
        let seen = eye.each_ref().map(|row| dot(row, &seen).clamp(0.0, 1.0));
        let xyz = [
            dot(&[0.4124, 0.3576, 0.1805], &seen) / 0.9505,
            dot(&[0.2126, 0.7152, 0.0722], &seen),
            dot(&[0.0193, 0.1192, 0.9505], &seen) / 1.089,
        ];
        let [x, y, z] = xyz.map(|t| if t > 0.008856 { t.cbrt() } else { 7.787 * t + 16.0 / 116.0 });
        [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
    }

    #[test]
    fn operations_differ_for_every_kind_of_colour_vision() {
        for eye in &EYES {
            for dark in [0, 1] {
                for (i, a) in Op::ALL.into_iter().enumerate() {
                    for b in &Op::ALL[..i] {
                        let [p, q] = [a, *b].map(|op| lab(eye, ColourRole::Op(op).colours()[dark]));
                        let distance = (0..3).map(|i| (p[i] - q[i]).powi(2)).sum::<f64>().sqrt();
                        assert!(distance > 18.0, "{a} and {b}, dark {dark}: {distance:.1} for {eye:?}");
                    }
                }
            }
        }
    }
}
