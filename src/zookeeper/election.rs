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

/// Outcome of one attempt to get the node.
pub(super) enum Claim {
    /// Our session owns it.
    Ours,
    /// Another session does. `Vacancy` tells when that is over.
    Taken(Node, Vacancy),
}

/// Completes when the node has changed or vanished.
pub(super) type Vacancy = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

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
                (Some(node), vacancy) => return Ok(Claim::Taken(node, vacancy)),
            }
        }
    }

    /// Waits until the node has changed or vanished, and calls `tick` at once and then every `interval`.
    pub(super) async fn wait_for_vacancy(
        &self,
        mut vacancy: Vacancy,
        interval: Duration,
        mut tick: impl FnMut(),
    ) -> Result<(), Error> {
        let mut ticks = tokio::time::interval(interval);
        loop {
            tokio::select! {
                () = &mut vacancy => return Ok(()),
                () = self.ended() => return Err(Error::SessionLost),
                _ = ticks.tick() => tick(),
            }
        }
    }
}
