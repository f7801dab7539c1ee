//! `enas watch`: live pages about runs in a browser.

use std::path::Path;
use std::sync::Arc as SyncArc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context as _, Result};
use enas_watch::Server;
use serde::Serialize;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use super::Context;
use crate::args::RunPlace;
use crate::failure::SUCCESS;
use crate::output::visible;

/// Show runs in the browser while they run
///
/// Serves pages to this machine only, with the curves of the report, the current architecture and the time left, and
/// keeps them up to date. It only reads, so it does not disturb runs. Ctrl-C ends it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  enas watch                                   all runs under runs/, also those that begin later
  enas watch runs/photos-search-1              one run; a folder of runs works as well
  enas watch runs/photos-auto-1 --port 8080    the phases of an automatic run, at a port of your choice
  ssh -L 6007:127.0.0.1:6007 HOST              then http://localhost:6007/ shows the runs of enas watch on HOST")]
pub(crate) struct Args {
    #[command(flatten)]
    place: RunPlace,
    /// The port to listen on; 0 takes any that is free [default: the first free one from 6007 on]
    #[arg(long, value_name = "N")]
    port: Option<u16>,
}

/// Runs `enas watch`.
///
/// # Errors
/// If the directory does not exist or the port is not available.
pub(crate) fn run(context: &Context, args: &Args) -> Result<u8> {
    #[derive(Serialize)]
    struct Serving<'a> {
        url: &'a str,
    }
    // The default directory may appear later; one that was named must exist.
    let (root, may_come) = args.place.path().map_or((Path::new("runs"), true), |run| (run, false));
    let stop = SyncArc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        flag::register(signal, SyncArc::clone(&stop)).context("cannot listen for Ctrl-C")?;
    }
    let server = Server::open(root, may_come, args.port)?;
    let url = server.url();
    context.console.note(&format!("watching {} at {url} (Ctrl-C ends it)", visible(&root)));
    if context.out.json {
        context.out.print(&Serving { url }, |_| Ok(()))?;
    }
    server.serve(&stop)?;
    Ok(SUCCESS)
}
