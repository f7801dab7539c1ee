//! Who is told how the work goes.

/// Is told how downloads and unpacking get on, possibly by several threads at once.
pub trait Progress: Sync {
    /// Something of this name begins: a download, or the writing of images.
    fn begin(&self, _what: &str, _unit: Unit) {}
    /// How much there is to do; 0 if that is not known.
    fn set_length(&self, _length: u64) {}
    /// How much has been done.
    fn set_position(&self, _position: u64) {}
    /// So much more has been done.
    fn inc(&self, _more: u64) {}
    /// What began has ended.
    fn end(&self) {}
    /// Something that a user should know.
    fn warn(&self, _message: &str) {}
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Bytes of a download.
    Bytes,
    /// Images that are written.
    Images,
}

/// Nobody is told.
impl Progress for () {}
