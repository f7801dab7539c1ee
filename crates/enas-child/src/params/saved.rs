//! All tensors of a network, weights and moving statistics, to save and restore.

use super::state::missing_tensor;
use super::table::NamedTensor;
use super::{NetworkRunningStats, Params};
use crate::error::Error;

/// Copies of all weights and moving statistics.
pub(crate) fn export_weights(
    params: &Params,
    running: &NetworkRunningStats,
) -> Result<Vec<NamedTensor>, Error> {
    let mut tensors = params.export()?;
    tensors.extend(running.export()?);
    Ok(tensors)
}

/// [`export_weights`], and everything else that is needed to continue training: momentum, averages, and the sums of
/// moving statistics.
pub(crate) fn export_state(
    params: &Params,
    running: &NetworkRunningStats,
) -> Result<Vec<NamedTensor>, Error> {
    let mut tensors = export_weights(params, running)?;
    tensors.extend(params.export_momentum()?);
    tensors.extend(params.export_averages()?);
    tensors.extend(running.export_sums()?);
    Ok(tensors)
}

/// The tensors of all weights and moving statistics themselves.
pub(crate) fn named_tensors(params: &Params, running: &NetworkRunningStats) -> Vec<NamedTensor> {
    let weights = params.tensors().map(|(name, tensor)| (name.to_owned(), tensor.clone()));
    weights.chain(running.tensors()).collect()
}

/// Loads tensors by name; refuses names that the network does not have.
pub(crate) fn import_all(
    params: &Params,
    running: &NetworkRunningStats,
    tensors: &[NamedTensor],
) -> Result<(), Error> {
    for tensor in tensors {
        if !params.import(tensor)? && !running.import(tensor)? {
            return Err(Error::State(format!("the network has no tensor named {}", tensor.0)));
        }
    }
    Ok(())
}

/// Refuses tensors without one of the names `wanted`.
pub(crate) fn require_all<'n>(
    wanted: impl IntoIterator<Item = &'n str>,
    tensors: &[NamedTensor],
) -> Result<(), Error> {
    match missing_tensor(wanted, tensors) {
        Some(missing) => Err(Error::State(format!("{missing} is missing"))),
        None => Ok(()),
    }
}
