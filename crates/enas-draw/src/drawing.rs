//! The contents of a drawing: boxes, curves and texts with positions and roles, independent of the file format.
//!
//! Lengths are in pixels at a scale of 1; x grows to the right, y downwards.

use crate::text;
use crate::theme::ColourRole;

/// A drawing before it is written to a file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Drawing {
    pub(crate) width: f64,
    pub(crate) height: f64,
    /// The name that a screen reader announces.
    pub(crate) title: String,
    /// A description in sentences, for screen readers.
    pub(crate) description: String,
    pub(crate) items: Vec<Item>,
}

/// A visible item. Later items are drawn over earlier ones.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Item {
    RoundedRect(RoundedRect),
    Curve(Curve),
    Text(TextLine),
}

/// A rectangle with rounded corners.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RoundedRect {
    pub(crate) rect: Rect,
    /// Radius of the corners.
    pub(crate) radius: f64,
    pub(crate) fill: Option<ColourRole>,
    pub(crate) stroke: Option<Stroke>,
    /// The tooltip.
    pub(crate) tooltip: Option<String>,
}

/// An axis-parallel rectangle. `(x, y)` is its upper left corner.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rect {
    pub(crate) x: f64,
    pub(crate) y: f64,
    pub(crate) w: f64,
    pub(crate) h: f64,
}

impl Rect {
    /// The rectangle of width `w` and height `h` around the centre `(cx, cy)`.
    pub(crate) fn around(cx: f64, cy: f64, w: f64, h: f64) -> Rect {
        Rect { x: cx - w / 2.0, y: cy - h / 2.0, w, h }
    }

    pub(crate) fn centre(&self) -> (f64, f64) {
        (self.x + self.w / 2.0, self.y + self.h / 2.0)
    }

    pub(crate) fn right(&self) -> f64 {
        self.x + self.w
    }

    pub(crate) fn bottom(&self) -> f64 {
        self.y + self.h
    }
}

/// The colour, width and dash pattern of a line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Stroke {
    pub(crate) colour: ColourRole,
    pub(crate) width: f64,
    pub(crate) dashed: bool,
}

impl Stroke {
    pub(crate) fn solid(colour: ColourRole, width: f64) -> Stroke {
        Stroke { colour, width, dashed: false }
    }
}

/// Lines and curves, open or filled.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Curve {
    pub(crate) commands: Vec<PathCommand>,
    pub(crate) fill: Option<ColourRole>,
    pub(crate) stroke: Option<Stroke>,
}

/// A point `(x, y)`.
pub(crate) type Point = (f64, f64);

/// One drawing command of a path, as in SVG.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum PathCommand {
    Move(Point),
    Line(Point),
    Cubic(Point, Point, Point),
    Close,
}

/// A line of text.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TextLine {
    pub(crate) text: String,
    /// The position of the point `anchor` on the base line.
    pub(crate) at: Point,
    pub(crate) size: f64,
    pub(crate) bold: bool,
    pub(crate) anchor: Anchor,
    pub(crate) colour: ColourRole,
}

/// The point of a line of text that its position refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

impl TextLine {
    /// The box that contains the text, from the base line up to the height of capital letters.
    pub(crate) fn bounds(&self) -> Rect {
        let w = text::width(&self.text, self.size, self.bold);
        let x = self.at.0 + self.shift(w);
        let h = text::CAPITALS * self.size;
        Rect { x, y: self.at.1 - h, w, h }
    }

    /// The x offset from the position to the left edge of a text of this width.
    pub(crate) fn shift(&self, width: f64) -> f64 {
        match self.anchor {
            Anchor::Start => 0.0,
            Anchor::Middle => -width / 2.0,
            Anchor::End => -width,
        }
    }
}

impl Drawing {
    /// An empty drawing.
    pub(crate) fn new(title: String, description: String) -> Drawing {
        Drawing { width: 0.0, height: 0.0, title, description, items: Vec::new() }
    }

    pub(crate) fn rect(&mut self, rect: Rect, radius: f64, fill: ColourRole, stroke: Option<Stroke>) {
        self.items.push(Item::RoundedRect(RoundedRect {
            rect,
            radius,
            fill: Some(fill),
            stroke,
            tooltip: None,
        }));
    }

    pub(crate) fn rect_with_tooltip(
        &mut self,
        rect: Rect,
        radius: f64,
        fill: ColourRole,
        stroke: Stroke,
        tooltip: String,
    ) {
        self.items.push(Item::RoundedRect(RoundedRect {
            rect,
            radius,
            fill: Some(fill),
            stroke: Some(stroke),
            tooltip: Some(tooltip),
        }));
    }

    pub(crate) fn line(&mut self, commands: Vec<PathCommand>, stroke: Stroke) {
        self.items.push(Item::Curve(Curve { commands, fill: None, stroke: Some(stroke) }));
    }

    pub(crate) fn filled(&mut self, commands: Vec<PathCommand>, fill: ColourRole) {
        self.items.push(Item::Curve(Curve { commands, fill: Some(fill), stroke: None }));
    }

    /// Adds a text whose anchor (left end, middle or right end) lies on the base line at `at`.
    pub(crate) fn text(&mut self, text: impl Into<String>, at: Point, style: TextStyle) {
        let TextStyle { size, bold, anchor, colour } = style;
        self.items.push(Item::Text(TextLine { text: text.into(), at, size, bold, anchor, colour }));
    }

    /// Adds a text that is centred horizontally and vertically at a point.
    pub(crate) fn centred(&mut self, text: impl Into<String>, (x, y): Point, style: TextStyle) {
        let at = (x, y + text::CAPITALS * style.size / 2.0);
        self.text(text, at, TextStyle { anchor: Anchor::Middle, ..style });
    }

    /// Draws all of `other` onto this drawing, moved by `(dx, dy)`.
    pub(crate) fn add(&mut self, other: &Drawing, (dx, dy): Point) {
        let moved = |(x, y): Point| (x + dx, y + dy);
        self.items.extend(other.items.iter().cloned().map(|mut item| {
            match &mut item {
                Item::RoundedRect(RoundedRect { rect, .. }) => (rect.x, rect.y) = moved((rect.x, rect.y)),
                Item::Text(line) => line.at = moved(line.at),
                Item::Curve(curve) => {
                    for command in &mut curve.commands {
                        *command = match *command {
                            PathCommand::Move(p) => PathCommand::Move(moved(p)),
                            PathCommand::Line(p) => PathCommand::Line(moved(p)),
                            PathCommand::Cubic(a, b, c) => PathCommand::Cubic(moved(a), moved(b), moved(c)),
                            PathCommand::Close => PathCommand::Close,
                        };
                    }
                }
            }
            item
        }));
    }
}

/// The size, weight, anchor and colour of a text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct TextStyle {
    pub(crate) size: f64,
    pub(crate) bold: bool,
    pub(crate) anchor: Anchor,
    pub(crate) colour: ColourRole,
}

impl TextStyle {
    /// Regular weight, anchored at the left end.
    pub(crate) fn plain(size: f64, colour: ColourRole) -> TextStyle {
        TextStyle { size, bold: false, anchor: Anchor::Start, colour }
    }

    /// Bold weight, anchored at the left end.
    pub(crate) fn bold(size: f64, colour: ColourRole) -> TextStyle {
        TextStyle { bold: true, ..TextStyle::plain(size, colour) }
    }

    pub(crate) fn right_aligned(self) -> TextStyle {
        TextStyle { anchor: Anchor::End, ..self }
    }
}
