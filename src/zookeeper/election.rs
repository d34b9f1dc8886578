//! Contending for an ephemeral node.
//!
//! A node is ours if, and only if, our session owns it. What it says about its owner is not believed: the node of a
//! session that we had before says the same, and is about to vanish.

use std::time::Duration;

use zookeeper_client::CreateMode;

use crate::zookeeper::Error;
use crate::zookeeper::Node;
use crate::zookeeper::Retry;
use crate::zookeeper::Store;
use crate::zookeeper::watch::Change;

/// Outcome of one attempt to get the node.
pub(super) enum Claim {
    /// Our session owns it.
    Ours,
    /// Another session does. The change tells when that may be over.
    Taken(Node, Change),
}

impl Store {
    /// Creates the ephemeral node, or tells who has it.
    pub(super) async fn claim(&self, path: &str, data: &[u8]) -> Result<Claim, Error> {
        loop {
            match self.create_with_parents(path, data, CreateMode::Ephemeral).await {
                Err(Error::Exists { .. }) => {}
                result => return result.map(|()| Claim::Ours),
            }
            match self.read_and_watch(path).await? {
                (None, _) => {}
                (Some(node), _) if node.owner == self.session_id() => {
                    // Either an answer got lost, or we say something new.
                    if node.data != data {
                        self.write(path, data, None, Retry::Safe).await?;
                    }
                    return Ok(Claim::Ours);
                }
                (Some(node), change) => return Ok(Claim::Taken(node, change)),
            }
        }
    }

    /// Waits until the node has changed or vanished, and calls `tick` at once and then every `interval`.
    pub(super) async fn wait_for_change(
        &self,
        mut change: Change,
        interval: Duration,
        mut tick: impl FnMut(),
    ) -> Result<(), Error> {
        let mut ticks = tokio::time::interval(interval);
        loop {
            tokio::select! {
                () = &mut change => return Ok(()),
                () = self.ended() => return Err(Error::SessionLost),
                _ = ticks.tick() => tick(),
            }
        }
    }
}
