//! Paper: what every drawing lies on, and two drawings on one sheet.

use crate::scene::{Rect, Scene, Stroke};
use crate::theme::Ink;

/// The widest pair of drawings that stands side by side.
const WIDEST: f64 = 1200.0;

/// A drawing on paper of its size with a thin border.
pub(crate) fn on_paper(drawing: Scene) -> Scene {
    let Scene { width, height, title, description, .. } = &drawing;
    let mut sheet = Scene::new(title.clone(), description.clone());
    (sheet.width, sheet.height) = (*width, *height);
    let rect = Rect { x: 0.5, y: 0.5, w: width - 1.0, h: height - 1.0 };
    sheet.rect(rect, 10.0, Ink::Paper, Some(Stroke::solid(Ink::Frame, 1.0)));
    sheet.place(&drawing, (0.0, 0.0));
    sheet
}

/// Two drawings beside each other, or one below the other if they are wide.
pub(crate) fn both(first: &Scene, second: &Scene) -> Scene {
    let title = format!("{} and {}", first.title, second.title.to_lowercase());
    let mut sheet = Scene::new(title, format!("{} {}", first.description, second.description));
    let beside = first.width + second.width <= WIDEST;
    let at = if beside { (first.width, 0.0) } else { (0.0, first.height) };
    sheet.width = if beside { first.width + second.width } else { first.width.max(second.width) };
    sheet.height = if beside { first.height.max(second.height) } else { first.height + second.height };
    let rule = if beside {
        Rect { x: first.width - 0.5, y: 24.0, w: 1.0, h: sheet.height - 48.0 }
    } else {
        Rect { x: 24.0, y: first.height - 0.5, w: sheet.width - 48.0, h: 1.0 }
    };
    sheet.rect(rule, 0.0, Ink::Frame, None);
    sheet.place(first, (0.0, 0.0));
    sheet.place(second, at);
    sheet
}
