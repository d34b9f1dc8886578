//! Keys that this broker does not know: mistyped ones, and those of earlier and later releases.

/// Keys (or, ending in a dot, beginnings of keys) of other releases, and what to do here instead.
const OTHER_RELEASES: &[(&str, &str)] = &[
    ("listeners", "it belongs to 0.9 and later; set host.name and port"),
    (
        "advertised.listeners",
        "it belongs to 0.9 and later; set advertised.host.name and advertised.port",
    ),
    (
        "listener.security.protocol.map",
        "it belongs to 0.10.2 and later; there is one listener, without encryption",
    ),
    (
        "inter.broker.listener.name",
        "it belongs to 0.10.2 and later; brokers use the advertised address",
    ),
    (
        "security.inter.broker.protocol",
        "it belongs to 0.9 and later; brokers talk without encryption",
    ),
    (
        "inter.broker.protocol.version",
        "it belongs to 0.9 and later; brokers speak 0.8.2 among each other",
    ),
    (
        "log.message.format.version",
        "it belongs to 0.10 and later; messages are kept as in 0.8.2",
    ),
    (
        "log.message.timestamp.",
        "it belongs to 0.10 and later; messages of 0.8.2 have no timestamp",
    ),
    (
        "broker.rack",
        "it belongs to 0.10 and later; replicas are placed without regard to racks",
    ),
    (
        "broker.id.generation.enable",
        "it belongs to 0.9 and later; set broker.id",
    ),
    (
        "reserved.broker.max.id",
        "it belongs to 0.9 and later; ids are never given out, set broker.id",
    ),
    (
        "ssl.",
        "it belongs to 0.9 and later; connections are not encrypted",
    ),
    (
        "sasl.",
        "it belongs to 0.9 and later; clients are not authenticated",
    ),
    (
        "authorizer.class.name",
        "it belongs to 0.9 and later; nobody is authorized, restrict access by network",
    ),
    (
        "super.users",
        "it belongs to 0.9 and later; nobody is authorized, restrict access by network",
    ),
    ("quota.", "it belongs to 0.9 and later; there are no quotas"),
    (
        "compression.type",
        "it belongs to 0.9 and later; messages keep the codec of their producer",
    ),
    (
        "log.preallocate",
        "it belongs to 0.9 and later; segments grow as they are written",
    ),
    (
        "group.min.session.timeout.ms",
        "it belongs to 0.9 and later; groups are coordinated through ZooKeeper",
    ),
    (
        "group.max.session.timeout.ms",
        "it belongs to 0.9 and later; groups are coordinated through ZooKeeper",
    ),
    (
        "group.initial.rebalance.delay.ms",
        "it belongs to 0.11 and later; groups are coordinated through ZooKeeper",
    ),
    (
        "replica.fetch.backoff.ms",
        "it belongs to 0.9 and later; followers choose the pause themselves",
    ),
    (
        "transaction.",
        "it belongs to 0.11 and later; there are no transactions",
    ),
    (
        "transactional.",
        "it belongs to 0.11 and later; there are no transactions",
    ),
    (
        "process.roles",
        "it belongs to 2.8 and later; the cluster is kept in ZooKeeper",
    ),
    ("node.id", "it belongs to 2.8 and later; set broker.id"),
    (
        "controller.quorum.",
        "it belongs to 2.8 and later; the cluster is kept in ZooKeeper",
    ),
    (
        "log.cleanup.interval.mins",
        "it belongs to 0.7; set log.retention.check.interval.ms",
    ),
    (
        "log.retention.hours.per.topic",
        "it belongs to 0.8.0; set retention.ms of the topic",
    ),
    (
        "log.retention.bytes.per.topic",
        "it belongs to 0.8.0; set retention.bytes of the topic",
    ),
    (
        "log.segment.bytes.per.topic",
        "it belongs to 0.8.0; set segment.bytes of the topic",
    ),
    (
        "log.roll.hours.per.topic",
        "it belongs to 0.8.0; set segment.ms of the topic",
    ),
    (
        "log.flush.interval.ms.per.topic",
        "it belongs to 0.8.0; set flush.ms of the topic",
    ),
    ("brokerid", "it belongs to 0.7; set broker.id"),
    ("hostname", "it belongs to 0.7; set host.name"),
    ("zk.connect", "it belongs to 0.7; set zookeeper.connect"),
];

