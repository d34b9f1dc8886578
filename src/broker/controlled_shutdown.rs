//! Handing leaderships over before stopping, so that clients meet a new leader instead of none.
//!
//! It is a favour to others and never in the way: it ends when ZooKeeper is away, and in any case after a few seconds.

use tokio::time::sleep;
use tokio::time::timeout;

use crate::broker::config::ControlledShutdownConfig;
use crate::controller::ControllerHandle;
use crate::net::CallError;
use crate::net::Caller;
use crate::protocol::ErrorCode;
use crate::protocol::controlled_shutdown::ControlledShutdownRequest;
use crate::types::BrokerId;
use crate::zookeeper;
use crate::zookeeper::Sessions;
use crate::zookeeper::State;
use crate::zookeeper::Store;

/// A broker that may want to leave its cluster.
#[derive(Debug)]
pub(crate) struct Leaving {
    pub(crate) me: BrokerId,
    pub(crate) config: ControlledShutdownConfig,
    pub(crate) sessions: Sessions,
    /// The controller of this very process, if that is the one to ask.
    pub(crate) controller: ControllerHandle,
}

/// What came of one attempt.
enum Answer {
    /// This many partitions are still led by us.
    Remaining(usize),
    /// There is no controller, or nobody who could take over.
    Nobody,
}

/// Why an attempt failed.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    ZooKeeper(#[from] zookeeper::Error),
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("broker {0} is controller, but not registered")]
    Unregistered(BrokerId),
    #[error("the controller answered {0:?}")]
    Refused(ErrorCode),
}

impl Leaving {
    /// Asks the controller to move leaderships away, as often as configured.
    pub(crate) async fn leave(&self) {
        if !self.config.enabled {
            return;
        }
        let limit = ControlledShutdownConfig::LIMIT;
        let mut state = self.sessions.subscribe();
        let gone = state.wait_for(|state| !matches!(state, State::Connected(_)));
        tokio::select! {
            biased;
            _ = gone => tracing::warn!("ZooKeeper is away: stopping without controlled shutdown"),
            done = timeout(limit, self.attempts()) => if done.is_err() {
                tracing::warn!("controlled shutdown is not done after {limit:?}; stopping anyway");
            },
        }
    }

    async fn attempts(&self) {
        for attempt in 1..=self.config.max_retries {
            match self.ask().await {
                Ok(Answer::Remaining(0)) => {
                    tracing::info!("Controlled shutdown succeeded");
                    return;
                }
                Ok(Answer::Nobody) => {
                    tracing::info!("there is nobody to hand leaderships over to");
                    return;
                }
                Ok(Answer::Remaining(count)) => {
                    tracing::warn!("nobody else can lead {count} partitions of this broker yet");
                }
                Err(error) => tracing::warn!("controlled shutdown: {error}"),
            }
            if attempt < self.config.max_retries {
                sleep(self.config.pause()).await;
            }
        }
        tracing::warn!("stopping without having handed over all leaderships");
    }

    async fn ask(&self) -> Result<Answer, Error> {
        let store = self.sessions.current()?;
        let Some(controller) = store.controller().await? else {
            return Ok(Answer::Nobody);
        };
        let remaining = if controller.id == self.me {
            let remaining = self.controller.controlled_shutdown(self.me).await;
            remaining.ok_or(Error::Refused(ErrorCode::Unknown))?.len()
        } else {
            self.ask_broker(&store, controller.id).await?
        };
        if remaining > 0 && store.brokers().await?.len() < 2 {
            return Ok(Answer::Nobody);
        }
        Ok(Answer::Remaining(remaining))
    }

    async fn ask_broker(&self, store: &Store, controller: BrokerId) -> Result<usize, Error> {
        let registered = store.broker(controller).await?;
        let registered = registered.ok_or(Error::Unregistered(controller))?;
        let caller = Caller::connect(&registered.endpoint(), ControlledShutdownConfig::LIMIT, None).await?;
        let request = ControlledShutdownRequest { broker: self.me };
        let response = caller.call(&request).await?;
        match response.error {
            ErrorCode::None => Ok(response.partitions_remaining.len()),
            error => Err(Error::Refused(error)),
        }
    }
}
