//! Sessions: opened, lost, replaced, closed, and ZooKeeper being away.

use std::net::TcpListener;
use std::time::Duration;
use std::time::Instant;

use gregor::shutdown::Trigger;
use gregor::types::BrokerId;
use gregor::zookeeper::Config;
use gregor::zookeeper::Error;
use gregor::zookeeper::HostProblem;
use gregor::zookeeper::Sessions;
use gregor::zookeeper::State;

use super::Corner;
use super::LIMIT;
use super::SHORT;
use super::against_both_releases;
use super::broker;
use super::current;
use super::gone;
use super::ids;
use super::partition;
use super::soon;
use super::start;
use crate::support::proxy::Proxy;
use crate::support::zookeeper::Version;
use crate::support::zookeeper::ZooKeeper;

against_both_releases!(
    a_session_that_somebody_closes_is_replaced,
    a_session_that_expires_during_a_partition_is_replaced,
    sessions_are_replaced_again_and_again,
    a_server_that_is_away_for_long_costs_the_session,
    a_killed_server_that_comes_back_keeps_the_session,
    calls_end_while_a_server_hangs,
    closing_ends_while_the_server_is_away,
    dropping_closes_too,
    a_chroot_is_created_only_if_asked,
    one_live_host_is_enough,
    the_server_is_described,
);

/// Waits for a state of the session.
async fn reaches(sessions: &Sessions, what: &str, wanted: impl Fn(&State) -> bool) {
    let mut states = sessions.subscribe();
    soon(what, states.wait_for(wanted)).await.unwrap();
}

async fn a_session_that_somebody_closes_is_replaced(version: Version) {
    let corner = Corner::new(version, "closed-by-others");
    let (proxy, sessions) = corner.fragile_sessions().await;
    let store = current(&sessions).await;
    store
        .register_broker(&broker(1, "one", 9092), |_| ())
        .await
        .unwrap();
    let mut watched = store.watch_broker_ids();
    assert_eq!(watched.next().await.unwrap(), ids(&[1]));

    proxy.expire().await;
    soon("the end", store.ended()).await;
    assert!(matches!(store.brokers().await, Err(Error::SessionLost)));
    assert!(matches!(watched.next().await, Err(Error::SessionLost)));
    let next = soon("another session", sessions.next_after(Some(store.session_id())))
        .await
        .unwrap();
    assert_ne!(next.session_id(), store.session_id());
    assert_eq!(
        next.brokers().await.unwrap(),
        [],
        "nothing of the old one is left"
    );
    next.register_broker(&broker(1, "one", 9092), |_| ())
        .await
        .unwrap();
    assert_eq!(
        *sessions.subscribe().borrow(),
        State::Connected(next.session_id())
    );

    sessions.close().await;
    assert_eq!(*sessions.subscribe().borrow(), State::Closed);
    assert!(matches!(sessions.current(), Err(Error::Closed)));
    assert!(matches!(
        sessions.next_after(Some(next.session_id())).await,
        Err(Error::Closed)
    ));
    assert!(matches!(next.brokers().await, Err(Error::SessionLost)));
}

async fn a_session_that_expires_during_a_partition_is_replaced(version: Version) {
    let corner = Corner::new(version, "partition");
    let (proxy, sessions) = corner.fragile_sessions().await;
    let store = current(&sessions).await;
    store
        .register_broker(&broker(1, "one", 9092), |_| ())
        .await
        .unwrap();
    proxy.cut();
    reaches(&sessions, "disconnected", |state| {
        matches!(state, State::Disconnected(_))
    })
    .await;
    gone(&corner.client().await, "/brokers/ids/1").await;
    proxy.mend();
    let next = soon("another session", sessions.next_after(Some(store.session_id())))
        .await
        .unwrap();
    soon("the end", store.ended()).await;
    next.register_broker(&broker(1, "one", 9092), |_| panic!("its node is gone"))
        .await
        .unwrap();
    sessions.close().await;
}

async fn sessions_are_replaced_again_and_again(version: Version) {
    let corner = Corner::new(version, "again");
    let (proxy, sessions) = corner.fragile_sessions().await;
    let mut store = current(&sessions).await;
    for _ in 0..10 {
        proxy.expire().await;
        store = soon("the next", sessions.next_after(Some(store.session_id())))
            .await
            .unwrap();
        store
            .register_broker(&broker(1, "one", 9092), |_| ())
            .await
            .unwrap();
    }
    sessions.close().await;
}

