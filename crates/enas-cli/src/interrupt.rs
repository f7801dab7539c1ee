//! The first Ctrl-C asks the running work to stop and save; the second ends the program at once.
//!
//! Only commands that can save install this. The others keep the system's own behaviour.

use std::io::{self, Write};
use std::process;
use std::sync::Arc as SyncArc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;

use crate::failure;

/// Whether the user asked to stop.
#[derive(Clone, Debug)]
pub(crate) struct Interrupt(SyncArc<AtomicBool>);

impl Interrupt {
    /// Starts to listen for SIGINT, SIGTERM and SIGHUP (on Windows: Ctrl-C and closing the console).
    ///
    /// # Errors
    /// If the system refuses the handler.
    pub(crate) fn listen() -> anyhow::Result<Self> {
        let asked = SyncArc::new(AtomicBool::new(false));
        let flag = SyncArc::clone(&asked);
        ctrlc::set_handler(move || on_signal(&flag)).context("cannot listen for Ctrl-C")?;
        Ok(Self(asked))
    }

    /// Whether a signal has come.
    pub(crate) fn asked(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

fn on_signal(asked: &AtomicBool) {
    if asked.swap(true, Ordering::SeqCst) {
        process::exit(i32::from(failure::INTERRUPTED));
    }
    // A closed stderr must not keep the work from being saved.
    let _ = writeln!(io::stderr(), "\nstopping: finishing this step and saving (again to end at once)");
}
