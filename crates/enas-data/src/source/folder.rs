//! A folder on disk as a source, down to the three levels a data set has: split, class, picture.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Content, Source, is_hidden};
use crate::error::Error;
use crate::prepare::is_picture_name;

/// Folders below the root whose content is listed: split and class.
const MAX_DEPTH: usize = 2;

pub(super) fn open(root: &Path) -> Result<Source, Error> {
    let mut found = Found::default();
    walk(root, "", 0, &mut found)?;
    found.files.sort_unstable();
    found.others.sort_unstable();
    found.folders.sort_unstable();
    refuse_twins(root, &found)?;
    let (files, mut paths): (Vec<_>, Vec<_>) = found.files.into_iter().unzip();
    let (others, rest): (Vec<_>, Vec<_>) = found.others.into_iter().unzip();
    paths.extend(rest);
    let content = Content::Folder(paths);
    Ok(Source { path: root.into(), files, folders: found.folders, others, content })
}

#[derive(Default)]
struct Found {
    files: Vec<(String, PathBuf)>,
    others: Vec<(String, PathBuf)>,
    folders: Vec<String>,
}

/// Refuses names that are no text and shown alike: they would be taken for one class or one picture.
fn refuse_twins(root: &Path, found: &Found) -> Result<(), Error> {
    let twin_files = found.files.windows(2).find(|pair| pair[0].0 == pair[1].0).map(|pair| &pair[0].0);
    let twin_folders = || found.folders.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| &pair[0]);
    match twin_files.or_else(twin_folders) {
        None => Ok(()),
        Some(name) => {
            let problem = format!("several names are not valid UTF-8 and all shown as {name:?}; rename them");
            Err(Error::Layout { path: root.into(), problem })
        }
    }
}

/// Follows links, so that a data set may be a farm of them; the depth limit ends any cycle.
fn walk(folder: &Path, name: &str, depth: usize, found: &mut Found) -> Result<(), Error> {
    for entry in fs::read_dir(folder).map_err(|e| Error::io(folder, e))? {
        let entry = entry.map_err(|e| Error::io(folder, e))?;
        let own = entry.file_name().to_string_lossy().into_owned();
        if is_hidden(&own) {
            continue;
        }
        let name = if name.is_empty() { own } else { format!("{name}/{own}") };
        let path = entry.path();
        if path.is_dir() {
            if depth < MAX_DEPTH {
                walk(&path, &name, depth + 1, found)?;
            }
            found.folders.push(name);
        } else if is_picture_name(&name) {
            // A broken link is listed too: reading it later names it among the skipped files.
            found.files.push((name, path));
        } else {
            found.others.push((name, path));
        }
    }
    Ok(())
}
