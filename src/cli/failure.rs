//! What a command says when it cannot do its work: one line and one hint per mistake.

use std::error::Error;
use std::fmt;

use crate::broker::config::Problems;
use crate::broker::preflight::Finding;
use crate::client;
use crate::net::CallError;
use crate::protocol::ErrorCode;
use crate::zookeeper;

/// Why a command failed, for a person to read. Displayed without a final line end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    mistakes: Vec<Mistake>,
    /// What else was seen on the way, a line each.
    warnings: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Mistake {
    what: String,
    hint: Option<String>,
}

impl Failure {
    /// One thing that is wrong, and one thing to do about it.
    pub(super) fn new(what: impl Into<String>, hint: impl Into<String>) -> Self {
        let (what, hint) = (what.into(), Some(hint.into()));
        Self::from(vec![Mistake { what, hint }])
    }

    /// One thing that is wrong, and perhaps one thing to do about it.
    pub(super) fn of(error: &(dyn Error + 'static), hint: Option<String>) -> Self {
        Self::from(vec![Mistake {
            what: chain(error),
            hint,
        }])
    }

    /// Names the place of the setting that it is about.
    pub(super) fn at(mut self, place: &str) -> Self {
        for mistake in &mut self.mistakes {
            mistake.what = format!("{} ({place})", mistake.what);
        }
        self
    }

    /// Everything that was found; none if there is nothing.
    pub(super) fn of_findings(findings: impl IntoIterator<Item = Finding>) -> Option<Self> {
        let mistake = |finding: Finding| Mistake {
            what: finding.what,
            hint: Some(finding.hint),
        };
        let mistakes: Vec<Mistake> = findings.into_iter().map(mistake).collect();
        (!mistakes.is_empty()).then_some(Self::from(mistakes))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for warning in &self.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        for (index, mistake) in self.mistakes.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "error: {}", mistake.what)?;
            if let Some(hint) = &mistake.hint {
                write!(f, "\nhint: {hint}")?;
            }
        }
        Ok(())
    }
}

impl Error for Failure {}

impl From<Vec<Mistake>> for Failure {
    fn from(mistakes: Vec<Mistake>) -> Self {
        let warnings = Vec::new();
        Self { mistakes, warnings }
    }
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        let mistake = |problem: crate::broker::config::Problem| Mistake {
            what: problem.statement(),
            hint: Some(problem.hint),
        };
        Self {
            mistakes: problems.all.into_iter().map(mistake).collect(),
            warnings: problems.warnings,
        }
    }
}

impl From<client::Error> for Failure {
    fn from(error: client::Error) -> Self {
        Self::of(&error, client_hint(&error))
    }
}

impl From<zookeeper::Error> for Failure {
    fn from(error: zookeeper::Error) -> Self {
        Self::of(&error, zookeeper_hint(&error))
    }
}

/// The error and its causes in one line.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        // Some errors tell their cause themselves.
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}

fn client_hint(error: &client::Error) -> Option<String> {
    let hint = match error {
        client::Error::NoBroker { .. } => {
            "start a broker (gregor dev, or gregor server), or name a running one: --broker-list host:port"
                .to_owned()
        }
        client::Error::Topic {
            topic,
            code: ErrorCode::UnknownTopicOrPartition,
        } => format!(
            "brokers here do not create topics by themselves: \
             kafka-topics.sh --create --topic {topic} --partitions 1 --replication-factor 1 --zookeeper host:port"
        ),
        client::Error::Topic {
            code: ErrorCode::InvalidTopic,
            ..
        } => "a topic's name has 1 to 255 letters, digits, dots, underscores and hyphens".to_owned(),
        client::Error::Topic {
            code: ErrorCode::LeaderNotAvailable,
            ..
        }
        | client::Error::NoLeader { .. } => {
            "no broker that has the partition is alive; see the brokers' logs".to_owned()
        }
        client::Error::Refused {
            code: ErrorCode::MessageSizeTooLarge,
            ..
        } => "send smaller messages, or raise message.max.bytes at the brokers".to_owned(),
        client::Error::Refused {
            code: ErrorCode::MessageSetSizeTooLarge,
            ..
        } => "send fewer messages together (--batch-size), or raise the topic's segment.bytes".to_owned(),
        client::Error::Refused {
            code: ErrorCode::NotEnoughReplicas,
            ..
        } => "start more brokers, or lower the topic's min.insync.replicas".to_owned(),
        client::Error::Call(
            CallError::Connect { endpoint, .. } | CallError::ConnectTimeout { endpoint, .. },
        ) => {
            format!("{endpoint} is what that broker tells its clients: correct its advertised.host.name")
        }
        _ => return None,
    };
    Some(hint)
}

fn zookeeper_hint(error: &zookeeper::Error) -> Option<String> {
    let hint = match error {
        zookeeper::Error::Unreachable { .. } => {
            "start ZooKeeper (/usr/share/zookeeper/bin/zkServer.sh start), or correct the hosts"
        }
        zookeeper::Error::NoChroot { .. } => {
            "no broker has ever run there: correct the path behind the hosts"
        }
        zookeeper::Error::Address { .. } => "write it as host:port,host:port/chroot",
        _ => return None,
    };
    Some(hint.to_owned())
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::types::BrokerId;
    use crate::types::Endpoint;

    #[test]
    fn every_mistake_has_one_line_and_one_hint() {
        let findings = [
            Finding::error("port taken", "take another"),
            Finding::error("disk full", "delete"),
        ];
        let failure = Failure::of_findings(findings).unwrap();
        assert_eq!(
            failure.to_string(),
            "error: port taken\nhint: take another\nerror: disk full\nhint: delete"
        );
        assert_eq!(Failure::of_findings([]), None);
    }

    #[test]
    fn an_error_is_told_with_its_causes() {
        let endpoint = Endpoint {
            id: BrokerId(1),
            host: "b1".to_owned(),
            port: 9092,
        };
        let source = io::Error::from(io::ErrorKind::ConnectionRefused);
        let failure = Failure::from(client::Error::Call(CallError::Connect { endpoint, source }));
        let told = crate::log::Error::Io {
            path: "/d".into(),
            source: io::Error::other("broken"),
        };
        assert_eq!(chain(&told), "access /d: broken");
        assert_eq!(
            failure.to_string(),
            "error: connect to b1:9092: connection refused\n\
             hint: b1:9092 is what that broker tells its clients: correct its advertised.host.name"
        );
    }
}
