//! What a person at a terminal is told when a broker has started: at most eight lines, the last one a command to try.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use crate::broker::Summary;

/// Width of the first line, at whose end the broker's number stands.
const WIDTH: usize = 70;

/// The lines, without a final line end.
pub(super) fn banner(summary: &Summary) -> String {
    let title = concat!("gregor ", env!("CARGO_PKG_VERSION"), ", speaks Kafka 0.8.2");
    let id = format!("broker {}", summary.id);
    let gap = WIDTH.saturating_sub(title.len());
    let told = summary.advertised.to_string();
    let mut lines = vec![
        format!("{title}{id:>gap$}"),
        format!("  clients are told   {told:<15}  (bound to {})", summary.bound),
        format!("  zookeeper          {}", zookeeper(summary)),
        format!("  cluster            {}", cluster(summary)),
        format!("  data               {}", data(summary)),
    ];
    if let Some(address) = summary.metrics {
        lines.push(format!(
            "  metrics            http://{}/metrics",
            reachable(address)
        ));
    }
    lines.push(format!("  open files         {}", open_files(summary.open_files)));
    lines.push(format!(
        "ready in {}. Try: echo hi | gregor console-producer --broker-list {told} --topic test",
        time(summary.ready_in)
    ));
    lines.join("\n")
}

fn zookeeper(summary: &Summary) -> String {
    // A chroot is part of the address; where there is none, it is the root.
    let root = if summary.zookeeper.contains('/') { "" } else { "/" };
    let version = summary
        .zookeeper_version
        .as_deref()
        .map_or(String::new(), |version| format!("{version}, "));
    format!(
        "{}{root}  {version}session {}, answered in {}",
        summary.zookeeper,
        time(summary.session_timeout),
        time(summary.round_trip)
    )
}

fn cluster(summary: &Summary) -> String {
    let controller = match summary.controller {
        Some(controller) => format!("controller is broker {controller}"),
        None => "no controller yet".to_owned(),
    };
    format!(
        "{}, {}, {controller}",
        count(summary.brokers, "broker"),
        count(summary.topics, "topic")
    )
}

fn data(summary: &Summary) -> String {
    let free = summary
        .directories
        .iter()
        .map(|(_, free)| *free)
        .min()
        .unwrap_or_default();
    let (place, free) = match summary.directories.as_slice() {
        [(only, _)] => (shown(only), format!("{} free", bytes(free))),
        several => (
            count(several.len(), "directory"),
            format!("at least {} free in each", bytes(free)),
        ),
    };
    let opened = time(summary.opened_in);
    format!(
        "{place:<15}  {free}, {} opened in {opened}",
        count(summary.partitions, "partition")
    )
}

/// A relative path is shown as one, since it moves with the directory in which the broker is started.
fn shown(path: &Path) -> String {
    let path = path.display().to_string();
    if path.starts_with(['/', '.']) {
        path
    } else {
        format!("./{path}")
    }
}

fn open_files((before, after): (u64, u64)) -> String {
    let now = match after {
        u64::MAX => "unlimited".to_owned(),
        after => after.to_string(),
    };
    if after > before {
        format!("{now} (raised from {before})")
    } else {
        now
    }
}

/// An address that a browser on this machine can open.
fn reachable(address: SocketAddr) -> String {
    if address.ip().is_unspecified() {
        format!("localhost:{}", address.port())
    } else {
        address.to_string()
    }
}

fn count(number: usize, noun: &str) -> String {
    match (number, noun.strip_suffix('y')) {
        (1, _) => format!("1 {noun}"),
        (_, Some(stem)) => format!("{number} {stem}ies"),
        (_, None) => format!("{number} {noun}s"),
    }
}

fn time(duration: Duration) -> String {
    let ms = duration.as_millis();
    match ms {
        0 => "less than 1 ms".to_owned(),
        1_000.. if ms.is_multiple_of(1_000) => format!("{} s", ms / 1_000),
        10_000.. => format!("{} s", ms / 1_000),
        1_000.. => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        _ => format!("{ms} ms"),
    }
}

fn bytes(number: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 40, "TB"), (1 << 30, "GB"), (1 << 20, "MB")];
    let unit = UNITS.into_iter().find(|(size, _)| number >= *size);
    unit.map_or_else(
        || format!("{number} bytes"),
        |(size, name)| format!("{} {name}", number / size),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::BrokerId;
    use crate::types::Endpoint;

    fn summary() -> Summary {
        Summary {
            id: BrokerId(0),
            advertised: Endpoint {
                id: BrokerId(0),
                host: "localhost".to_owned(),
                port: 9092,
            },
            bound: SocketAddr::from(([0, 0, 0, 0], 9092)),
            zookeeper: "localhost:2181".to_owned(),
            zookeeper_version: Some("3.8.0".to_owned()),
            session_timeout: Duration::from_secs(6),
            round_trip: Duration::from_micros(3_200),
            brokers: 1,
            topics: 3,
            controller: Some(BrokerId(0)),
            directories: vec![("gregor-data".into(), 41 << 30)],
            partitions: 2,
            opened_in: Duration::from_millis(12),
            metrics: Some(SocketAddr::from(([0, 0, 0, 0], 9308))),
            ready_in: Duration::from_millis(61),
            open_files: (1024, 65536),
        }
    }

    #[test]
    fn a_start_ends_with_eight_lines() {
        let expected = "\
gregor 0.1.0, speaks Kafka 0.8.2                              broker 0
  clients are told   localhost:9092   (bound to 0.0.0.0:9092)
  zookeeper          localhost:2181/  3.8.0, session 6 s, answered in 3 ms
  cluster            1 broker, 3 topics, controller is broker 0
  data               ./gregor-data    41 GB free, 2 partitions opened in 12 ms
  metrics            http://localhost:9308/metrics
  open files         65536 (raised from 1024)
ready in 61 ms. Try: echo hi | gregor console-producer --broker-list localhost:9092 --topic test";
        assert_eq!(banner(&summary()), expected);
    }

    #[test]
    fn what_is_missing_or_many_is_told_in_the_same_lines() {
        let several = Summary {
            zookeeper: "a:1,b:1/kafka".to_owned(),
            zookeeper_version: None,
            controller: None,
            brokers: 2,
            topics: 1,
            directories: vec![("/a".into(), 5 << 40), ("/b".into(), 700 << 20)],
            metrics: None,
            open_files: (4096, u64::MAX),
            ..summary()
        };
        let text = banner(&several);
        assert_eq!(text.lines().count(), 7);
        assert!(
            text.contains("  zookeeper          a:1,b:1/kafka  session 6 s, answered"),
            "{text}"
        );
        assert!(
            text.contains("  cluster            2 brokers, 1 topic, no controller yet\n"),
            "{text}"
        );
        assert!(
            text.contains("  data               2 directories    at least 700 MB free in each, 2 part"),
            "{text}"
        );
        assert!(
            text.contains("  open files         unlimited (raised from 4096)\n"),
            "{text}"
        );
    }

    #[test]
    fn times_are_short() {
        let times = [0, 999, 1_000, 1_250, 90_500].map(|ms| time(Duration::from_millis(ms)));
        assert_eq!(times, ["less than 1 ms", "999 ms", "1 s", "1.2 s", "90 s"]);
    }
}
