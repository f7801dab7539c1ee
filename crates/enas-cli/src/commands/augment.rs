//! `enas augment`: a contact sheet of original images and augmented variants.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Args;
use enas_data::{LoadOptions, contact_tiles};
use enas_draw::{Bitmap, ContactGroup, ContactTile};
use enas_search::Kind;
use image::RgbImage;
use serde::Serialize;

use super::choices::Asked;
use super::{Context, settings};
use crate::args::{Images, Settings, output_path, whole};
use crate::failure::{SUCCESS, usage};
use crate::fonts;
use crate::output::{counted, visible};

/// Show what the trainer would see: originals and augmented copies on one sheet
///
/// Originals have a blue frame, and each row of images has its class above it. Class names are written with Latin,
/// Greek and Cyrillic letters; for others, such as Chinese, a font of this computer is used. Characters without a font
/// and those of Arabic, Hebrew and Indian scripts appear as their code, such as \u{82f9}. Names that are too long end
/// in "…".
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  enas augment photos
  enas augment photos --out sheet.png --images 12 --copies 8
  enas augment photos --out sheet.png --force --config my.toml")]
pub(crate) struct Augment {
    #[command(flatten)]
    pub(crate) images: Images,
    /// The file to write; its ending chooses the format [default: DATA-augment-N.png]
    #[arg(long, value_name = "FILE", value_parser = output_path())]
    pub(crate) out: Option<PathBuf>,
    /// Replace a file that exists, or write among the images
    #[arg(long)]
    pub(crate) force: bool,
    /// How many training images
    #[arg(long = "images", value_name = "N", default_value = "8", value_parser = whole(1, 500))]
    pub(crate) n_images: usize,
    /// How many augmented copies of each
    #[arg(long, value_name = "N", default_value = "5", value_parser = whole(1, 100))]
    pub(crate) copies: usize,
    #[command(flatten)]
    pub(crate) settings: Settings,
}

/// Runs `enas augment`.
///
/// # Errors
/// A usage error for invalid settings; an error if the data cannot be read or the sheet cannot be written.
pub(crate) fn run(context: &Context, args: &Augment) -> Result<u8> {
    #[derive(Serialize)]
    struct Written<'a> {
        #[serde(serialize_with = "crate::output::path")]
        path: &'a Path,
        images: usize,
    }
    let checking = context.console.activity("checking the images");
    let read = settings::train(&args.settings, args.images.path(), None)?;
    let seed = read.run.seed();
    let followed = Asked::of(&args.settings).follow(context, &read.data, seed, Kind::Train);
    let config = settings::train(&followed.settings, args.images.path(), None)?;
    drop(checking);
    let out = target(args, &config.data.path)?;
    let options = LoadOptions { prepared: Some(&followed.prepared), ..LoadOptions::new(config.run.seed()) };
    let loading = context.console.activity("reading and augmenting the images");
    let data = enas_data::load(&config.data, &options)?;
    let groups = contact_tiles(&data, args.n_images, args.copies)?;
    drawn(&groups).save(&out).with_context(|| format!("cannot write {}", visible(&out)))?;
    drop(loading);
    let images = groups.iter().map(Vec::len).sum();
    let document = Written { path: &out, images };
    if images == groups.len() {
        context.console.note("these settings do not augment images: see data.augment.mode");
    }
    context
        .out
        .print(&document, |to| writeln!(to, "{}: {}", visible(&out), counted(images as u64, "image")))?;
    Ok(SUCCESS)
}

/// The sheet: each original has a blue frame and is followed by its augmented variants.
fn drawn(groups: &[Vec<enas_data::SheetTile>]) -> RgbImage {
    let groups: Vec<ContactGroup<'_>> = groups.iter().filter_map(|tiles| group(tiles)).collect();
    let fonts = fonts::for_labels(groups.iter().map(|group| group.label));
    let Bitmap { width, height, rgb } = enas_draw::contact_sheet(&groups, &fonts);
    RgbImage::from_raw(width as u32, height as u32, rgb).expect("a bitmap has three bytes for each pixel")
}

fn group(tiles: &[enas_data::SheetTile]) -> Option<ContactGroup<'_>> {
    Some(ContactGroup { label: &tiles.first()?.label, tiles: tiles.iter().map(tile).collect() })
}

fn tile(tile: &enas_data::SheetTile) -> ContactTile<'_> {
    let (width, height) = tile.image.dimensions();
    let width = width as usize;
    let height = height as usize;
    ContactTile { rgb: tile.image.as_raw(), width, height, framed: tile.original }
}

/// The file of the sheet: `--out`, else the first free name derived from the data's name.
///
/// Without `--force`, an existing file and a file among the images are refused.
fn target(args: &Augment, data: &Path) -> Result<PathBuf> {
    let Some(out) = &args.out else {
        let name = std::path::absolute(data).ok();
        let name = name.as_deref().and_then(Path::file_stem).unwrap_or(data.as_os_str()).to_string_lossy();
        let names = (1..).map(|n| PathBuf::from(format!("{name}-augment-{n}.png")));
        return names.into_iter().find(|name| !name.exists()).context("no free name for the sheet");
    };
    let shown = visible(&out);
    if out.is_dir() {
        return Err(usage(format!("--out {shown}: this is a folder; name a file in it, as in sheet.png")));
    }
    if !args.force && out.exists() {
        let problem = "this file exists already; --force replaces it, another --out writes elsewhere";
        return Err(usage(format!("--out {shown}: {problem}")));
    }
    if !args.force && is_below(out, data) {
        let problem = "this is among the images, where the sheet would become one of them";
        return Err(usage(format!("--out {shown}: {problem}; name another place, or use --force")));
    }
    Ok(out.clone())
}

/// Whether a file, existing or not, lies below an existing directory.
fn is_below(file: &Path, folder: &Path) -> bool {
    let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match (parent.canonicalize(), folder.canonicalize()) {
        (Ok(parent), Ok(folder)) => folder.is_dir() && parent.starts_with(folder),
        _ => false,
    }
}
