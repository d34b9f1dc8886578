//! The hosts of the ensemble: reading the connect string, and asking a host what is wrong or which release it runs.

use std::fmt;
use std::io;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::zookeeper::Error;
use crate::zookeeper::pipeline::pipelined;

/// ZooKeeper's port, where the connect string names none.
const DEFAULT_PORT: u16 = 2181;

/// The answer to `srvr` is some 200 bytes; whoever answers more is no ZooKeeper.
const ANSWER_LIMIT: u64 = 4096;

/// What a server without quorum answers to everything.
const NOT_SERVING: &str = "not currently serving requests";

/// One server of the ensemble.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// Name or address.
    pub name: String,
    /// TCP port.
    pub port: u16,
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.contains(':') {
            write!(f, "[{}]:{}", self.name, self.port)
        } else {
            write!(f, "{}:{}", self.name, self.port)
        }
    }
}

/// Why no session could be opened at a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostProblem {
    /// Its name has no address.
    Unresolved,
    /// Nobody listens at the port.
    Refused,
    /// No answer at all.
    TimedOut,
    /// It runs, but its ensemble has no quorum.
    NotServing,
    /// It accepts connections, but opened no session.
    NoSession,
    /// Anything else.
    Other(String),
}

impl fmt::Display for HostProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unresolved => f.write_str("does not resolve"),
            Self::Refused => f.write_str("refused the connection"),
            Self::TimedOut => f.write_str("did not answer in time"),
            Self::NotServing => f.write_str("has no quorum"),
            Self::NoSession => f.write_str("accepts connections but opened no session"),
            Self::Other(problem) => f.write_str(problem),
        }
    }
}

/// What a server says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerDescription {
    /// Its release, such as `3.4.6`; unknown where the command that tells it is forbidden.
    pub version: Option<String>,
    /// How long it takes to answer.
    pub round_trip: Duration,
}

/// What is wrong with a connect string, without connecting.
pub fn check_connect_string(text: &str) -> Result<(), String> {
    parse(text).map(|_| ())
}

/// Hosts and chroot of a connect string such as `h1:2181,h2:2181/kafka`. The chroot is empty if there is none.
pub(super) fn parse_connect_string(text: &str) -> Result<(Vec<Host>, String), Error> {
    parse(text).map_err(|problem| Error::Address {
        text: text.to_owned(),
        problem,
    })
}

fn parse(text: &str) -> Result<(Vec<Host>, String), String> {
    let (hosts, chroot) = text
        .split_at_checked(text.find('/').unwrap_or(text.len()))
        .unwrap_or((text, ""));
    let chroot = chroot.trim_end();
    if chroot.len() > 1 && (chroot.ends_with('/') || chroot.contains("//")) {
        return Err(format!("the chroot {chroot} has an empty part"));
    }
    let chroot = if chroot == "/" { "" } else { chroot };
    let hosts: Result<Vec<Host>, String> = hosts.split(',').map(|host| parse_host(host.trim())).collect();
    Ok((hosts?, chroot.to_owned()))
}

fn parse_host(text: &str) -> Result<Host, String> {
    let (name, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((name, port)) => (name, port.strip_prefix(':')),
        None => match text.rsplit_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (text, None),
        },
    };
    if name.is_empty() {
        return Err("a host is empty".to_owned());
    }
    let port = match port {
        None | Some("") => DEFAULT_PORT,
        Some(port) => port
            .parse()
            .ok()
            .filter(|port| *port != 0)
            .ok_or_else(|| format!("{port:?} is no port"))?,
    };
    Ok(Host {
        name: name.to_owned(),
        port,
    })
}

/// Asks every host, all at the same time, what keeps it from opening a session.
pub(super) async fn diagnose(hosts: &[Host], limit: Duration) -> Vec<(Host, HostProblem)> {
    let questions = hosts.iter().cloned().map(|host| async move {
        let problem = timeout(limit, problem_of(&host))
            .await
            .unwrap_or(HostProblem::TimedOut);
        Ok((host, problem))
    });
    pipelined(questions).await.into_iter().flatten().collect()
}

async fn problem_of(host: &Host) -> HostProblem {
    let address = (host.name.as_str(), host.port);
    let resolved = tokio::net::lookup_host(address).await;
    if resolved.map_or(0, Iterator::count) == 0 {
        return HostProblem::Unresolved;
    }
    match ask(host).await {
        Ok(answer) if answer.contains(NOT_SERVING) => HostProblem::NotServing,
        Ok(_) => HostProblem::NoSession,
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => HostProblem::Refused,
        Err(error) if error.kind() == io::ErrorKind::TimedOut => HostProblem::TimedOut,
        Err(error) => HostProblem::Other(error.to_string()),
    }
}

