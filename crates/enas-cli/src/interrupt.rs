//! The first Ctrl-C asks the running work to stop and save; the second ends the program at once.
//!
//! Only commands that can save install this. The others keep the system's own behaviour.

use std::sync::Arc as SyncArc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::Context;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::failure::{INTERRUPTED, TERMINATED};

/// Whether the user asked to stop.
#[derive(Clone, Debug)]
pub(crate) struct Interrupt {
    asked: SyncArc<AtomicBool>,
    code: SyncArc<AtomicUsize>,
}

impl Interrupt {
    /// Starts to listen for Ctrl-C and SIGTERM. SIGHUP is left alone, so that `nohup` works.
    ///
    /// # Errors
    /// If the system refuses the handlers.
    pub(crate) fn listen() -> anyhow::Result<Self> {
        let interrupt = Self {
            asked: SyncArc::new(AtomicBool::new(false)),
            code: SyncArc::new(AtomicUsize::new(usize::from(INTERRUPTED))),
        };
        for (signal, code) in [(SIGINT, INTERRUPTED), (SIGTERM, TERMINATED)] {
            // Handlers run in this order, so the first signal finds that nobody asked before.
            flag::register_conditional_shutdown(signal, i32::from(code), SyncArc::clone(&interrupt.asked))
                .and_then(|_| flag::register(signal, SyncArc::clone(&interrupt.asked)))
                .and_then(|_| {
                    flag::register_usize(signal, SyncArc::clone(&interrupt.code), usize::from(code))
                })
                .context("cannot listen for Ctrl-C")?;
        }
        Ok(interrupt)
    }

    /// Whether a signal has come.
    pub(crate) fn asked(&self) -> bool {
        self.asked.load(Ordering::SeqCst)
    }

    /// The exit code that tells which signal it was.
    pub(crate) fn code(&self) -> u8 {
        u8::try_from(self.code.load(Ordering::SeqCst)).unwrap_or(INTERRUPTED)
    }
}
