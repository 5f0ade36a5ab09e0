//! What a pull tells while it is at work.

/// What a pull is at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Bytes come in.
    Download,
    /// The signature is checked.
    Verify,
    /// The image is decompressed.
    Unpack,
}

impl Step {
    /// For people and programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Download => "download",
            Self::Verify => "verify",
            Self::Unpack => "unpack",
        }
    }
}

/// Someone who tells people (or programs) how a pull goes.
pub trait Bar: Send {
    /// The next step begins; `total` bytes, if that is known.
    fn begin(&mut self, step: Step, total: Option<u64>);
    /// So many of the bytes are done. Called very often.
    fn at(&mut self, done: u64);
    /// The step is over, well or not.
    fn end(&mut self);
    /// A sentence.
    fn note(&mut self, text: &str);
}
