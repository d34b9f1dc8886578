//! `gregor::zookeeper` against real servers of both releases.

mod operations;
mod sessions;
mod watches;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use gregor::shutdown::Trigger;
use gregor::types::BrokerId;
use gregor::types::TopicPartition;
use gregor::zookeeper::BrokerRegistration;
use gregor::zookeeper::Config;
use gregor::zookeeper::PartitionState;
use gregor::zookeeper::Sessions;
use gregor::zookeeper::Store;
use zookeeper_client::Acls;
use zookeeper_client::Client;
use zookeeper_client::CreateMode;

use crate::support::proxy::Proxy;
use crate::support::zookeeper::Version;
use crate::support::zookeeper::ZooKeeper;

/// Longer than anything may take here.
const LIMIT: Duration = Duration::from_secs(30);

/// The session timeout of those who are going to lose their session.
const SHORT: Duration = Duration::from_millis(1500);

/// Runs each of the functions against both releases.
macro_rules! against_both_releases {
    ($($name:ident),+ $(,)?) => {
        mod zookeeper_3_4 {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name($crate::support::zookeeper::Version::Reference).await;
            })+
        }
        mod zookeeper_3_8 {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name($crate::support::zookeeper::Version::Installed).await;
            })+
        }
    };
}
use against_both_releases;

/// A corner of the shared server that belongs to one test.
struct Corner {
    server: Arc<ZooKeeper>,
    chroot: String,
}

impl Corner {
    fn new(version: Version, name: &str) -> Self {
        Self {
            server: ZooKeeper::shared(version),
            chroot: format!("/{name}"),
        }
    }

    /// All of a server that belongs to one test.
    fn alone(version: Version) -> Self {
        Self {
            server: Arc::new(ZooKeeper::start(version)),
            chroot: "/all".to_owned(),
        }
    }

    fn config(&self) -> Config {
        Config::new(format!("{}{}", self.server.address(), self.chroot))
    }

    /// A broker's view of it.
    async fn sessions(&self) -> Sessions {
        start(self.config()).await
    }

    /// A broker whose connection can be cut, and whose session does not last long then.
    async fn fragile_sessions(&self) -> (Proxy, Sessions) {
        let proxy = Proxy::start(self.server.address()).await;
        let mut config = Config::new(format!("{}{}", proxy.address(), self.chroot));
        config.session_timeout = SHORT;
        let sessions = start(config).await;
        (proxy, sessions)
    }

    /// Anybody else's view of it.
    async fn client(&self) -> Client {
        let client = Client::connector()
            .with_server_version(3, 4, 6)
            .connect(&self.server.address())
            .await
            .unwrap();
        let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
        client.mkdir(&self.chroot, &options).await.unwrap();
        client.chroot(self.chroot.as_str()).unwrap()
    }
}

async fn start(config: Config) -> Sessions {
    Sessions::start(config, Trigger::new().signal()).await.unwrap()
}

/// What completes within the limit.
async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let result = tokio::time::timeout(LIMIT, future).await;
    result.unwrap_or_else(|_| panic!("still waiting after {LIMIT:?}: {what}"))
}

/// Creates a node with its parents, as somebody else.
async fn put(client: &Client, path: &str, data: &str) {
    let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
    let (parent, _) = path.rsplit_once('/').unwrap();
    if !parent.is_empty() {
        client.mkdir(parent, &options).await.unwrap();
    }
    match client.create(path, data.as_bytes(), &options).await {
        Err(zookeeper_client::Error::NodeExists) => {
            client.set_data(path, data.as_bytes(), None).await.unwrap();
        }
        created => drop(created.unwrap()),
    }
}

/// What a node holds, as somebody else sees it.
async fn text(client: &Client, path: &str) -> String {
    let (data, _) = client
        .get_data(path)
        .await
        .unwrap_or_else(|error| panic!("{path}: {error}"));
    String::from_utf8(data).unwrap()
}

/// Waits until a node is gone, as somebody else sees it.
async fn gone(client: &Client, path: &str) {
    let wait = async {
        loop {
            let (stat, watcher) = client.check_and_watch_stat(path).await.unwrap();
            if stat.is_none() {
                break;
            }
            watcher.changed().await;
        }
    };
    soon(&format!("{path} is gone"), wait).await;
}

fn broker(id: i32, host: &str, port: i32) -> BrokerRegistration {
    BrokerRegistration {
        id: BrokerId(id),
        host: host.to_owned(),
        port,
        jmx_port: -1,
        timestamp: "1795368446749".to_owned(),
    }
}

fn ids(ids: &[i32]) -> Vec<BrokerId> {
    ids.iter().copied().map(BrokerId).collect()
}

fn state(leader: i32, leader_epoch: i32, isr: &[i32]) -> PartitionState {
    PartitionState {
        leader: Some(BrokerId(leader)),
        leader_epoch,
        isr: ids(isr),
        controller_epoch: 1,
    }
}

fn partition(topic: &str, number: i32) -> TopicPartition {
    TopicPartition::new(topic, number)
}

fn config(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
    let owned = |(key, value): &(&str, &str)| (String::from(*key), String::from(*value));
    entries.iter().map(owned).collect()
}

async fn current(sessions: &Sessions) -> Store {
    soon("a session", sessions.next_after(None)).await.unwrap()
}
