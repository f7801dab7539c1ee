//! A common interface to networks of one architecture, of the micro or the macro search space, for inference.

use std::fmt::Debug;

use candle_core::Tensor;

use crate::analysis::{Costs, InferenceGraph};
use crate::child::{Child, Norm};
use crate::config::InputShape;
use crate::error::Error;
use crate::macro_net::MacroChild;

/// A network of one architecture, for inference.
///
/// [`Child`] and [`MacroChild`] implement it for networks that were built for one architecture. With shared weights,
/// all methods that return a `Result` fail.
pub trait FixedNetwork: Debug {
    /// The shape of the images that the network takes.
    fn input(&self) -> InputShape;

    /// Number of classes.
    fn n_classes(&self) -> usize;

    /// Number of trained weights, batch norm included, without the auxiliary head.
    fn n_params(&self) -> usize;

    /// Output shape, weights and multiply-adds of each part of the network.
    ///
    /// # Errors
    /// If the network shares weights.
    fn parts(&self) -> Result<Costs, Error>;

    /// Logits `[n, classes]` of normalised images `[n, c, h, w]`. Batch norms use their moving statistics.
    ///
    /// # Errors
    /// If the images do not fit the network, or if the network shares weights.
    fn infer(&self, images: &Tensor) -> Result<Tensor, Error>;

    /// The same network with every batch norm folded into the convolution before it.
    ///
    /// # Errors
    /// If the network shares weights.
    fn fold(&self) -> Result<Box<dyn FixedNetwork>, Error>;

    /// The inference graph of the network, as plain data.
    ///
    /// # Errors
    /// If the network shares weights.
    fn inference_graph(&self) -> Result<InferenceGraph, Error>;
}

/// Both kinds of network have the same methods, of different types.
macro_rules! fixed_network {
    ($network:ty) => {
        impl FixedNetwork for $network {
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

            fn inference_graph(&self) -> Result<InferenceGraph, Error> {
                self.inference_graph()
            }
        }
    };
}

fixed_network!(Child);
fixed_network!(MacroChild);

fn shares_weights() -> Error {
    Error::Arc("the network shares weights; build the network of one architecture".to_owned())
}
