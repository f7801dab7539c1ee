//! Rasterisation of a drawing to PNG. The font is built in, so equal drawings give equal images on every machine.

use tiny_skia::{
    Color, FillRule, LineCap, LineJoin, Paint, Path, PathBuilder, Pixmap, Shader, Stroke as SkiaStroke,
    StrokeDash, Transform,
};
use ttf_parser::OutlineBuilder;

use crate::Error;
use crate::drawing::{Anchor, Curve, Drawing, Item, PathCommand, Rect, RoundedRect, Stroke, TextLine};
use crate::text::Faces;
use crate::theme::{ColourRole, Theme};

/// Maximum number of pixels of an image. At 4 bytes per pixel, its buffer takes 400 MB.
const MOST_PIXELS: f64 = 1e8;

/// Distance of a cubic Bézier curve's control points from its ends, for a quarter of a unit circle: `4/3 · (√2 − 1)`.
const QUARTER: f64 = 0.552_284_75;

/// See [`Svg::png`](crate::Svg::png).
pub(crate) fn encode(drawing: &Drawing, scale: f32, theme: Theme) -> Result<Vec<u8>, Error> {
    if !(0.1..=10.0).contains(&scale) {
        return Err(Error::Scale { scale });
    }
    let pixels = |length: f64| (length * f64::from(scale)).ceil();
    let width = pixels(drawing.width);
    let height = pixels(drawing.height);
    let too_large = || Error::TooLarge { width: width as u64, height: height as u64, scale };
    if width * height > MOST_PIXELS {
        return Err(too_large());
    }
    let pixmap = Pixmap::new(width as u32, height as u32).ok_or_else(too_large)?;
    let mut canvas =
        Canvas { pixmap, scale: Transform::from_scale(scale, scale), dark: theme == Theme::Dark };
    drawing.items.iter().for_each(|item| canvas.item(item));
    canvas.pixmap.encode_png().map_err(|e| Error::Png { problem: e.to_string() })
}

/// Renders a line of text and returns the coverage of each pixel: `[height, width]`, 0 (none) to 255 (full).
///
/// The base line is `base` pixels below the top; `size` is the font size in pixels.
pub(crate) fn text_coverage(
    line: &str,
    faces: Faces<'_>,
    (size, base): (f64, f64),
    (width, height): (usize, usize),
) -> Vec<u8> {
    let line = TextLine {
        text: line.to_owned(),
        at: (0.0, base),
        size,
        bold: false,
        anchor: Anchor::Start,
        colour: ColourRole::Text,
    };
    let pixmap = Pixmap::new(width as u32, height as u32);
    let (Some(mut pixmap), Some(path)) = (pixmap, letters(&line, faces)) else {
        return vec![0; width * height];
    };
    let paint = Paint { anti_alias: true, ..Paint::default() };
    pixmap.fill_path(&path, &paint, FillRule::Winding, Transform::identity(), None);
    pixmap.pixels().iter().map(|pixel| pixel.alpha()).collect()
}

struct Canvas {
    pixmap: Pixmap,
    scale: Transform,
    dark: bool,
}

impl Canvas {
    fn item(&mut self, item: &Item) {
        match item {
            Item::RoundedRect(RoundedRect { rect, radius, fill, stroke, .. }) => {
                self.path(rounded(*rect, *radius), *fill, *stroke);
            }
            Item::Curve(Curve { commands, fill, stroke }) => self.path(outline(commands), *fill, *stroke),
            Item::Text(line) => self.path(letters(line, Faces::own(line.bold)), Some(line.colour), None),
        }
    }

    /// Fills and strokes a path. A path without extent is `None` and draws nothing.
    fn path(&mut self, path: Option<Path>, fill: Option<ColourRole>, stroke: Option<Stroke>) {
        let Some(path) = path else { return };
        if let Some(colour) = fill {
            let paint = self.paint(colour);
            self.pixmap.fill_path(&path, &paint, FillRule::Winding, self.scale, None);
        }
        if let Some(Stroke { colour, width, dashed }) = stroke {
            let stroke = SkiaStroke {
                width: width as f32,
                line_cap: LineCap::Butt,
                line_join: LineJoin::Miter,
                dash: if dashed { StrokeDash::new(vec![5.0, 4.0], 0.0) } else { None },
                ..SkiaStroke::default()
            };
            let paint = self.paint(colour);
            self.pixmap.stroke_path(&path, &paint, &stroke, self.scale, None);
        }
    }

