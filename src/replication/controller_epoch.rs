//! The door for orders of controllers: those of an epoch below the highest seen stay outside, the others enter one
//! at a time.

use tokio::sync::Mutex;
use tokio::sync::MutexGuard;
use tokio::sync::watch;

/// The highest controller epoch that this broker has seen.
#[derive(Debug)]
pub struct ControllerEpoch {
    newest: Mutex<i32>,
    spoken: watch::Sender<bool>,
}

/// The order comes from a controller that has been replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("controller epoch {epoch} is below {newest}")]
pub struct Stale {
    /// Epoch of the order.
    pub epoch: i32,
    /// Highest epoch seen.
    pub newest: i32,
}

/// Held while an order is carried out; the next one waits.
#[derive(Debug)]
pub struct Admitted<'a>(#[expect(dead_code, reason = "held for its lock")] MutexGuard<'a, i32>);

impl ControllerEpoch {
    /// Starts with the epoch that ZooKeeper knows, so that a controller replaced long ago is refused from the start.
    pub fn new(newest: i32) -> Self {
        Self {
            newest: Mutex::new(newest),
            spoken: watch::Sender::new(false),
        }
    }

    /// Whether any order was let in yet.
    pub fn spoken(&self) -> watch::Receiver<bool> {
        self.spoken.subscribe()
    }

    /// Lets an order in and remembers its epoch, unless a newer controller has spoken before.
    pub async fn admit(&self, epoch: i32) -> Result<Admitted<'_>, Stale> {
        let mut newest = self.newest.lock().await;
        if epoch < *newest {
            return Err(Stale {
                epoch,
                newest: *newest,
            });
        }
        *newest = epoch;
        self.spoken
            .send_if_modified(|spoken| !std::mem::replace(spoken, true));
        Ok(Admitted(newest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_older_controller_is_refused_an_equal_one_is_not() {
        let epoch = ControllerEpoch::new(3);
        assert_eq!(epoch.admit(2).await.unwrap_err(), Stale { epoch: 2, newest: 3 });
        assert!(!*epoch.spoken().borrow());
        assert!(epoch.admit(3).await.is_ok());
        assert!(epoch.admit(5).await.is_ok());
        assert!(epoch.admit(4).await.is_err());
        assert!(*epoch.spoken().borrow());
    }
}
