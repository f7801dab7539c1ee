//! The logs of a run: `metrics.jsonl`, and the same scalars for TensorBoard.

pub mod jsonl;
pub mod tensorboard;
