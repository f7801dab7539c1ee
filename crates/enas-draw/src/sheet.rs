//! The background of a drawing, and two drawings on one sheet.

use crate::drawing::{Drawing, Rect, Stroke};
use crate::theme::ColourRole;

/// Maximum width of two drawings side by side, in pixels.
const WIDEST: f64 = 1200.0;
/// Distance between the border and the ends of the line that separates two drawings.
const RULE: f64 = 24.0;

/// Puts a drawing on a background of its size with a thin border.
pub(crate) fn with_background(drawing: Drawing) -> Drawing {
    let Drawing { width, height, title, description, .. } = &drawing;
    let mut sheet = Drawing::new(title.clone(), description.clone());
    (sheet.width, sheet.height) = (*width, *height);
    let rect = Rect { x: 0.5, y: 0.5, w: width - 1.0, h: height - 1.0 };
    sheet.rect(rect, 10.0, ColourRole::Paper, Some(Stroke::solid(ColourRole::Frame, 1.0)));
    sheet.add(&drawing, (0.0, 0.0));
    sheet
}

/// Two drawings side by side, or one above the other if they are too wide.
///
/// Each element of `draw` returns a drawing that is at least as wide as its argument.
pub(crate) fn combined(draw: [&dyn Fn(f64) -> Drawing; 2]) -> Drawing {
    let [first, second] = draw.map(|draw| draw(0.0));
    let title = format!("{} and {}", first.title, second.title.to_lowercase());
    let mut sheet = Drawing::new(title, format!("{} {}", first.description, second.description));
    let both = first.width + second.width;
    if both <= WIDEST {
        (sheet.width, sheet.height) = (both, first.height.max(second.height));
        let rule = Rect { x: first.width - 0.5, y: RULE, w: 1.0, h: sheet.height - 2.0 * RULE };
        sheet.rect(rule, 0.0, ColourRole::Frame, None);
        sheet.add(&first, (0.0, 0.0));
        sheet.add(&second, (first.width, 0.0));
    } else {
        (sheet.width, sheet.height) = (first.width.max(second.width), first.height + second.height);
        let rule = Rect { x: RULE, y: first.height - 0.5, w: sheet.width - 2.0 * RULE, h: 1.0 };
        sheet.rect(rule, 0.0, ColourRole::Frame, None);
        let [upper, lower] = draw.map(|draw| draw(sheet.width));
        sheet.add(&upper, (0.0, 0.0));
        sheet.add(&lower, (0.0, first.height));
    }
    sheet
}
