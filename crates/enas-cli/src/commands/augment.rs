//! `enas augment`: a contact sheet of originals and augmented copies.

use std::path::Path;

use anyhow::{Context as _, Result};
use enas_data::contact_sheet;
use serde::Serialize;

use super::{Context, settings};
use crate::args;
use crate::failure::SUCCESS;

/// Runs `enas augment`.
///
/// # Errors
/// Usage for bad settings; if the data cannot be read or the sheet not be written.
pub(crate) fn run(context: &Context, args: &args::Augment) -> Result<u8> {
    #[derive(Serialize)]
    struct Written<'a> {
        #[serde(serialize_with = "crate::output::path")]
        path: &'a Path,
        images: usize,
    }
    let config = settings::train(&args.settings, args.data.as_deref(), None)?;
    let data = enas_data::load(&config.data, config.run.seed())?;
    let sheet = contact_sheet(&data, args.images, args.copies)?;
    sheet.image.save(&args.out).with_context(|| format!("cannot write {}", args.out.display()))?;
    let document = Written { path: &args.out, images: sheet.images };
    if sheet.images == args.images {
        context.console.note("these settings do not vary pictures: see data.augment.mode");
    }
    context.out.print(&document, |out| writeln!(out, "{}: {} pictures", args.out.display(), sheet.images))?;
    Ok(SUCCESS)
}
