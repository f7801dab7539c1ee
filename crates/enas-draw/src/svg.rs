//! A drawing as an SVG document.
//!
//! Colours are attributes, which every viewer understands. With [`Theme::Auto`] a style sheet of custom properties
//! overrides them. There are no ids, and every class begins with `enas-`. So a page may hold any number of drawings,
//! and also the same drawing twice.

use std::fmt::{self, Write};

use enas_chart::Escaped;

use crate::Error;
use crate::drawing::{Anchor, Curve, Drawing, Item, PathCommand, Point, RoundedRect, Stroke, TextLine};
use crate::png;
use crate::theme::{ColourRole, Rgb, Theme};

/// A drawing as an SVG document.
#[derive(Clone, Debug, PartialEq)]
pub struct Svg {
    drawing: Drawing,
    text: String,
}

impl Svg {
    pub(crate) fn new(drawing: Drawing, theme: Theme) -> Svg {
        let text = write(&drawing, theme);
        Svg { drawing, text }
    }

    /// The document: one `svg` element, for a file of its own or for embedding in HTML.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The document as an owned string.
    pub fn into_string(self) -> String {
        self.text
    }

    /// Width in pixels at a scale of 1.
    pub fn width(&self) -> f64 {
        self.drawing.width
    }

    /// Height in pixels at a scale of 1.
    pub fn height(&self) -> f64 {
        self.drawing.height
    }

    /// The drawing as a PNG file, enlarged `scale` times. [`Theme::Auto`] gives the light colours.
    ///
    /// # Errors
    /// If `scale` is not a number from 0.1 to 10, or the image would have more than 100 million pixels.
    pub fn png(&self, scale: f32, theme: Theme) -> Result<Vec<u8>, Error> {
        png::encode(&self.drawing, scale, theme)
    }
}

impl fmt::Display for Svg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn write(drawing: &Drawing, theme: Theme) -> String {
    let Drawing { width, height, title, description, items } = drawing;
    let w = Number(*width);
    let h = Number(*height);
    let title = Escaped(title);
    let mut writer = SvgWriter { out: String::new(), theme };
    writer.put(format_args!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"enas-drawing{}\" role=\"img\" aria-label=\"{title}\" \
         width=\"{w}\" height=\"{h}\" viewBox=\"0 0 {w} {h}\" font-family=\"system-ui,sans-serif\" \
         style=\"max-width:100%;height:auto\">\n<title>{title}</title>\n<desc>{}</desc>\n",
        if theme == Theme::Auto { " enas-auto" } else { "" },
        Escaped(description),
    ));
    if theme == Theme::Auto {
        writer.style_sheet();
    }
    items.iter().for_each(|item| writer.item(item));
    writer.put(format_args!("</svg>\n"));
    writer.out
}

struct SvgWriter {
    out: String,
    theme: Theme,
}

impl SvgWriter {
    fn put(&mut self, text: fmt::Arguments<'_>) {
        self.out.write_fmt(text).expect("a string takes any text");
    }

    fn style_sheet(&mut self) {
        let values = |dark: usize| -> String {
            ColourRole::ALL
                .iter()
                .map(|colour| format!("--enas-{}:{};", colour.name(), Hex(colour.colours()[dark])))
                .collect()
        };
        self.put(format_args!("<style>\n.enas-auto{{{}}}\n", values(0)));
        self.put(format_args!(
            "@media screen and (prefers-color-scheme:dark){{.enas-auto{{{}}}}}\n",
            values(1)
        ));
        for name in ColourRole::ALL.map(ColourRole::name) {
            self.put(format_args!(".enas-auto .enas-f-{name}{{fill:var(--enas-{name})}}\n"));
            self.put(format_args!(".enas-auto .enas-s-{name}{{stroke:var(--enas-{name})}}\n"));
        }
        self.put(format_args!("</style>\n"));
    }

