//! Topics that come and go meanwhile: each gets messages before it is deleted, and its name is used again afterwards.

use std::time::Duration;

use gregor::message::Codec;

use super::client::Client;
use super::cluster::BRIEF_PARTITIONS;
use super::cluster::Cluster;
use super::load::base_offset;
use crate::support::eventually::within;
use crate::support::requests::produce;
use crate::support::requests::set;

/// Messages of a request, and what each of them says: two requests fill a segment.
const MESSAGES: usize = 100;
const TEXT: &str = "x";
const LENGTH: usize = 1000;

/// Requests to each partition.
const REQUESTS: usize = 3;

/// How long a partition may need to take one.
const TAKEN: Duration = Duration::from_secs(30);

/// The topics by what was done with them last.
#[derive(Debug, Default)]
pub(super) struct BriefTopics {
    /// Created.
    there: Vec<String>,
    /// To be deleted, since the last time all was done.
    doomed: Vec<String>,
    /// Deleted, whose names nobody has any more.
    gone: Vec<String>,
}

impl BriefTopics {
    /// Those that are to have leaders.
    pub(super) fn there(&self) -> &[String] {
        &self.there
    }

    /// Creates one, under the name of one that was deleted if there is any; whether there is.
    pub(super) fn create(&mut self, cluster: &Cluster, round: usize) -> Result<bool, String> {
        let old = self.gone.pop();
        let again = old.is_some();
        let topic = old.unwrap_or_else(|| format!("brief-{round}"));
        cluster.create(&topic, BRIEF_PARTITIONS)?;
        self.there.push(topic);
        Ok(again)
    }

    /// Deletes one that has messages; creates it before where none is there.
    pub(super) fn delete(&mut self, cluster: &Cluster, round: usize) -> Result<(), String> {
        if self.there.is_empty() {
            self.create(cluster, round)?;
        }
        if let Some(topic) = self.there.pop() {
            (0..BRIEF_PARTITIONS).try_for_each(|partition| fill(cluster, &topic, partition))?;
            cluster.topics(&["--delete", "--topic", &topic])?;
            self.doomed.push(topic);
        }
        Ok(())
    }

    /// Nothing is left of those that were deleted, as far as disks go.
    pub(super) fn settled(&self, cluster: &Cluster) -> Result<(), String> {
        let mut left = self.doomed.iter().flat_map(|topic| cluster.directories_of(topic));
        left.next()
            .map_or(Ok(()), |left| Err(format!("{} is still there", left.display())))
    }

    /// Notes that deletions are done: the names may be used again.
    pub(super) fn deletions_are_done(&mut self) {
        self.gone.append(&mut self.doomed);
    }
}

/// Writes more than a segment to a partition, which nobody has written to yet; an error if it is not empty, whatever had
/// its name before.
fn fill(cluster: &Cluster, topic: &str, partition: usize) -> Result<(), String> {
    let text = TEXT.repeat(LENGTH);
    let messages = set(Codec::None, &[text.as_str(); MESSAGES]);
    let number = i32::try_from(partition).expect("few partitions");
    let request = produce(1, TAKEN, topic, [(number, messages)]);
    for first in (0..REQUESTS).map(|count| count == 0) {
        let mut last = String::new();
        // A request whose answer was lost may have been taken.
        let mut lost = false;
        let taken = within(TAKEN, || {
            let leader = cluster.leader(topic, partition)?;
            let answer = Client::open(cluster.brokers[leader].address()).and_then(|mut to| to.call(&request));
            last = format!("{leader} says {answer:?}");
            lost |= answer.is_err();
            base_offset(&answer.ok()?)
        });
        let at =
            taken.ok_or_else(|| format!("{topic}-{partition} takes nothing within {TAKEN:?}: {last}"))?;
        if first && !lost && at != 0 {
            return Err(format!("{topic}-{partition} is new and has {at} messages"));
        }
    }
    Ok(())
}
