//! Checks that the images of a source form a usable data set. No pixels.

use crate::dataset::Skipped;
use crate::error::Error;
use crate::layout::{Item, Layout, Part, Splits, labels_beside};
use crate::source::Source;

/// The images of a source, with class and part.
#[derive(Clone, Copy)]
pub(crate) struct Sorted<'a> {
    /// Usable images.
    pub(crate) items: &'a [Item],
    /// Unusable images; `skipped` has the reason for each.
    pub(crate) lost: &'a [Item],
    pub(crate) skipped: &'a [Skipped],
}

/// Requires at least two classes.
pub(crate) fn class_count(source: &Source, layout: &Layout) -> Result<(), Error> {
    match &layout.classes[..] {
        [_, _, ..] => Ok(()),
        found => Err(Error::Layout {
            path: source.path.clone(),
            problem: format!(
                "a data set needs at least 2 classes, each a folder of pictures; found only {}{}",
                found.first().map_or("none", String::as_str),
                labels_beside(source)
            ),
        }),
    }
}

/// Requires an image that may become training data in every class.
pub(crate) fn classes_can_be_learnt(
    source: &Source,
    splits: &Splits,
    classes: &[String],
    pictures: Sorted<'_>,
) -> Result<(), Error> {
    let trainable = |item: &&Item| matches!(item.part, None | Some(Part::Train));
    for (class, name) in classes.iter().enumerate() {
        let count = |items: &[Item]| items.iter().filter(trainable).filter(|i| i.class == class).count();
        if count(pictures.items) > 0 {
            continue;
        }
        let folder = splits.folder(Part::Train).map_or_else(|| source.path.clone(), |f| source.path.join(f));
        return Err(Error::EmptyClass {
            class: name.clone(),
            location: folder.join(name).display().to_string(),
            detail: match count(pictures.lost) {
                0 => ": no file there ends in png, jpg, jpeg, bmp, gif, webp, tif or tiff; add pictures, or move the folder away if it is not a class".into(),
                n => format!(": all {n} files there were skipped, such as {}", first_lost(pictures, class)),
            },
        });
    }
    Ok(())
}

/// The first skipped file of a class, with the reason.
fn first_lost(pictures: Sorted<'_>, class: usize) -> String {
    let position = pictures.lost.iter().position(|i| i.class == class);
    // `lost` and `skipped` have equal indices.
    position.map_or_else(String::new, |at| {
        let Skipped { path, reason } = &pictures.skipped[at];
        format!("{path} ({reason})")
    })
}

/// Requires images in every part.
pub(crate) fn parts(
    source: &Source,
    splits: &Splits,
    drawn: &[Part],
    pictures: Sorted<'_>,
) -> Result<(), Error> {
    for part in Part::ALL {
        if pictures.items.iter().any(|i| i.part == Some(part)) {
            continue;
        }
        let skipped = pictures.lost.iter().filter(|i| i.part == Some(part)).count();
        let detail = match skipped {
            _ if drawn.contains(&part) => {
                "no class has enough pictures to give one away; add pictures, at least 3 per class".into()
            }
            0 => format!(
                "no picture lies below {}",
                source.path.join(splits.folder(part).unwrap_or(part.name())).display()
            ),
            n => format!("all {n} files there were skipped as unreadable"),
        };
        return Err(Error::EmptySplit { split: part.name(), path: source.path.clone(), detail });
    }
    Ok(())
}

/// For each part, the classes without images; parts with all classes are left out.
pub(crate) fn lacking<'a>(classes: &'a [String], items: &[Item]) -> Vec<(Part, Vec<&'a str>)> {
    let lacks = |part: Part, class: usize| !items.iter().any(|i| i.part == Some(part) && i.class == class);
    let of_part = |part| {
        let lacking = (0..classes.len()).filter(|&class| lacks(part, class));
        (part, lacking.map(|class| classes[class].as_str()).collect::<Vec<_>>())
    };
    Part::ALL.map(of_part).into_iter().filter(|(_, classes)| !classes.is_empty()).collect()
}
