//! What is wrong with a configuration: everything at once, each with its place and a hint.

use std::fmt;

use super::origin::Origin;

/// One thing that stops the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong, beginning with the key where there is one.
    pub what: String,
    /// The value as it was given.
    pub value: String,
    /// Where the value comes from.
    pub origin: Origin,
    /// One thing to do about it.
    pub hint: String,
}

impl Problem {
    /// What is wrong, the value and its place in one line.
    pub fn statement(&self) -> String {
        let value = if self.value.is_empty() {
            "\"\""
        } else {
            &self.value
        };
        format!("{}: {} ({})", self.what, value, self.origin)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}\nhint: {}", self.statement(), self.hint)
    }
}

/// Everything that is wrong. Displayed as a line per warning and two per problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems {
    /// What stops the start, in the order of the file; never empty.
    pub all: Vec<Problem>,
    /// A line for every key that does nothing, among them mistyped ones.
    pub warnings: Vec<String>,
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for warning in &self.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        for (index, problem) in self.all.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
