//! Where a setting comes from: every message about one names the place to change.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// Where a setting comes from, as messages name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// A line of the file.
    Line(Arc<Path>, usize),
    /// The file as a whole.
    File(Arc<Path>),
    /// An environment variable.
    Variable(String),
    /// The command line.
    Override,
}

impl Origin {
    /// The line of the file; nothing elsewhere has one.
    pub(crate) fn line(&self) -> Option<usize> {
        match self {
            Self::Line(_, line) => Some(*line),
            _ => None,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Line(path, line) => write!(f, "{}:{line}", path.display()),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Variable(name) => f.write_str(name),
            Self::Override => f.write_str("--override"),
        }
    }
}
