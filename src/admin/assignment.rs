//! Spreading replicas over brokers (pure).

use std::collections::BTreeMap;

use crate::types::BrokerId;

/// The replicas asked for cannot be placed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A topic has at least one partition.
    #[error("number of partitions must be larger than 0")]
    NoPartitions,
    /// A partition has at least one replica.
    #[error("replication factor must be larger than 0")]
    NoReplicas,
    /// A broker keeps at most one replica of a partition.
    #[error("replication factor: {wanted} larger than available brokers: {available}")]
    TooFewBrokers {
        /// Replicas asked for.
        wanted: usize,
        /// Registered brokers.
        available: usize,
    },
}

/// Where the first replicas start, and how far the second ones are shifted against them.
#[derive(Debug, Clone, Copy)]
pub struct Start {
    /// Index of the broker that gets partition 0.
    pub broker: usize,
    /// Distance of the second replica from the first.
    pub shift: usize,
    /// The first partition that is assigned: those before it are there already.
    pub partition: usize,
}

impl Start {
    /// A random start, so that the first partitions of many topics don't meet on one broker.
    pub fn random(brokers: usize) -> Self {
        let below = brokers.max(1);
        Self {
            broker: fastrand::usize(..below),
            shift: fastrand::usize(..below),
            partition: 0,
        }
    }
}

/// Assigns replicas round-robin: as 0.8.2.2 does (AdminUtils.assignReplicasToBrokers).
///
/// The first replica walks over the brokers; the others follow at a distance that grows by one each time all brokers
/// have been visited, so that the partitions of a dead broker spread over all others.
pub fn spread(
    brokers: &[BrokerId],
    partitions: usize,
    replicas: usize,
    start: Start,
) -> Result<BTreeMap<i32, Vec<BrokerId>>, Error> {
    let count = brokers.len();
    if partitions == 0 {
        return Err(Error::NoPartitions);
    }
    if replicas == 0 {
        return Err(Error::NoReplicas);
    }
    if replicas > count {
        return Err(Error::TooFewBrokers {
            wanted: replicas,
            available: count,
        });
    }
    let mut assignment = BTreeMap::new();
    let mut shift = start.shift;
    let first_number = i32::try_from(start.partition).unwrap_or(i32::MAX);
    for (partition, number) in (start.partition..).zip(first_number..).take(partitions) {
        if partition > 0 && partition % count == 0 {
            shift += 1;
        }
        let first = (partition + start.broker) % count;
        let others = (0..replicas - 1).map(|replica| (first + 1 + (shift + replica) % (count - 1)) % count);
        let chosen = std::iter::once(first).chain(others);
        assignment.insert(
            number,
            chosen.filter_map(|index| brokers.get(index)).copied().collect(),
        );
    }
    Ok(assignment)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn ids(ids: &[i32]) -> Vec<BrokerId> {
        ids.iter().copied().map(BrokerId).collect()
    }

    #[test]
    fn replicas_walk_over_the_brokers() {
        let start = Start {
            broker: 0,
            shift: 0,
            partition: 0,
        };
        let assignment = spread(&ids(&[0, 1, 2, 3, 4]), 10, 3, start).unwrap();
        let expected = [
            [0, 1, 2],
            [1, 2, 3],
            [2, 3, 4],
            [3, 4, 0],
            [4, 0, 1],
            [0, 2, 3],
            [1, 3, 4],
            [2, 4, 0],
            [3, 0, 1],
            [4, 1, 2],
        ];
        assert_eq!(
            assignment.into_values().collect::<Vec<_>>(),
            expected.map(|replicas| ids(&replicas))
        );
    }

    #[test]
    fn added_partitions_go_on_where_the_first_ones_end() {
        let start = Start {
            broker: 0,
            shift: 0,
            partition: 4,
        };
        let added = spread(&ids(&[0, 1, 2]), 3, 2, start).unwrap();
        let expected = [(4, ids(&[1, 2])), (5, ids(&[2, 0])), (6, ids(&[0, 2]))];
        assert_eq!(added.into_iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn what_cannot_be_placed_is_refused() {
        let start = Start::random(1);
        assert_eq!(
            spread(&ids(&[1]), 1, 2, start),
            Err(Error::TooFewBrokers {
                wanted: 2,
                available: 1
            })
        );
        assert_eq!(
            spread(&[], 1, 1, start),
            Err(Error::TooFewBrokers {
                wanted: 1,
                available: 0
            })
        );
        assert_eq!(spread(&ids(&[1]), 0, 1, start), Err(Error::NoPartitions));
        assert_eq!(spread(&ids(&[1]), 1, 0, start), Err(Error::NoReplicas));
        let one = spread(&ids(&[7]), 2, 1, start).unwrap();
        assert_eq!(one.into_values().collect::<Vec<_>>(), [ids(&[7]), ids(&[7])]);
    }

    #[test]
    fn replicas_are_placed_where_the_reference_places_them() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/fixtures/tables/replica-assignment.json"
        );
        let table: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let rows = table["rows"].as_array().unwrap();
        assert!(rows.len() > 500);
        for row in rows {
            let number = |key: &str| usize::try_from(row[key].as_i64().unwrap().max(0)).unwrap();
            let brokers: Vec<i32> = serde_json::from_value(row["brokers"].clone()).unwrap();
            let start = Start {
                broker: number("start_index"),
                shift: number("start_index"),
                partition: number("start_partition"),
            };
            let placed = spread(
                &ids(&brokers),
                number("partitions"),
                number("replication_factor"),
                start,
            );
            match placed {
                Ok(assignment) => {
                    let assignment: BTreeMap<_, Vec<i32>> = assignment
                        .into_iter()
                        .map(|(partition, replicas)| {
                            (
                                partition.to_string(),
                                replicas.into_iter().map(|id| id.0).collect(),
                            )
                        })
                        .collect();
                    assert_eq!(serde_json::json!(assignment), row["assignment"], "{row}");
                }
                Err(error) => {
                    let expected = row["error"].as_str().unwrap_or_else(|| panic!("{row}"));
                    assert_eq!(
                        format!("kafka.admin.AdminOperationException: {error}"),
                        expected,
                        "{row}"
                    );
                }
            }
        }
    }
}
