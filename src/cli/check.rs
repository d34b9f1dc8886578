//! `gregor server --check`: what would keep a broker from starting, found without starting it.
//!
//! Always holds: nothing is created, on this machine or in ZooKeeper.

use std::process::ExitCode;
use std::time::Duration;

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
        Err(error) => Some(unusable(connect, &error)),
    }
}

fn taken(config: &BrokerConfig, other: &BrokerRegistration) -> Finding {
    let id = config.id;
    let who = format!("{}:{}, registered at {}", other.host, other.port, other.timestamp);
    let port = config.advertised.port.unwrap_or(config.network.port);
    if other.host == config.advertised.host && other.port == i32::from(port) {
        return Finding::warning(
            format!("broker {id} is registered with this address already: {who}"),
            "if it has been stopped, a start waits until that session has expired",
        );
    }
    Finding::error(
        format!("broker id {id} is taken by {who}"),
        "set broker.id to another number, or stop that broker",
    )
}

fn unusable(connect: &str, error: &Error) -> Finding {
    let hint = match error {
        Error::NoChroot { chroot } => {
            let hosts = connect.split('/').next().unwrap_or(connect);
            format!("create it (zkCli.sh -server {hosts} create {chroot} \"\"), or correct zookeeper.connect")
        }
        Error::Unreachable { .. } => {
            "start ZooKeeper (service zookeeper start, or gregor dev), or set zookeeper.connect".to_owned()
        }
        Error::Auth { .. } => "set zookeeper.auth to credentials that ZooKeeper accepts".to_owned(),
        _ => "set zookeeper.connect to host:port,host:port/chroot".to_owned(),
    };
    Finding::error(format!("{error} (zookeeper.connect={connect})"), hint)
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
    fn a_missing_chroot_comes_with_the_command_that_creates_it() {
        let error = Error::NoChroot {
            chroot: "/kafka".to_owned(),
        };
        let finding = unusable("a:1,b:2/kafka", &error);
        assert!(
            finding.hint.contains("zkCli.sh -server a:1,b:2 create /kafka"),
            "{finding}"
        );
    }
}
