//! The door for orders of controllers: those of an epoch below the highest seen stay outside, and so do those that a
//! controller has sent on a connection which it has given up since. The others enter one at a time.
//!
//! A controller whose order is not answered in time sends it again on another connection, and goes on there. The first
//! one may still arrive, when the network is mended or this process wakes: an order to delete a replica, say, that has
//! been assigned anew and is in sync by then. 0.8.2.2 carries it out.

use tokio::sync::Mutex;
use tokio::sync::MutexGuard;

/// The highest controller epoch that this broker has seen, and how it was spoken to.
#[derive(Debug)]
pub struct ControllerEpoch(Mutex<Newest>);

/// What the latest order tells of those that may come.
#[derive(Debug)]
struct Newest {
    epoch: i32,
    /// The connection on which it came; later ones have greater numbers.
    connection: u64,
}

/// The order has been overtaken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Stale {
    /// It comes from a controller that has been replaced.
    #[error("controller epoch {epoch} is below {newest}")]
    Epoch {
        /// Epoch of the order.
        epoch: i32,
        /// Highest epoch seen.
        newest: i32,
    },
    /// It comes on a connection that the controller has given up.
    #[error("the controller has opened another connection since")]
    Connection,
}

/// Held while an order is carried out; the next one waits.
#[derive(Debug)]
pub struct Admitted<'a>(#[expect(dead_code, reason = "held for its lock")] MutexGuard<'a, Newest>);

impl ControllerEpoch {
    /// Starts with the epoch that ZooKeeper knows, so that a controller replaced long ago is refused from the start.
    pub fn new(newest: i32) -> Self {
        Self(Mutex::new(Newest {
            epoch: newest,
            connection: 0,
        }))
    }

    /// Lets an order in that came on this connection, and remembers its epoch, unless a newer controller has spoken
    /// before, or the same one on a later connection.
    pub async fn admit(&self, epoch: i32, connection: u64) -> Result<Admitted<'_>, Stale> {
        let mut newest = self.0.lock().await;
        if epoch < newest.epoch {
            return Err(Stale::Epoch {
                epoch,
                newest: newest.epoch,
            });
        }
        if epoch == newest.epoch && connection < newest.connection {
            return Err(Stale::Connection);
        }
        *newest = Newest { epoch, connection };
        Ok(Admitted(newest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_older_controller_is_refused_an_equal_one_is_not() {
        let epoch = ControllerEpoch::new(3);
        let stale = epoch.admit(2, 1).await.unwrap_err();
        assert_eq!(stale, Stale::Epoch { epoch: 2, newest: 3 });
        assert!(epoch.admit(3, 1).await.is_ok());
        assert!(epoch.admit(5, 1).await.is_ok());
        assert!(epoch.admit(4, 2).await.is_err());
    }

    #[tokio::test]
    async fn what_comes_on_a_connection_that_was_given_up_is_refused() {
        let epoch = ControllerEpoch::new(3);
        for connection in [1, 4, 4] {
            assert!(epoch.admit(3, connection).await.is_ok());
        }
        assert_eq!(epoch.admit(3, 1).await.unwrap_err(), Stale::Connection);
        // The next controller may have connected before.
        assert!(epoch.admit(4, 2).await.is_ok());
        assert!(epoch.admit(4, 3).await.is_ok());
        assert!(epoch.admit(3, 5).await.is_err());
    }
}