    fn item(&mut self, item: &Item) {
        match item {
            Item::RoundedRect(it) => self.rect(it),
            Item::Curve(it) => self.curve(it),
            Item::Text(it) => self.text(it),
        }
    }

    fn rect(&mut self, RoundedRect { rect, radius, fill, stroke, tooltip }: &RoundedRect) {
        let x = Number(rect.x);
        let y = Number(rect.y);
        let w = Number(rect.w);
        let h = Number(rect.h);
        self.put(format_args!("<rect x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\""));
        if *radius > 0.0 {
            self.put(format_args!(" rx=\"{}\"", Number(*radius)));
        }
        self.paint(*fill, *stroke);
        match tooltip {
            Some(tooltip) => self.put(format_args!("><title>{}</title></rect>\n", Escaped(tooltip))),
            None => self.put(format_args!("/>\n")),
        }
    }

    fn curve(&mut self, Curve { commands, fill, stroke }: &Curve) {
        self.put(format_args!("<path d=\""));
        let point = |(x, y): &Point| format!("{} {}", Number(*x), Number(*y));
        for command in commands {
            match command {
                PathCommand::Move(p) => self.put(format_args!("M{}", point(p))),
                PathCommand::Line(p) => self.put(format_args!("L{}", point(p))),
                PathCommand::Cubic(a, b, c) => {
                    self.put(format_args!("C{} {} {}", point(a), point(b), point(c)));
                }
                PathCommand::Close => self.put(format_args!("Z")),
            }
        }
        self.put(format_args!("\""));
        self.paint(*fill, *stroke);
        self.put(format_args!("/>\n"));
    }

    fn text(&mut self, TextLine { text, at, size, bold, anchor, colour }: &TextLine) {
        let x = Number(at.0);
        let y = Number(at.1);
        let size = Number(*size);
        self.put(format_args!("<text x=\"{x}\" y=\"{y}\" font-size=\"{size}\""));
        if *bold {
            self.put(format_args!(" font-weight=\"bold\""));
        }
        match anchor {
            Anchor::Start => {}
            Anchor::Middle => self.put(format_args!(" text-anchor=\"middle\"")),
            Anchor::End => self.put(format_args!(" text-anchor=\"end\"")),
        }
        self.paint(Some(*colour), None);
        self.put(format_args!(">{}</text>\n", Escaped(text)));
    }

    fn paint(&mut self, fill: Option<ColourRole>, stroke: Option<Stroke>) {
        let shade = usize::from(self.theme == Theme::Dark);
        match fill {
            Some(colour) => self.put(format_args!(" fill=\"{}\"", Hex(colour.colours()[shade]))),
            None => self.put(format_args!(" fill=\"none\"")),
        }
        if let Some(Stroke { colour, width, dashed }) = stroke {
            let colour = Hex(colour.colours()[shade]);
            self.put(format_args!(" stroke=\"{colour}\" stroke-width=\"{}\"", Number(width)));
            if dashed {
                self.put(format_args!(" stroke-dasharray=\"5 4\""));
            }
        }
        if self.theme == Theme::Auto {
            let classes = fill.map(|colour| format!("enas-f-{}", colour.name()));
            let classes = classes.into_iter().chain(stroke.map(|s| format!("enas-s-{}", s.colour.name())));
            self.put(format_args!(" class=\"{}\"", classes.collect::<Vec<_>>().join(" ")));
        }
    }
}

/// A length, written with at most two decimals.
struct Number(f64);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Rounding hides differences in the last bits, so equal drawings give equal bytes. Adding 0 turns -0 into 0.
        write!(f, "{}", (self.0 * 100.0).round() / 100.0 + 0.0)
    }
}

/// A colour, written as `#rrggbb`.
struct Hex(Rgb);

impl fmt::Display for Hex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{:06x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let written = [1.0, 0.5, 1.0 / 3.0, -0.001, 12.345].map(|x| Number(x).to_string());
        assert_eq!(written, ["1", "0.5", "0.33", "0", "12.35"]);
    }
}
