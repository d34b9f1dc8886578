//! `/consumers/<group>/offsets`: positions of groups that keep them in ZooKeeper.

use crate::types::TopicPartition;
use crate::zookeeper::Error;
use crate::zookeeper::Store;
use crate::zookeeper::paths;
use crate::zookeeper::pipeline::pipelined;
use crate::zookeeper::records;

impl Store {
    /// Notes the offset that a group wants to read next. The last writer wins.
    pub async fn commit_offset(
        &self,
        group: &str,
        partition: &TopicPartition,
        offset: i64,
    ) -> Result<(), Error> {
        let path = paths::consumer_offset(group, partition);
        self.overwrite(&path, offset.to_string().as_bytes()).await
    }

    /// Notes many offsets; results in their order.
    pub async fn commit_offsets(
        &self,
        group: &str,
        offsets: &[(TopicPartition, i64)],
    ) -> Vec<Result<(), Error>> {
        let writes = offsets.iter().cloned().map(|(partition, offset)| {
            let (store, group) = (self.clone(), group.to_owned());
            async move { store.commit_offset(&group, &partition, offset).await }
        });
        pipelined(writes).await
    }

    /// The offset that a group wants to read next; `None` if it never said so.
    pub async fn fetch_offset(&self, group: &str, partition: &TopicPartition) -> Result<Option<i64>, Error> {
        let path = paths::consumer_offset(group, partition);
        match self.read(&path).await? {
            Some(node) => records::parse_number(&path, &node.data),
            None => Ok(None),
        }
    }

    /// Many offsets of a group, in the order of the partitions.
    pub async fn fetch_offsets(
        &self,
        group: &str,
        partitions: &[TopicPartition],
    ) -> Vec<Result<Option<i64>, Error>> {
        let reads = partitions.iter().cloned().map(|partition| {
            let (store, group) = (self.clone(), group.to_owned());
            async move { store.fetch_offset(&group, &partition).await }
        });
        pipelined(reads).await
    }
}