/// No key is taken for another that is more different than by so many letters.
const MAX_DISTANCE: usize = 4;

/// What there is to say about a key that is not in the table, after "is not valid".
pub(crate) fn remark(key: &str, known: &[&'static str]) -> Option<String> {
    let listed = |name: &str| key == name || (name.ends_with('.') && key.starts_with(name));
    if let Some((_, remark)) = OTHER_RELEASES.iter().find(|(name, _)| listed(name)) {
        return Some((*remark).to_owned());
    }
    nearest(key, known).map(|name| format!("did you mean {name}?"))
}

/// The known key that is least different, if it is similar at all.
pub(crate) fn nearest(key: &str, known: &[&'static str]) -> Option<&'static str> {
    // `log_dirs` and `LogDirs` are slips of another kind than wrong letters.
    let spelled = |text: &str| text.to_lowercase().replace(['_', '-'], ".");
    let key = spelled(key);
    let (distance, name) = known
        .iter()
        // Letters are missing at least by the difference in length.
        .filter(|name| key.chars().count().abs_diff(name.chars().count()) <= MAX_DISTANCE)
        .map(|name| (distance(&key, name), *name))
        .min_by_key(|(distance, _)| *distance)?;
    (distance <= (name.len() / 5).clamp(1, MAX_DISTANCE)).then_some(name)
}

/// Letters to insert, drop, change or swap with their neighbour to make one text the other; more than [`MAX_DISTANCE`]
/// are not counted to the end.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut above: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    let mut previous = None;
    for (i, c) in from.chars().enumerate() {
        let mut next = Vec::with_capacity(row.len());
        next.push(i.saturating_add(1));
        for (j, d) in to.iter().enumerate() {
            let at = |row: &[usize], index: Option<usize>| {
                index
                    .and_then(|index| row.get(index))
                    .map_or(usize::MAX, |cost| cost.saturating_add(1))
            };
            let same = usize::from(c == *d);
            let changed = at(&row, Some(j)).saturating_sub(same);
            let dropped = at(&row, Some(j.saturating_add(1)));
            let inserted = at(&next, Some(j));
            let before = j.checked_sub(1);
            let swaps = previous == Some(*d) && before.and_then(|j| to.get(j)) == Some(&c);
            let swapped = if swaps { at(&above, before) } else { usize::MAX };
            next.push(changed.min(dropped).min(inserted).min(swapped));
        }
        if next.iter().chain(&row).all(|cost| *cost > MAX_DISTANCE) {
            return usize::MAX;
        }
        above = std::mem::replace(&mut row, next);
        previous = Some(c);
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[&str] = &[
        "log.dirs",
        "log.dir",
        "port",
        "log.retention.ms",
        "zookeeper.connect",
        "broker.id",
    ];

    #[test]
    fn distances_count_letters() {
        for (from, to, expected) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("port", "port", 0),
            ("prot", "port", 1),
            ("port", "ports", 1),
            ("kitten", "sitting", 3),
            ("log.retenton.ms", "log.retention.ms", 1),
            ("abcdef", "badcfe", 3),
            ("abcdefgh", "stuvwxyz", usize::MAX),
        ] {
            assert_eq!(distance(from, to), expected, "{from} {to}");
        }
    }

    #[test]
    fn only_similar_keys_are_suggested() {
        for (key, expected) in [
            ("prot", Some("port")),
            ("log.dirz", Some("log.dirs")),
            ("LOG_DIRS", Some("log.dirs")),
            ("zookeper.connect", Some("zookeeper.connect")),
            ("brokerr.id", Some("broker.id")),
            ("log.retention.mss", Some("log.retention.ms")),
            ("something.else", None),
            ("x", None),
        ] {
            assert_eq!(nearest(key, KNOWN), expected, "{key}");
        }
    }

    #[test]
    fn keys_of_other_releases_have_their_own_text() {
        assert!(remark("listeners", KNOWN).unwrap().contains("host.name and port"));
        assert!(
            remark("ssl.keystore.location", KNOWN)
                .unwrap()
                .contains("not encrypted")
        );
        assert_eq!(remark("sslx", KNOWN), None);
        assert_eq!(remark("log.dirz", KNOWN).unwrap(), "did you mean log.dirs?");
    }
}
