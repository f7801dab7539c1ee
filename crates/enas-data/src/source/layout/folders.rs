//! The folders of a source: what lies in which.

use crate::error::Error;
use crate::source::files::Source;

pub(super) fn problem(source: &Source, problem: String) -> Error {
    Error::Layout { path: source.path.clone(), problem }
}

/// Names of the folders directly in `parent` ("" for the root), in byte order.
pub(super) fn children<'a>(source: &'a Source, parent: &str) -> Vec<&'a str> {
    let depth_one = |f: &'a String| {
        let rest = if parent.is_empty() { f } else { f.strip_prefix(parent)?.strip_prefix('/')? };
        (!rest.contains('/')).then_some(rest)
    };
    source.folders.iter().filter_map(depth_one).collect()
}

/// Whether a folder of this name holds companions of a class's images: masks, thumbnails and similar.
pub(super) fn is_companion(name: &str) -> bool {
    const COMPANIONS: [&str; 11] = [
        "mask",
        "masks",
        "annotation",
        "annotations",
        "segmentation",
        "segmentations",
        "groundtruth",
        "ground_truth",
        "thumb",
        "thumbs",
        "thumbnails",
    ];
    COMPANIONS.contains(&name.to_lowercase().as_str())
}

/// Whether the folder directly contains images.
pub(super) fn has_images_directly(source: &Source, folder: &str) -> bool {
    let below = |file: &&String| {
        file.strip_prefix(folder).and_then(|f| f.strip_prefix('/')).is_some_and(|f| !f.contains('/'))
    };
    source.files.iter().find(below).is_some()
}
