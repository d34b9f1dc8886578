//! `gregor server --check`: what would keep a broker from starting, found without starting it.
//!
//! Always holds: nothing is created, on this machine or in ZooKeeper.

use std::process::ExitCode;
use std::time::Duration;
use std::time::SystemTime;

use super::Failure;
use crate::broker::config::BrokerConfig;
use crate::broker::config::Loaded;
use crate::broker::preflight;
use crate::broker::preflight::Finding;
use crate::broker::preflight::Severity;
use crate::shutdown::Trigger;
use crate::zookeeper::BrokerRegistration;
use crate::zookeeper::Config;
use crate::zookeeper::Error;
use crate::zookeeper::Sessions;

/// How long ZooKeeper may take; the configured time if that is shorter.
const ZOOKEEPER_LIMIT: Duration = Duration::from_secs(5);

/// Prints everything that is found.
pub(super) async fn check(loaded: Loaded) -> Result<ExitCode, Failure> {
    let config = loaded.config;
    for warning in &loaded.warnings {
        println!("warning: {warning}");
    }
    let local = config.clone();
    let local = tokio::task::spawn_blocking(move || preflight::check(&local)).await;
    let mut findings = local.map_err(|error| Failure::of(&error, None))?;
    findings.extend(zookeeper(&config).await);
    for finding in &findings {
        println!("{finding}");
    }
    if findings.iter().any(|finding| finding.severity == Severity::Error) {
        return Ok(ExitCode::FAILURE);
    }
    println!("ok: broker {} can start", config.id);
    Ok(ExitCode::SUCCESS)
}

async fn zookeeper(config: &BrokerConfig) -> Option<Finding> {
    let connect = &config.zookeeper.connect;
    let sessions = Config {
        session_timeout: config.zookeeper.session_timeout,
        connection_timeout: config.zookeeper.connection_timeout.min(ZOOKEEPER_LIMIT),
        auth: config
            .zookeeper
            .auth
            .as_ref()
            .map(|auth| (auth.scheme.clone(), auth.credentials.clone())),
        create_chroot: false,
        ..Config::new(connect)
    };
    // Nobody but this function uses the session.
    let never = Trigger::new();
    let found = match Sessions::start(sessions, never.signal()).await {
        Ok(sessions) => {
            let registered = match sessions.current() {
                Ok(store) => store.broker(config.id).await,
                Err(error) => Err(error),
            };
            sessions.close().await;
            registered
        }
        Err(error) => Err(error),
    };
    match found {
        Ok(registered) => registered.map(|other| taken(config, &other)),
        Err(error) => Some(unusable(&config.places.of(&["zookeeper.connect"]), &error)),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the age of a wall clock time, for people"
)]
fn taken(config: &BrokerConfig, other: &BrokerRegistration) -> Finding {
    let id = config.id;
    let age = age(&other.timestamp, SystemTime::now());
    let who = format!("{}:{}, registered {age}", other.host, other.port);
    let port = config.advertised.port.unwrap_or(config.network.port);
    if other.host == config.advertised.host && other.port == i32::from(port) {
        return Finding::warning(
            format!("broker {id} is registered with this address already: {who}"),
            "if it has been stopped, a start waits until that session has expired",
        );
    }
    Finding::error(
        format!(
            "broker id {id} is taken by {who} ({})",
            config.places.of(&["broker.id"])
        ),
        "set broker.id to another number, or stop that broker",
    )
}

/// How long ago it was, of a time in milliseconds since 1970.
fn age(timestamp: &str, now: SystemTime) -> String {
    let then = timestamp
        .parse()
        .ok()
        .and_then(|ms| SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(ms)));
    match then.map(|then| now.duration_since(then).unwrap_or_default().as_secs()) {
        None => format!("at {timestamp:?}"),
        Some(seconds @ 0..120) => format!("{seconds} s ago"),
        Some(seconds @ 120..7_200) => format!("{} min ago", seconds / 60),
        Some(seconds @ 7_200..172_800) => format!("{} h ago", seconds / 3_600),
        Some(seconds) => format!("{} days ago", seconds / 86_400),
    }
}

fn unusable(place: &str, error: &Error) -> Finding {
    let what = format!("{error} ({place})");
    match error {
        // As 0.8.2.2 does (KafkaServer.initZk); but a path that is mistyped looks the same.
        Error::NoChroot { chroot } => {
            Finding::warning(what, format!("a start creates {chroot}, if that is meant"))
        }
        Error::Unreachable { .. } => Finding::error(
            what,
            "start ZooKeeper (/usr/share/zookeeper/bin/zkServer.sh start, or gregor dev), or set zookeeper.connect",
        ),
        Error::Auth { .. } => {
            Finding::error(what, "set zookeeper.auth to credentials that ZooKeeper accepts")
        }
        _ => Finding::error(what, "set zookeeper.connect to host:port,host:port/chroot"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::config::Sources;
    use crate::types::BrokerId;

    fn config(overrides: &[(&str, &str)]) -> BrokerConfig {
        let overrides = overrides
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        BrokerConfig::load(Sources {
            overrides,
            ..Sources::default()
        })
        .unwrap()
        .config
    }

    #[test]
    fn an_id_is_taken_only_by_a_broker_with_another_address() {
        let config = config(&[("advertised.host.name", "here"), ("advertised.port", "9000")]);
        let other = |host: &str, port| BrokerRegistration {
            id: BrokerId(0),
            host: host.to_owned(),
            port,
            jmx_port: -1,
            timestamp: "1".to_owned(),
        };
        assert_eq!(taken(&config, &other("here", 9000)).severity, Severity::Warning);
        for elsewhere in [other("here", 9001), other("there", 9000)] {
            let finding = taken(&config, &elsewhere);
            assert_eq!(finding.severity, Severity::Error);
            let address = format!("{}:{}", elsewhere.host, elsewhere.port);
            assert!(finding.what.contains(&address), "{finding}");
        }
    }

    #[test]
    fn a_registration_is_as_old_as_it_says() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let ages = ["999970000", "999000000", "990000000", "0", "2000000000", "x"].map(|then| age(then, now));
        assert_eq!(
            ages,
            [
                "30 s ago",
                "16 min ago",
                "2 h ago",
                "11 days ago",
                "0 s ago",
                "at \"x\""
            ]
        );
    }

    #[tokio::test]
    async fn a_zookeeper_that_is_not_there_is_found_with_each_host() {
        let free = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let connect = format!("{free}/kafka");
        let config = config(&[
            ("zookeeper.connect", &connect),
            ("zookeeper.connection.timeout.ms", "400"),
        ]);
        let finding = zookeeper(&config).await.unwrap();
        assert_eq!(finding.severity, Severity::Error);
        assert!(
            finding.what.contains(&format!("{free} refused the connection")),
            "{finding}"
        );
    }

    #[test]
    fn a_missing_chroot_is_doubted_only() {
        let error = Error::NoChroot {
            chroot: "/kafka".to_owned(),
        };
        let finding = unusable("zookeeper.connect, a:1", &error);
        assert_eq!(finding.severity, Severity::Warning);
        assert!(finding.hint.contains("/kafka"), "{finding}");
    }
}
