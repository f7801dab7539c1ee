//! The network as one candle operation: images to features. It has no gradient.

use candle_core::{CpuStorage, CustomOp1, Layout, Shape, bail};
use enas_arc::MacroArc;

use super::MacroChild;
use crate::autograd::Tape;
use crate::backend::{Cpu, Statistics, in_thread_pool};
use crate::loss::LossRule;

/// One evaluation: images `[n, c, h, w]` to features `[n, channels]`.
pub(super) struct Evaluation<'a> {
    pub(super) child: &'a MacroChild,
    pub(super) arc: &'a MacroArc,
    pub(super) statistics: Statistics,
}

impl CustomOp1 for Evaluation<'_> {
    fn name(&self) -> &'static str {
        "macro network"
    }

    fn cpu_fwd(&self, images: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let (CpuStorage::F32(images), Some((from, to)), [n, ..]) =
            (images, layout.contiguous_offsets(), layout.dims())
        else {
            bail!("images {:?} are not contiguous F32 numbers", layout.shape());
        };
        let Self { child, arc, statistics } = *self;
        let running = child.running.current().map_err(candle_core::Error::wrap)?;
        let evaluate = || {
            child.params.read(|weights| {
                let cpu = Cpu { weights, running: &running, loss: LossRule::default() };
                let mut tape = Tape::new(&cpu, statistics, false);
                let images = tape.input(child.map(&images[from..to], *n));
                Ok(child.network.forward(&mut tape, arc, images).means.value.to_nchw())
            })
        };
        let features = in_thread_pool(evaluate).map_err(candle_core::Error::wrap)?;
        Ok((CpuStorage::F32(features), Shape::from((*n, child.network.classifier.channels))))
    }
}
