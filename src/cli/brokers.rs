//! Which brokers the console programs talk to.

use std::str::FromStr;
use std::time::Duration;

use super::Failure;
use crate::client::Cluster;
use crate::client::ClusterConfig;
use crate::shutdown::Trigger;
use crate::zookeeper::Config;
use crate::zookeeper::Sessions;

/// How long a broker may take to answer.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Hosts and ports, from `host:port,host:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BrokerList(Vec<(String, u16)>);

/// The reference's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Please provide valid host:port like host1:9091,host2:9092")]
pub(super) struct NoBrokerList;

impl FromStr for BrokerList {
    type Err = NoBrokerList;

    fn from_str(text: &str) -> Result<Self, NoBrokerList> {
        let broker = |text: &str| {
            let (host, port) = text.trim().rsplit_once(':')?;
            let host = host
                .strip_prefix('[')
                .and_then(|host| host.strip_suffix(']'))
                .unwrap_or(host);
            let port = port.parse().ok().filter(|port| *port > 0)?;
            (!host.is_empty()).then(|| (host.to_owned(), port))
        };
        text.split(',')
            .map(broker)
            .collect::<Option<_>>()
            .map(Self)
            .ok_or(NoBrokerList)
    }
}

impl BrokerList {
    /// Where a broker on this machine is, unless its port was changed.
    pub(super) fn local() -> Self {
        Self(vec![("localhost".to_owned(), 9092)])
    }

    /// The brokers registered in ZooKeeper.
    pub(super) async fn from_zookeeper(connect: &str) -> Result<Self, Failure> {
        // Nobody but this function uses the session.
        let never = Trigger::new();
        let config = Config {
            create_chroot: false,
            ..Config::new(connect)
        };
        let sessions = Sessions::start(config, never.signal()).await?;
        let brokers = sessions.current()?.brokers().await;
        sessions.close().await;
        let address = |broker: crate::zookeeper::BrokerRegistration| {
            u16::try_from(broker.port).ok().map(|port| (broker.host, port))
        };
        let brokers: Vec<(String, u16)> = brokers?.into_iter().filter_map(address).collect();
        if brokers.is_empty() {
            return Err(Failure::new(
                format!("no broker is registered in ZooKeeper at {connect}"),
                "start one, or add the chroot that the brokers have in zookeeper.connect",
            ));
        }
        Ok(Self(brokers))
    }

    /// Connects to the first that answers.
    pub(super) async fn connect(
        self,
        client_id: &str,
        request_timeout: Duration,
    ) -> Result<Cluster, Failure> {
        let config = ClusterConfig {
            brokers: self.0,
            client_id: client_id.to_owned(),
            request_timeout,
        };
        Ok(Cluster::connect(config).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broker_lists_name_hosts_and_ports() {
        let parsed: BrokerList = "a:1, b.c:9092,[::1]:3".parse().unwrap();
        let expected = [("a", 1), ("b.c", 9092), ("::1", 3)];
        assert_eq!(parsed.0, expected.map(|(host, port)| (host.to_owned(), port)));
        for wrong in ["", "a", "a:", ":1", "a:x", "a:0", "a:70000", "a:1,", "a:1,b"] {
            assert_eq!(wrong.parse::<BrokerList>(), Err(NoBrokerList), "{wrong}");
        }
    }
}
