//! Networks of one architecture, of either space, for programs that only use them.

use std::fmt::Debug;

use candle_core::Tensor;

use crate::{Child, Costs, Error, InputShape, MacroChild, Norm, Outline};

/// A network of one architecture at inference.
///
/// [`Child`] and [`MacroChild`] are such networks if they were built for one architecture; a network of shared weights
/// answers every call with an error.
pub trait FixedNetwork: Debug {
    /// The images that it takes.
    fn input(&self) -> InputShape;

    /// Columns of its logits.
    fn n_classes(&self) -> usize;

    /// Trained weights, without the auxiliary head.
    fn n_params(&self) -> usize;

    /// What each part of it makes and costs.
    ///
    /// # Errors
    /// If the network shares weights.
    fn parts(&self) -> Result<Costs, Error>;

    /// Logits `[n, classes]` of normalised images `[n, c, h, w]`, batch norms with their moving statistics.
    ///
    /// # Errors
    /// If the images do not fit, or the network shares weights.
    fn infer(&self, images: &Tensor) -> Result<Tensor, Error>;

    /// The same network with every batch norm folded into the convolution before it.
    ///
    /// # Errors
    /// If the network shares weights.
    fn fold(&self) -> Result<Box<dyn FixedNetwork>, Error>;

    /// What it computes, as plain data.
    ///
    /// # Errors
    /// If the network shares weights.
    fn outline(&self) -> Result<Outline, Error>;
}

impl FixedNetwork for Child {
    fn input(&self) -> InputShape {
        self.input()
    }

    fn n_classes(&self) -> usize {
        self.n_classes()
    }

    fn n_params(&self) -> usize {
        self.n_params()
    }

    fn parts(&self) -> Result<Costs, Error> {
        self.costs(self.arc().ok_or_else(shares_weights)?)
    }

    fn infer(&self, images: &Tensor) -> Result<Tensor, Error> {
        let arc = self.arc().ok_or_else(shares_weights)?;
        self.logits(arc, images, Norm::RunningStatistics, None)
    }

    fn fold(&self) -> Result<Box<dyn FixedNetwork>, Error> {
        Ok(Box::new(self.folded()?))
    }

    fn outline(&self) -> Result<Outline, Error> {
        self.outline()
    }
}

impl FixedNetwork for MacroChild {
    fn input(&self) -> InputShape {
        self.input()
    }

    fn n_classes(&self) -> usize {
        self.n_classes()
    }

    fn n_params(&self) -> usize {
        self.n_params()
    }

    fn parts(&self) -> Result<Costs, Error> {
        self.costs(self.arc().ok_or_else(shares_weights)?)
    }

    fn infer(&self, images: &Tensor) -> Result<Tensor, Error> {
        let arc = self.arc().ok_or_else(shares_weights)?;
        self.logits(arc, images, Norm::RunningStatistics, None)
    }

    fn fold(&self) -> Result<Box<dyn FixedNetwork>, Error> {
        Ok(Box::new(self.folded()?))
    }

    fn outline(&self) -> Result<Outline, Error> {
        self.outline()
    }
}

fn shares_weights() -> Error {
    Error::Arc("the network shares weights; build the network of one architecture".to_owned())
}
