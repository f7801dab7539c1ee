//! The directory of a run: created once, never overwritten, resumable at any time.
//!
//! ```text
//! runs/<data>-search-<n>/
//!   config.toml        every setting, and the version that wrote it
//!   split.json         the split that each file belongs to
//!   pictures.json      a digest of every image file
//!   manifest.json      version, revision, device, threads, data fingerprint, a copy of the settings
//!   run.lock           advisory file lock of the process that works here
//!   metrics.jsonl      one JSON object per event
//!   events.out.tfevents.*  the same scalars for TensorBoard, one file per session
//!   checkpoints/       the newest two, and the newest that ends an epoch
//!   best.arc.json      the arc found or trained
//!   model.safetensors  the trained network (training only)
//!   start.safetensors  the network whose weights a training started from (training only, optional)
//! ```

pub mod create;
pub mod data_identity;
pub mod files;
pub mod known_images;
pub mod lock;
pub mod manifest;
pub mod reader;
pub mod run;
pub mod settings_diff;
pub mod work_directory;