async fn a_server_that_is_away_for_long_costs_the_session(version: Version) {
    let mut server = ZooKeeper::start(version);
    let mut config = Config::new(server.address());
    config.session_timeout = SHORT;
    let sessions = start(config).await;
    let store = current(&sessions).await;
    server.stop();
    soon("the end", store.ended()).await;
    reaches(&sessions, "expired", |state| *state == State::Expired).await;
    assert!(matches!(sessions.current(), Err(Error::NotConnected)));
    server.start_again();
    let next = soon("another session", sessions.next_after(Some(store.session_id())))
        .await
        .unwrap();
    next.create_common_paths().await.unwrap();
    sessions.close().await;
}

async fn a_killed_server_that_comes_back_keeps_the_session(version: Version) {
    let mut server = ZooKeeper::start(version);
    let mut config = Config::new(server.address());
    config.session_timeout = LIMIT;
    config.call_timeout = Duration::from_millis(500);
    let sessions = start(config).await;
    let store = current(&sessions).await;
    let me = broker(1, "one", 9092);
    store.register_broker(&me, |_| ()).await.unwrap();
    let mut watched = store.watch_broker_ids();
    assert_eq!(watched.next().await.unwrap(), ids(&[1]));

    server.kill();
    reaches(&sessions, "disconnected", |state| {
        matches!(state, State::Disconnected(_))
    })
    .await;
    let begin = Instant::now();
    let late = store.commit_offset("g", &partition("t", 0), 1).await;
    assert!(matches!(late, Err(Error::Unavailable { .. })), "{late:?}");
    assert!(begin.elapsed() < Duration::from_secs(2), "{:?}", begin.elapsed());

    server.start_again();
    reaches(&sessions, "connected", |state| {
        *state == State::Connected(store.session_id())
    })
    .await;
    assert_eq!(store.brokers().await.unwrap(), [me]);
    let offset = store.fetch_offset("g", &partition("t", 0)).await.unwrap();
    assert_eq!(offset, None, "what was refused is not done later");
    store
        .register_broker(&broker(1, "two", 9092), |_| panic!("it is ours"))
        .await
        .unwrap();
    sessions.close().await;
}

async fn calls_end_while_a_server_hangs(version: Version) {
    let server = ZooKeeper::start(version);
    let mut config = Config::new(server.address());
    config.session_timeout = LIMIT;
    config.call_timeout = Duration::from_millis(500);
    let sessions = start(config).await;
    let store = current(&sessions).await;
    server.freeze();
    let begin = Instant::now();
    let late = store.commit_offset("g", &partition("t", 0), 1).await;
    assert!(matches!(late, Err(Error::Unavailable { .. })), "{late:?}");
    let many: Vec<_> = (0..1000).map(|number| (partition("t", number), 1)).collect();
    let late = store.commit_offsets("g", &many).await;
    assert!(
        late.iter()
            .all(|late| matches!(late, Err(Error::Unavailable { .. })))
    );
    assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
    server.thaw();
    reaches(&sessions, "connected", |state| {
        matches!(state, State::Connected(_))
    })
    .await;
    let again = async {
        while let Err(error) = store.commit_offset("g", &partition("t", 0), 2).await {
            assert!(matches!(error, Error::Unavailable { .. }), "{error}");
        }
    };
    soon("it answers again", again).await;
    sessions.close().await;
}

async fn closing_ends_while_the_server_is_away(version: Version) {
    let mut server = ZooKeeper::start(version);
    let sessions = start(Config::new(server.address())).await;
    let store = current(&sessions).await;
    server.stop();
    let waiting = tokio::spawn({
        let store = store.clone();
        async move { store.brokers().await }
    });
    let begin = Instant::now();
    sessions.close().await;
    assert!(
        begin.elapsed() < Duration::from_millis(2800),
        "{:?}",
        begin.elapsed()
    );
    assert!(
        matches!(waiting.await.unwrap(), Err(Error::SessionLost)),
        "calls end with it"
    );
    sessions.close().await;

    // And while it hangs, and while there is no session at all.
    server.start_again();
    let mut config = Config::new(server.address());
    config.session_timeout = SHORT;
    let hanging = start(config.clone()).await;
    let lost = start(config).await;
    server.freeze();
    let begin = Instant::now();
    hanging.close().await;
    assert!(
        begin.elapsed() < Duration::from_millis(2800),
        "{:?}",
        begin.elapsed()
    );
    reaches(&lost, "expired", |state| *state == State::Expired).await;
    let begin = Instant::now();
    lost.close().await;
    assert!(
        begin.elapsed() < Duration::from_millis(2800),
        "{:?}",
        begin.elapsed()
    );
    assert_eq!(*lost.subscribe().borrow(), State::Closed);
}

