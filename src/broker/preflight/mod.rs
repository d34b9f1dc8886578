//! What would keep a broker from starting, found without starting it.
//!
//! Always holds: nothing is created or changed, and what is opened is closed again. Looks at this machine only; checks
//! that need ZooKeeper add their own [`Finding`]s. Never to be run in a process that has its data directories open:
//! closing a directory's lock file gives up the process's own lock.

use std::fmt;

use super::config::BrokerConfig;
use super::config::Problem;
use super::limits;

mod address;
mod directory;
mod port;
mod process;

pub use address::advertised;
pub use directory::directories;
pub use port::ports;
pub use process::Holder;
pub use process::listening_on;

/// A broker with fewer files than this soon has none left for connections.
const FEW_OPEN_FILES: u64 = 4096;

/// Whether a finding stops the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The start goes on.
    Warning,
    /// The start would fail, or the broker would be of no use.
    Error,
}

/// One thing that was found, and one thing to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Whether it stops the start.
    pub severity: Severity,
    /// What was found and where.
    pub what: String,
    /// One command or key.
    pub hint: String,
}

impl Finding {
    /// Something that stops the start.
    pub fn error(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(Severity::Error, what, hint)
    }

    /// Something to think about.
    pub fn warning(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(Severity::Warning, what, hint)
    }

    /// Names the place of the setting that it is about.
    fn at(mut self, place: &str) -> Self {
        self.what = format!("{} ({place})", self.what);
        self
    }

    fn new(severity: Severity, what: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            severity,
            what: what.into(),
            hint: hint.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        write!(f, "{severity}: {}\nhint: {}", self.what, self.hint)
    }
}

impl From<Problem> for Finding {
    fn from(problem: Problem) -> Self {
        Self::error(problem.statement(), problem.hint)
    }
}

/// Everything that can be found on this machine. Blocks: it resolves names and reads directories.
pub fn check(config: &BrokerConfig) -> Vec<Finding> {
    let mut findings = advertised(config);
    findings.extend(ports(config));
    findings.extend(directories(config));
    findings.extend(open_files(limits::reachable_open_files()));
    findings
}

/// `None` is an unlimited number.
fn open_files(reachable: limits::OpenFiles) -> Option<Finding> {
    let reachable = reachable.filter(|limit| *limit < FEW_OPEN_FILES)?;
    Some(Finding::warning(
        format!("this process may open no more than {reachable} files: connections and segments"),
        "raise the hard limit: ulimit -Hn 65536 as root, LimitNOFILE=65536 in a unit, --ulimit nofile=65536 for docker",
    ))
}

#[cfg(test)]
mod tests {
    use super::super::config::Sources;
    use super::*;

    /// A configuration that listens nowhere, with its data in a directory.
    pub(super) fn config(overrides: &[(&str, &str)]) -> BrokerConfig {
        let defaults = [("port", "0"), ("metrics.listen", ""), ("host.name", "127.0.0.1")];
        let overrides = defaults.iter().chain(overrides);
        let overrides = overrides
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        let sources = Sources {
            overrides,
            ..Sources::default()
        };
        BrokerConfig::load(sources).unwrap().config
    }

    #[test]
    fn a_machine_that_is_in_order_gives_no_finding() {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("not/there/yet");
        let findings = check(&config(&[("log.dirs", data.to_str().unwrap())]));
        // The limit of open files is the machine's own affair.
        assert!(
            findings
                .iter()
                .all(|finding| finding.severity == Severity::Warning),
            "{findings:?}"
        );
        assert!(!directory.path().join("not").exists());
    }

    #[test]
    fn a_wrong_setting_reads_the_same_as_a_finding() {
        let sources = Sources {
            overrides: vec![("port".to_owned(), "x".to_owned())],
            ..Sources::default()
        };
        let problem = BrokerConfig::load(sources).unwrap_err().all.remove(0);
        assert_eq!(Finding::from(problem.clone()).to_string(), problem.to_string());
    }

    #[test]
    fn a_low_limit_of_open_files_is_a_warning() {
        assert_eq!(open_files(None), None);
        assert_eq!(open_files(Some(FEW_OPEN_FILES)), None);
        let finding = open_files(Some(256)).unwrap();
        assert_eq!(finding.severity, Severity::Warning);
        assert!(finding.to_string().starts_with("warning: "), "{finding}");
        assert!(finding.what.contains("256"), "{finding}");
    }
}
