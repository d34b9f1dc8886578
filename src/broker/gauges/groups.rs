//! How far the groups are whose positions this broker keeps.
//!
//! A lag needs the end of the partition, which its leader alone knows: where another broker leads, only the position is
//! told.

use std::collections::BTreeMap;

use crate::metrics::Scrape;
use crate::metrics::names;

/// A position that a group has committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) group: String,
    pub(super) topic: String,
    pub(super) partition: i32,
    /// Next offset to consume.
    pub(super) offset: i64,
    /// Next offset that consumers will find, if this broker leads the partition.
    pub(super) end: Option<i64>,
}

/// What a group has in one topic.
#[derive(Debug)]
struct Sums {
    offsets: i64,
    /// `None` once a lag was missing.
    lags: Option<i64>,
}

/// Positions and lags, and their sums over each topic.
pub(super) fn groups(scrape: &mut Scrape, positions: &[Position]) {
    let mut sums: BTreeMap<(&str, &str), Sums> = BTreeMap::new();
    for position in positions {
        let (group, topic) = (position.group.as_str(), position.topic.as_str());
        let number = position.partition.to_string();
        let labels: &[(&'static str, &str)] =
            &[("consumergroup", group), ("topic", topic), ("partition", &number)];
        scrape.gauge(names::GROUP_OFFSET, labels, position.offset);
        // A position beyond the end is left from an earlier topic of the name, or was set by hand.
        let lag = position.end.map(|end| end.saturating_sub(position.offset).max(0));
        if let Some(lag) = lag {
            scrape.gauge(names::GROUP_LAG, labels, lag);
        }
        let sum = sums.entry((group, topic)).or_insert(Sums {
            offsets: 0,
            lags: Some(0),
        });
        sum.offsets = sum.offsets.saturating_add(position.offset);
        sum.lags = sum.lags.zip(lag).map(|(sum, lag)| sum.saturating_add(lag));
    }
    for ((group, topic), sum) in sums {
        let labels: &[(&'static str, &str)] = &[("consumergroup", group), ("topic", topic)];
        scrape.gauge(names::GROUP_OFFSET_SUM, labels, sum.offsets);
        if let Some(lags) = sum.lags {
            scrape.gauge(names::GROUP_LAG_SUM, labels, lags);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    #[test]
    fn lags_are_told_where_the_end_is_known() {
        let position = |group: &str, partition, offset, end| Position {
            group: group.to_owned(),
            topic: "orders".to_owned(),
            partition,
            offset,
            end,
        };
        let positions = [
            position("all", 0, 7, Some(10)),
            position("all", 1, 5, Some(4)),
            position("some", 0, 1, Some(10)),
            position("some", 1, 2, None),
        ];
        let metrics = Metrics::new();
        metrics.register_collector(move |scrape| groups(scrape, &positions));
        let text = metrics.render();
        let mut told: Vec<_> = text
            .lines()
            .filter_map(|line| line.strip_prefix("kafka_consumergroup_"))
            .collect();
        told.sort_unstable();
        assert_eq!(
            told,
            [
                "current_offset_sum{consumergroup=\"all\",topic=\"orders\"} 12",
                "current_offset_sum{consumergroup=\"some\",topic=\"orders\"} 3",
                "current_offset{consumergroup=\"all\",topic=\"orders\",partition=\"0\"} 7",
                "current_offset{consumergroup=\"all\",topic=\"orders\",partition=\"1\"} 5",
                "current_offset{consumergroup=\"some\",topic=\"orders\",partition=\"0\"} 1",
                "current_offset{consumergroup=\"some\",topic=\"orders\",partition=\"1\"} 2",
                "lag_sum{consumergroup=\"all\",topic=\"orders\"} 3",
                "lag{consumergroup=\"all\",topic=\"orders\",partition=\"0\"} 3",
                "lag{consumergroup=\"all\",topic=\"orders\",partition=\"1\"} 0",
                "lag{consumergroup=\"some\",topic=\"orders\",partition=\"0\"} 9",
            ]
        );
    }
}