async fn dropping_closes_too(version: Version) {
    let corner = Corner::new(version, "dropped");
    let client = corner.client().await;
    let sessions = corner.sessions().await;
    let store = current(&sessions).await;
    store.try_elect(BrokerId(1)).await.unwrap();
    let begin = Instant::now();
    drop(sessions);
    gone(&client, "/controller").await;
    assert!(
        begin.elapsed() < Duration::from_secs(3),
        "not only when it expired"
    );
    soon("the end", store.ended()).await;
}

async fn a_chroot_is_created_only_if_asked(version: Version) {
    let corner = Corner::new(version, "chroots/not/there");
    let mut config = corner.config();
    config.create_chroot = false;
    let refused = Sessions::start(config.clone(), Trigger::new().signal()).await;
    assert!(matches!(refused, Err(Error::NoChroot { chroot }) if chroot == "/chroots/not/there"));
    let sessions = corner.sessions().await;
    let store = current(&sessions).await;
    store.create_common_paths().await.unwrap();
    let client = corner.client().await;
    assert!(client.check_stat("/brokers/ids").await.unwrap().is_some());
    sessions.close().await;
    start(config).await.close().await;
}

async fn one_live_host_is_enough(version: Version) {
    let corner = Corner::new(version, "hosts");
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let hosts = format!(
        "{free},no.such.host.invalid:2181,{}/hosts",
        corner.server.address()
    );
    let sessions = start(Config::new(hosts)).await;
    current(&sessions).await.create_common_paths().await.unwrap();
    sessions.close().await;
}

async fn the_server_is_described(version: Version) {
    let corner = Corner::new(version, "described");
    let sessions = corner.sessions().await;
    let server = sessions.describe_server().await.unwrap();
    let expected = match version {
        Version::Reference => "3.4.6",
        Version::Installed => "3.",
    };
    assert!(
        server
            .version
            .as_ref()
            .is_some_and(|version| version.starts_with(expected)),
        "{server:?}"
    );
    assert!(
        server.round_trip > Duration::ZERO && server.round_trip < Duration::from_secs(5),
        "{server:?}"
    );
    sessions.close().await;
}

#[tokio::test]
async fn hosts_that_cannot_be_reached_are_named_with_their_problem() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let refusing = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let silent_address = silent.local_addr().unwrap();
    let mut config = Config::new(format!("{refusing},{silent_address},no.such.host.invalid"));
    config.connection_timeout = Duration::from_secs(3);
    config.session_timeout = Duration::from_secs(1);
    let begin = Instant::now();
    let failed = Sessions::start(config, Trigger::new().signal()).await;
    assert!(begin.elapsed() < Duration::from_secs(6), "{:?}", begin.elapsed());
    let Err(Error::Unreachable { hosts }) = &failed else {
        panic!("{failed:?}")
    };
    let problems: Vec<_> = hosts.iter().map(|(_, problem)| problem.clone()).collect();
    assert_eq!(
        problems,
        [
            HostProblem::Refused,
            HostProblem::TimedOut,
            HostProblem::Unresolved
        ]
    );
    assert_eq!(
        failed.unwrap_err().to_string(),
        format!(
            "connect to ZooKeeper: {refusing} refused the connection, {silent_address} did not answer in time, \
             no.such.host.invalid:2181 does not resolve"
        )
    );
}

#[tokio::test]
async fn a_stop_ends_the_first_connect() {
    let refusing = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let trigger = Trigger::new();
    let mut config = Config::new(refusing.to_string());
    config.connection_timeout = LIMIT;
    let starting = tokio::spawn(Sessions::start(config, trigger.signal()));
    trigger.stop();
    let begin = Instant::now();
    assert!(matches!(starting.await.unwrap(), Err(Error::Closed)));
    assert!(begin.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn a_server_that_comes_late_is_waited_for() {
    let server = ZooKeeper::shared(Version::Installed);
    let proxy = Proxy::start(server.address()).await;
    proxy.cut();
    let mut config = Config::new(proxy.address());
    config.connection_timeout = LIMIT;
    config.session_timeout = Duration::from_millis(300);
    let starting = tokio::spawn(Sessions::start(config, Trigger::new().signal()));
    // Longer than the session timeout, so that several rounds of attempts fail.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!starting.is_finished());
    proxy.mend();
    soon("the first session", starting)
        .await
        .unwrap()
        .unwrap()
        .close()
        .await;
}
