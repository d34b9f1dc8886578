//! `/controller` and `/controller_epoch`: who decides, and how many have decided before.

use std::time::Duration;

use tracing::info;
use tracing::warn;
use zookeeper_client::CreateMode;

use crate::types::BrokerId;
use crate::zookeeper::Error;
use crate::zookeeper::Node;
use crate::zookeeper::Retry;
use crate::zookeeper::SessionId;
use crate::zookeeper::Store;
use crate::zookeeper::Versioned;
use crate::zookeeper::Watched;
use crate::zookeeper::election::Claim;
use crate::zookeeper::paths;
use crate::zookeeper::records;

/// How often the log says that an election waits for a dead session.
const WAITING_INTERVAL: Duration = Duration::from_secs(5);

/// Who holds `/controller`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ControllerRegistration {
    /// The broker.
    pub id: BrokerId,
    /// Its session. A broker is controller only while this is the session it has.
    pub session: SessionId,
}

/// Outcome of an election.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Election {
    /// We are controller until the session ends or the node is taken from us.
    Elected,
    /// Another broker is.
    Other(BrokerId),
}

impl Store {
    /// The broker that holds `/controller`, if any does.
    pub async fn controller(&self) -> Result<Option<ControllerRegistration>, Error> {
        parse_controller(paths::CONTROLLER, self.read(paths::CONTROLLER).await?)
    }

    /// Whether `/controller` is this session's, and names this broker.
    pub async fn holds_office(&self, me: BrokerId) -> Result<bool, Error> {
        let holder = self.controller().await?;
        Ok(holder.is_some_and(|holder| holder.id == me && holder.session == self.session_id()))
    }

    /// Follows who holds `/controller`.
    pub fn watch_controller(&self) -> Watched<Option<ControllerRegistration>> {
        Watched::content(self, paths::CONTROLLER.to_owned(), parse_controller)
    }

    /// Runs for controller.
    ///
    /// A node that carries our id but belongs to another session is left over from one that we had before. It is not
    /// believed: this waits until it is gone, and then goes on. So it does with one that can't be read.
    pub async fn try_elect(&self, me: BrokerId) -> Result<Election, Error> {
        let data = records::encode_controller(me, &records::timestamp());
        loop {
            let (node, change) = match self.claim(paths::CONTROLLER, data.as_bytes()).await? {
                Claim::Ours => return Ok(Election::Elected),
                Claim::Taken(node, change) => (node, change),
            };
            let owner = node.owner;
            match records::parse_controller(paths::CONTROLLER, &node.data) {
                Ok(Some(id)) if id != me => return Ok(Election::Other(id)),
                Ok(_) => {}
                // Whoever it is, it is not for us to take it away.
                Err(error) => warn!("{error}; waiting until it is gone"),
            }
            let tick = || {
                if owner != SessionId(0) {
                    info!("{} is held by session {owner} until it ends", paths::CONTROLLER);
                }
            };
            self.wait_for_change(change, WAITING_INTERVAL, tick).await?;
        }
    }

    /// Gives the office back, if it is this session's. A successor's node stays: 0.8.2.2 deletes whatever is there.
    pub async fn resign_controller(&self) -> Result<(), Error> {
        let Some(node) = self.read(paths::CONTROLLER).await? else {
            return Ok(());
        };
        if node.owner != self.session_id() {
            return Ok(());
        }
        match self.delete(paths::CONTROLLER, Some(node.version)).await {
            Err(Error::Conflict { .. } | Error::NotFound { .. }) => Ok(()),
            result => result,
        }
    }

    /// The epoch of the latest controller; `None` if there never was one.
    pub async fn controller_epoch(&self) -> Result<Option<Versioned<i32>>, Error> {
        let path = paths::CONTROLLER_EPOCH;
        let Some(node) = self.read(path).await? else {
            return Ok(None);
        };
        let epoch = records::parse_number(path, &node.data)?
            .ok_or_else(|| Error::corrupt(path, "an epoch without content"))?;
        Ok(Some(Versioned {
            value: epoch,
            version: node.version,
        }))
    }

    /// Starts the next epoch. [`Error::Conflict`] if another controller did so at the same time: unlike 0.8.2.2, which
    /// goes on with the old epoch, nobody may then act as controller without having tried again.
    pub async fn next_controller_epoch(&self) -> Result<Versioned<i32>, Error> {
        let path = paths::CONTROLLER_EPOCH;
        let Some(current) = self.controller_epoch().await? else {
            return self.first_controller_epoch().await;
        };
        let next = current
            .value
            .checked_add(1)
            .ok_or_else(|| Error::corrupt(path, "no epoch is left"))?;
        // Never sent twice: who finds the epoch raised cannot tell by whom.
        let data = next.to_string();
        let version = self
            .write(path, data.as_bytes(), Some(current.version), Retry::Never)
            .await?;
        Ok(Versioned { value: next, version })
    }

    async fn first_controller_epoch(&self) -> Result<Versioned<i32>, Error> {
        let path = paths::CONTROLLER_EPOCH;
        let options = CreateMode::Persistent.with_acls(self.acls(path));
        let options = &options;
        let created = self
            .call(path, Retry::Never, |client| async move {
                client.create(path, b"1", options).await
            })
            .await;
        match created {
            Ok(_) => Ok(Versioned { value: 1, version: 0 }),
            Err(Error::Exists { path }) => Err(Error::Conflict { path }),
            Err(error) => Err(error),
        }
    }
}

fn parse_controller(path: &str, node: Option<Node>) -> Result<Option<ControllerRegistration>, Error> {
    let Some(node) = node else { return Ok(None) };
    let id = records::parse_controller(path, &node.data)?;
    Ok(id.map(|id| ControllerRegistration {
        id,
        session: node.owner,
    }))
}
