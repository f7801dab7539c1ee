//! Depthwise convolution on one plane: one k×k filter for one channel of sixteen images.
//!
//! Both directions read a bordered copy of the rows they need, with zeros left and right of them. So no inner loop
//! tests for the left or right border. Rows above and below the plane are left out of the sums instead. The copy also
//! applies the pending normalisation and the ReLU.

mod bordered;
mod correlate;
mod filter_gradient;

pub(super) use self::bordered::{BorderedRows, Pad, bordered_width};
pub(super) use self::correlate::Correlate;
pub(super) use self::filter_gradient::{FilterGradient, LaneSums};
