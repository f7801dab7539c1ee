//! Optional inputs of a report.

use std::fmt;
use std::path::Path;

use enas_data::Dataset;
use enas_run::Model;

/// The name of a report in a run directory.
pub const FILE_NAME: &str = "report.html";

/// Moves a network to the device that computes.
pub type Place<'a> = &'a dyn Fn(&mut Model) -> enas_run::Result<()>;

/// Optional inputs of a report.
#[derive(Clone, Copy, Default)]
pub struct ReportOptions<'a> {
    /// The file to write; `None` means `report.html` in the run directory.
    pub out: Option<&'a Path>,
    /// The images of the run, if they are loaded already.
    pub data: Option<&'a Dataset>,
    /// Moves the network to a device other than the CPU before it predicts.
    pub place: Option<Place<'a>>,
    /// Wall time of an automatic run so far, in seconds; `None` takes the time that its directory records.
    pub seconds: Option<f64>,
    /// Seconds that the whole report may take; `None` means no limit. With too little time, maps of occlusion
    /// sensitivity and the time per image are left out.
    pub left: Option<f64>,
}

impl fmt::Debug for ReportOptions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let data = self.data.map(|data| &data.name);
        let place = self.place.is_some();
        let mut options = f.debug_struct("ReportOptions");
        options.field("out", &self.out).field("data", &data).field("place", &place);
        options.field("seconds", &self.seconds).field("left", &self.left).finish()
    }
}