/// The release of the first host that tells it.
pub(super) async fn version(hosts: &[Host], limit: Duration) -> Option<String> {
    let questions = hosts.iter().cloned().map(|host| async move {
        let answer = timeout(limit, ask(&host)).await;
        Ok(answer
            .ok()
            .and_then(Result::ok)
            .and_then(|answer| version_in(&answer)))
    });
    pipelined(questions).await.into_iter().flatten().flatten().next()
}

/// The release in `Zookeeper version: 3.4.6-1569965, built on ...`.
fn version_in(answer: &str) -> Option<String> {
    let (_, rest) = answer.split_once("version: ")?;
    let version = rest.split([',', '-', '\n']).next()?.trim();
    Some(version.to_owned()).filter(|version| !version.is_empty())
}

/// Sends the command that even careful installations leave open, and reads the answer.
async fn ask(host: &Host) -> io::Result<String> {
    let mut connection = TcpStream::connect((host.name.as_str(), host.port)).await?;
    connection.write_all(b"srvr").await?;
    let mut answer = Vec::new();
    connection.take(ANSWER_LIMIT).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(name: &str, port: u16) -> Host {
        Host {
            name: name.to_owned(),
            port,
        }
    }

    #[test]
    fn connect_strings_name_hosts_and_a_chroot() {
        let parse = |text| parse_connect_string(text).unwrap();
        assert_eq!(parse("h1:2182"), (vec![host("h1", 2182)], String::new()));
        assert_eq!(
            parse("h1, h2:99 ,[::1]:3,[::2]/kafka/a"),
            (
                vec![
                    host("h1", 2181),
                    host("h2", 99),
                    host("::1", 3),
                    host("::2", 2181)
                ],
                "/kafka/a".to_owned()
            )
        );
        assert_eq!(parse("h1:/"), (vec![host("h1", 2181)], String::new()));
        assert_eq!(host("::1", 3).to_string(), "[::1]:3");
    }

    #[test]
    fn broken_connect_strings_are_refused() {
        for text in [
            "", "h1,", "h1:x", "h1:0", "h1:70000", "h1/a/", "h1//a", "/a", ":2181",
        ] {
            let refused = parse_connect_string(text);
            assert!(
                matches!(refused, Err(Error::Address { .. })),
                "{text}: {refused:?}"
            );
        }
    }

    #[tokio::test]
    async fn a_server_without_quorum_is_told_from_one_that_is_none() {
        for (answer, expected) in [
            (
                "This ZooKeeper instance is not currently serving requests\n",
                HostProblem::NotServing,
            ),
            ("HTTP/1.1 400 Bad Request\r\n\r\n", HostProblem::NoSession),
        ] {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let hosts = [host("127.0.0.1", listener.local_addr().unwrap().port())];
            let answering = async {
                let (mut connection, _) = listener.accept().await.unwrap();
                let mut command = [0; 4];
                connection.read_exact(&mut command).await.unwrap();
                connection.write_all(answer.as_bytes()).await.unwrap();
            };
            let (problems, ()) = tokio::join!(diagnose(&hosts, Duration::from_secs(5)), answering);
            assert_eq!(problems[0].1, expected);
        }
    }

    #[test]
    fn the_release_is_found_in_the_answer() {
        let version = |answer| version_in(answer);
        let answer = "Zookeeper version: 3.4.6-1569965, built on 02/20/2014 09:09 GMT\nReceived: 2\n";
        assert_eq!(version(answer).as_deref(), Some("3.4.6"));
        assert_eq!(
            version("Zookeeper version: 3.8.0, built on").as_deref(),
            Some("3.8.0")
        );
        assert_eq!(
            version("srvr is not executed because it is not in the whitelist.\n"),
            None
        );
        assert_eq!(version("version: "), None);
    }

    #[tokio::test]
    async fn hosts_are_diagnosed_one_by_one() {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let (silent_port, free_port) = (
            silent.local_addr().unwrap().port(),
            free.local_addr().unwrap().port(),
        );
        drop(free);
        let hosts = [
            host("127.0.0.1", free_port),
            host("no.such.host.invalid", 2181),
            host("127.0.0.1", silent_port),
        ];
        let problems: Vec<_> = diagnose(&hosts, Duration::from_secs(5))
            .await
            .into_iter()
            .map(|(_, problem)| problem)
            .collect();
        assert_eq!(
            problems,
            [
                HostProblem::Refused,
                HostProblem::Unresolved,
                HostProblem::TimedOut
            ]
        );
    }
}
