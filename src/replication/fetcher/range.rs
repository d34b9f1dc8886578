//! What to do where the leader has nothing at the offset that was asked for: ask where its log begins and ends.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::sync::Arc;

use tokio::time::Instant;

use super::Copies;
use super::Fetcher;
use super::Order;
use crate::blocking;
use crate::net::CallError;
use crate::net::Caller;
use crate::protocol::ErrorCode;
use crate::protocol::fetch::Reader;
use crate::protocol::list_offsets::ListOffsetsRequest;
use crate::protocol::list_offsets::ListOffsetsResponse;
use crate::protocol::list_offsets::OffsetSpec;
use crate::protocol::list_offsets::PartitionOffsets;
use crate::replication::partition::Taken;
use crate::types::TopicPartition;

impl Fetcher {
    /// Asks the leader where the logs begin and end that had nothing at the asked offsets.
    pub(super) async fn look_for_range(
        &self,
        copies: &mut Copies,
        names: &[TopicPartition],
        caller: &Caller,
    ) {
        let ranges = async {
            let ends = caller.call(&self.offsets(names, OffsetSpec::Latest)).await?;
            let starts = caller.call(&self.offsets(names, OffsetSpec::Earliest)).await?;
            Ok::<_, CallError>((first_offsets(starts), first_offsets(ends)))
        };
        let (starts, ends) = match ranges.await {
            Ok(ranges) => ranges,
            Err(error) => {
                tracing::warn!("asking broker {} for its offsets: {error}", self.leader.id);
                Default::default()
            }
        };
        blocking::in_place(|| {
            for name in names {
                let copied = copies
                    .get_mut(&name.topic)
                    .and_then(|partitions| partitions.get_mut(&name.partition));
                let Some(copied) = copied else { continue };
                let (Order { partition, since }, Some(asked)) = (&copied.order, copied.asked) else {
                    continue;
                };
                let taken = match (starts.get(name), ends.get(name)) {
                    (Some(start), Some(end)) => {
                        partition.take_out_of_range(*since, asked, (*start, *end), &self.logs)
                    }
                    _ => Ok(Taken::Outdated),
                };
                match taken {
                    Ok(Taken::All) if partition.next_fetch(*since) != Some(asked) => {}
                    // The answer was outdated, or there is none.
                    Ok(_) => copied.rests_until = Some(Instant::now() + copied.pause.next()),
                    Err(error) => self.failed(copied, error),
                }
            }
        });
    }

    fn offsets(&self, names: &[TopicPartition], at: OffsetSpec) -> ListOffsetsRequest {
        let mut topics: BTreeMap<&str, Vec<PartitionOffsets>> = BTreeMap::new();
        for name in names {
            topics.entry(&name.topic).or_default().push(PartitionOffsets {
                partition: name.partition,
                at,
                max_offsets: 1,
            });
        }
        let topics = topics
            .into_iter()
            .map(|(topic, asked)| (Some(topic.to_owned()), asked));
        ListOffsetsRequest {
            reader: Reader::Follower(self.me),
            topics: topics.collect(),
        }
    }
}

/// The offset that was answered for each partition.
fn first_offsets(response: ListOffsetsResponse) -> HashMap<TopicPartition, i64> {
    let mut offsets = HashMap::new();
    for (topic, found) in response.topics {
        let topic: Arc<str> = topic.unwrap_or_default().into();
        for found in found.iter().filter(|found| found.error == ErrorCode::None) {
            let name = TopicPartition::new(Arc::clone(&topic), found.partition);
            offsets.extend(found.offsets.first().map(|offset| (name, *offset)));
        }
    }
    offsets
}
