//! Handling of Ctrl-C: the first one asks the work to stop and save, the second one ends the program immediately.
//!
//! Only commands that can save their state use it. The others keep the default behaviour of the system.

use std::sync::Arc as SyncArc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::Context;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::failure::{INTERRUPTED, TERMINATED};

/// The state of the request to stop.
#[derive(Clone, Debug)]
pub(crate) struct Interrupt {
    asked: SyncArc<AtomicBool>,
    code: SyncArc<AtomicUsize>,
}

impl Interrupt {
    /// Installs handlers for SIGINT (Ctrl-C) and SIGTERM. SIGHUP is not handled, so that `nohup` works.
    ///
    /// # Errors
    /// If the operating system refuses the handlers.
    pub(crate) fn listen() -> anyhow::Result<Self> {
        let interrupt = Self {
            asked: SyncArc::new(AtomicBool::new(false)),
            code: SyncArc::new(AtomicUsize::new(usize::from(INTERRUPTED))),
        };
        for (signal, code) in [(SIGINT, INTERRUPTED), (SIGTERM, TERMINATED)] {
            // Handlers run in this order. At the first signal the flag is still false, so the program is not ended.
            flag::register_conditional_shutdown(signal, i32::from(code), SyncArc::clone(&interrupt.asked))
                .and_then(|_| flag::register(signal, SyncArc::clone(&interrupt.asked)))
                .and_then(|_| {
                    flag::register_usize(signal, SyncArc::clone(&interrupt.code), usize::from(code))
                })
                .context("cannot listen for Ctrl-C")?;
        }
        Ok(interrupt)
    }

    /// Whether a signal was received.
    pub(crate) fn asked(&self) -> bool {
        self.asked.load(Ordering::SeqCst)
    }

    /// The exit code for the received signal.
    pub(crate) fn code(&self) -> u8 {
        u8::try_from(self.code.load(Ordering::SeqCst)).unwrap_or(INTERRUPTED)
    }
}