    fn paint(&self, colour: ColourRole) -> Paint<'static> {
        let [_, r, g, b] = colour.colours()[usize::from(self.dark)].to_be_bytes();
        let shader = Shader::SolidColor(Color::from_rgba8(r, g, b, 255));
        Paint { shader, anti_alias: true, ..Paint::default() }
    }
}

fn outline(commands: &[PathCommand]) -> Option<Path> {
    let mut path = PathBuilder::new();
    let f = |(x, y): (f64, f64)| (x as f32, y as f32);
    for command in commands {
        match *command {
            PathCommand::Move(p) => path.move_to(f(p).0, f(p).1),
            PathCommand::Line(p) => path.line_to(f(p).0, f(p).1),
            PathCommand::Cubic(a, b, c) => {
                let ((ax, ay), (bx, by), (cx, cy)) = (f(a), f(b), f(c));
                path.cubic_to(ax, ay, bx, by, cx, cy);
            }
            PathCommand::Close => path.close(),
        }
    }
    path.finish()
}

fn rounded(rect: Rect, radius: f64) -> Option<Path> {
    let Rect { x, y, w, h } = rect;
    let r = radius.min(w / 2.0).min(h / 2.0);
    if r <= 0.0 {
        return tiny_skia::Rect::from_xywh(x as f32, y as f32, w as f32, h as f32)
            .map(PathBuilder::from_rect);
    }
    let k = r * (1.0 - QUARTER);
    let right = x + w;
    let bottom = y + h;
    outline(&[
        PathCommand::Move((x + r, y)),
        PathCommand::Line((right - r, y)),
        PathCommand::Cubic((right - k, y), (right, y + k), (right, y + r)),
        PathCommand::Line((right, bottom - r)),
        PathCommand::Cubic((right, bottom - k), (right - k, bottom), (right - r, bottom)),
        PathCommand::Line((x + r, bottom)),
        PathCommand::Cubic((x + k, bottom), (x, bottom - k), (x, bottom - r)),
        PathCommand::Line((x, y + r)),
        PathCommand::Cubic((x, y + k), (x + k, y), (x + r, y)),
        PathCommand::Close,
    ])
}

fn letters(line: &TextLine, faces: Faces<'_>) -> Option<Path> {
    let TextLine { text, at, size, .. } = line;
    let mut x = at.0 + line.shift(faces.width(text, *size));
    let mut writer = GlyphOutliner { path: PathBuilder::new(), scale: 0.0, at: (0.0, at.1 as f32) };
    for glyph in faces.glyphs(text, *size) {
        writer.scale = (size / f64::from(glyph.face.units_per_em())) as f32;
        writer.at.0 = x as f32;
        // Ignored: a space has no outline.
        let _ = glyph.face.outline_glyph(glyph.id, &mut writer);
        x += glyph.advance;
    }
    writer.path.finish()
}

/// Converts glyph outlines, whose y axis points up, to the coordinates of the drawing, whose y axis points down.
struct GlyphOutliner {
    path: PathBuilder,
    scale: f32,
    at: (f32, f32),
}

impl GlyphOutliner {
    fn to_canvas(&self, x: f32, y: f32) -> (f32, f32) {
        (self.at.0 + x * self.scale, self.at.1 - y * self.scale)
    }
}

impl OutlineBuilder for GlyphOutliner {
    fn move_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.to_canvas(x, y);
        self.path.move_to(x, y);
    }

    fn line_to(&mut self, x: f32, y: f32) {
        let (x, y) = self.to_canvas(x, y);
        self.path.line_to(x, y);
    }

    fn quad_to(&mut self, x1: f32, y1: f32, x: f32, y: f32) {
        let ((x1, y1), (x, y)) = (self.to_canvas(x1, y1), self.to_canvas(x, y));
        self.path.quad_to(x1, y1, x, y);
    }

    fn curve_to(&mut self, x1: f32, y1: f32, x2: f32, y2: f32, x: f32, y: f32) {
        let ((x1, y1), (x2, y2), (x, y)) =
            (self.to_canvas(x1, y1), self.to_canvas(x2, y2), self.to_canvas(x, y));
        self.path.cubic_to(x1, y1, x2, y2, x, y);
    }

    fn close(&mut self) {
        self.path.close();
    }
}
