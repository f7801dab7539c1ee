//! Progress reports.

/// Receives the progress of downloads and unpacking, possibly from several threads at once.
pub trait Progress: Sync {
    /// A task with this name begins: a download, or the writing of images.
    fn begin(&self, _what: &str, _unit: Unit) {}
    /// Sets the total amount of work; 0 if it is unknown.
    fn set_length(&self, _length: u64) {}
    /// Sets the amount of work done.
    fn set_position(&self, _position: u64) {}
    /// Adds to the amount of work done.
    fn inc(&self, _more: u64) {}
    /// The task has ended.
    fn end(&self) {}
    /// A warning for the user.
    fn warn(&self, _message: &str) {}
}

/// The unit of progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Downloaded bytes.
    Bytes,
    /// Written images.
    Images,
}

/// Ignores all reports.
impl Progress for () {}
