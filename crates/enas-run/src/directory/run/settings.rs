//! The settings of an open run, its device, its memory and its first weights.

use std::path::Path;

use enas_kernels::gpu::Gpu;

use super::Run;
use crate::choice::Choice;
use crate::config::{RunConfig, Settings};
use crate::directory::files::{CONFIG, MANIFEST, START, write_config, write_json};
use crate::directory::settings_diff;
use crate::error::{Error, Result};
use crate::files::safetensors::NamedTensor;
use crate::memory::MemoryPlan;
use crate::model::{Model, warm_start};
use crate::network::{GPU, Network};
use crate::setting_change::SettingChange;

impl Run {
    /// The configuration that the run was started with.
    ///
    /// # Errors
    /// - [`crate::Error::RunDirectory`] if the run is of the other kind.
    /// - [`crate::Error::Config`] if the file was edited and is now invalid.
    /// - [`crate::Error::SettingsChanged`] if it was edited so that the results would change.
    pub fn config<C: Settings>(&self) -> Result<C> {
        let config = self.reader().config()?;
        self.permitted_changes(&config)?;
        Ok(config)
    }

    /// Refuses settings with which this run could not continue.
    ///
    /// # Errors
    /// As [`Run::adopt`].
    pub fn accepts<C: Settings>(&self, asked: &C) -> Result<()> {
        self.permitted_changes(asked).map(drop)
    }

    /// Continues with the settings `asked`. They may differ from those of the run only where results do not depend on
    /// them.
    ///
    /// # Errors
    /// [`crate::Error::SettingsChanged`] with every other difference; errors of [`Run::config`].
    pub fn adopt<C: Settings>(&mut self, asked: &C) -> Result<()> {
        let changes = self.permitted_changes(asked)?;
        for SettingChange { key, of_run, asked } in &changes {
            tracing::info!("{key} is {asked} from now on; it was {of_run}");
        }
        if changes.is_empty() && self.manifest.settings.is_some() {
            return Ok(());
        }
        // In this order, so that a crash in between leaves a difference without effect.
        write_config(&self.dir.join(CONFIG), asked)?;
        self.manifest.settings = Some(settings_diff::plain(asked));
        write_json(&self.dir.join(MANIFEST), &self.manifest)
    }

    /// The permitted differences from the settings of the run.
    fn permitted_changes<C: Settings>(&self, asked: &C) -> Result<Vec<SettingChange>> {
        let of_run = match &self.manifest.settings {
            Some(settings) if C::KIND == self.manifest.kind => settings_diff::completed::<C>(settings),
            _ => settings_diff::plain(&self.reader().config::<C>()?),
        };
        settings_diff::accept(&self.dir, &of_run, &settings_diff::plain(asked))
    }

    /// Computes on `gpu` instead of the CPU. A run may continue on another device; from there on its results differ
    /// by rounding.
    ///
    /// # Errors
    /// [`crate::Error::Io`] if the manifest, which names the device, cannot be written.
    pub fn use_gpu(&mut self, gpu: Gpu) -> Result<()> {
        self.manifest.device = gpu.name();
        self.gpu = Some(gpu);
        write_json(&self.dir.join(MANIFEST), &self.manifest)
    }

    /// Records in the manifest which search found the arc of this training.
    ///
    /// # Errors
    /// [`crate::Error::Io`] if the manifest cannot be written.
    pub fn set_search(&mut self, search: &Path) -> Result<()> {
        // The manifest is UTF-8; other bytes of the path are replaced (lossy conversion).
        self.manifest.search = Some(search.to_string_lossy().into_owned().into());
        write_json(&self.dir.join(MANIFEST), &self.manifest)
    }

    /// Records in the manifest the settings that were chosen for the images, with reasons.
    ///
    /// # Errors
    /// [`crate::Error::Io`] if the manifest cannot be written.
    pub fn set_choices(&mut self, choices: &[Choice]) -> Result<()> {
        self.manifest.choices = choices.to_vec();
        write_json(&self.dir.join(MANIFEST), &self.manifest)
    }

    /// Warm start: the training begins with those weights of a trained network that fit, instead of random ones. A
    /// copy of the model is kept in the directory, so that the run does not depend on the original.
    ///
    /// A network that learned from the validation or test images of this run is replaced by the one before its refit,
    /// or causes a warning.
    ///
    /// # Errors
    /// [`crate::Error::File`] if `model` is not a model file; [`crate::Error::Io`] if it cannot be read or copied.
    pub fn set_start(&mut self, model: &Path) -> Result<()> {
        // Loaded before it is copied, so that a file that is not a model is refused.
        warm_start::network(model, &self.dir, false)?.save_copy(&self.dir.join(START))
    }

    /// [`set_start`](Self::set_start) with a network that was chosen already.
    ///
    /// # Errors
    /// As [`set_start`](Self::set_start).
    pub fn copy_start(&mut self, model: &Path) -> Result<()> {
        Model::load(model)?.save_copy(&self.dir.join(START))
    }

    /// The weights for a warm start; `None` without one.
    ///
    /// # Errors
    /// [`crate::Error::File`] or [`crate::Error::Io`] if the model cannot be read.
    pub fn start(&self) -> Result<Option<Vec<NamedTensor>>> {
        let path = self.dir.join(START);
        if !path.exists() {
            return Ok(None);
        }
        Ok(Some(Model::load(&path)?.weights()?))
    }

    /// Sets the plan of the memory. A run may continue with another plan than it began with.
    ///
    /// # Errors
    /// [`crate::Error::Io`] if the manifest, which holds the plan, cannot be written.
    pub fn set_memory(&mut self, plan: MemoryPlan) -> Result<()> {
        plan.begin();
        self.manifest.memory = Some(plan);
        write_json(&self.dir.join(MANIFEST), &self.manifest)
    }

    /// The plan of the memory, if there is one.
    pub fn memory(&self) -> Option<&MemoryPlan> {
        self.manifest.memory.as_ref()
    }

    /// Moves a network to the run's device, and sets the format of activations and the activation checkpointing.
    ///
    /// # Errors
    /// [`crate::Error::Config`] if a setting needs a GPU and there is none; [`crate::Error::CellsOnly`] for a macro
    /// network on a GPU; errors of the GPU.
    pub fn place(&self, network: &mut Network, config: &RunConfig) -> Result<()> {
        config.check_device(self.gpu.as_ref())?;
        let Network::Micro(child) = network else {
            return if self.gpu.is_some() { Err(Error::CellsOnly(GPU)) } else { Ok(()) };
        };
        child.recompute(self.memory().map(|plan| plan.recompute).unwrap_or_default());
        match &self.gpu {
            Some(gpu) => Ok(child.use_gpu(gpu, config.activations.into())?),
            None => Ok(()),
        }
    }
}
