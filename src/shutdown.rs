//! The stop signal, and the one way to stop because of a fatal error.
//!
//! `main` owns the [`Trigger`]; every task gets a [`Shutdown`]. Whoever meets a failure that the broker must not
//! outlive reports it with [`Shutdown::fail`]; the first report wins and is what `main` prints.

use std::error::Error;
use std::sync::Arc;

use tokio::sync::watch;

/// Why the process stops.
#[derive(Debug, Clone)]
pub enum Reason {
    /// Somebody asked for it: a signal, or a test.
    Asked,
    /// Going on could lose data.
    Failed(Arc<dyn Error + Send + Sync>),
}

/// Pulled once to stop everything.
#[derive(Debug, Clone)]
pub struct Trigger(Arc<watch::Sender<Option<Reason>>>);

/// Given to every task.
#[derive(Debug, Clone)]
pub struct Shutdown {
    asked: watch::Receiver<Option<Reason>>,
    trigger: Trigger,
}

impl Trigger {
    /// A trigger that nobody has pulled.
    #[expect(
        clippy::new_without_default,
        reason = "a default trigger that nobody holds would be a mistake"
    )]
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(None)))
    }

    /// A signal for one more task.
    pub fn signal(&self) -> Shutdown {
        Shutdown {
            asked: self.0.subscribe(),
            trigger: self.clone(),
        }
    }

    /// Asks everybody to stop.
    pub fn stop(&self) {
        self.pull(Reason::Asked);
    }

    /// Why, once anybody has pulled it.
    pub fn reason(&self) -> Option<Reason> {
        self.0.borrow().clone()
    }

    fn pull(&self, reason: Reason) {
        self.0.send_if_modified(|current| {
            let first = current.is_none();
            if first {
                *current = Some(reason);
            }
            first
        });
    }
}

impl Shutdown {
    /// Completes once shutdown was asked for. May be awaited again and again.
    pub async fn requested(&mut self) {
        // An error means that the trigger is gone, which also means stop.
        let _ = self.asked.wait_for(Option::is_some).await;
    }

    /// Whether shutdown was asked for.
    pub fn is_requested(&self) -> bool {
        self.asked.borrow().is_some()
    }

    /// Stops the broker because of an error that it must not outlive.
    pub fn fail(&self, error: impl Error + Send + Sync + 'static) {
        self.trigger.pull(Reason::Failed(Arc::new(error)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_reason_wins() {
        let trigger = Trigger::new();
        let mut signal = trigger.signal();
        assert!(!signal.is_requested());
        signal.fail(std::io::Error::other("disk"));
        trigger.stop();
        signal.requested().await;
        signal.requested().await;
        assert!(matches!(trigger.reason(), Some(Reason::Failed(error)) if error.to_string() == "disk"));
    }
}
