//! Memory that all connections share: one budget for what clients send, one for what is answered.
//!
//! - [`FREE`] bytes are nobody's business: what idle clients and small requests take is not counted.
//! - More is charged as it is needed, by what has arrived and never by what was announced. Who needs more while nothing
//!   is left waits; a charge may go beyond what is left, by that one step.
//! - Who came last is served first: those who wait for long do so because others like them keep what there is.
//! - One at a time may go on although nothing is left, so that parts of frames never wait for each other.

use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering::AcqRel;
use std::sync::atomic::Ordering::Acquire;

use tokio::sync::Notify;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;

use crate::metrics::Level;

/// Bytes that each connection may use uncounted, for each of three things: what it reads, a request, its answer.
pub(super) const FREE: usize = 4 << 10;

/// See the module.
#[derive(Debug)]
pub(super) struct Budget {
    left: AtomicI64,
    freed: Notify,
    exceptions: Arc<Semaphore>,
    /// Who waits here.
    waiting: Level,
    /// Who waits here or elsewhere.
    all_waiting: Level,
}

/// Permission to go on although nothing is left.
pub(super) type Exception = OwnedSemaphorePermit;

impl Budget {
    /// For so many bytes. `all_waiting` also counts who waits for them.
    pub(super) fn new(bytes: usize, all_waiting: Level) -> Arc<Self> {
        Arc::new(Self {
            left: AtomicI64::new(signed(bytes)),
            freed: Notify::new(),
            exceptions: Arc::new(Semaphore::new(1)),
            waiting: Level::default(),
            all_waiting,
        })
    }

    /// Whether something is left.
    pub(super) fn has_room(&self) -> bool {
        self.left.load(Acquire) > 0
    }

    /// Whether somebody waits for memory.
    pub(super) fn is_short(&self) -> bool {
        self.waiting.value() > 0
    }

    /// Waits until something is left, or for permission to go on without.
    pub(super) async fn room(self: Arc<Self>) -> Option<Exception> {
        let _waiting = (self.waiting.enter(), self.all_waiting.enter());
        while !self.has_room() {
            tokio::select! {
                biased;
                () = self.freed.notified() => {}
                exception = Arc::clone(&self.exceptions).acquire_owned() => return exception.ok(), // Never closed.
            }
        }
        None
    }

    fn take(&self, bytes: usize) {
        self.left.fetch_sub(signed(bytes), AcqRel);
        if self.has_room() {
            // Who was woken has taken what it needs: there is something for the next one, too.
            self.freed.notify_last();
        }
    }

    fn give_back(&self, bytes: usize) {
        self.left.fetch_add(signed(bytes), AcqRel);
        if self.has_room() {
            self.freed.notify_last();
        }
    }
}

fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX / 4)
}

/// Bytes that are charged until this is dropped.
#[derive(Debug)]
pub(super) struct Charge {
    budget: Arc<Budget>,
    bytes: usize,
    exception: Option<Exception>,
}

impl Charge {
    /// Nothing, so far.
    pub(super) fn new(budget: &Arc<Budget>) -> Self {
        Self {
            budget: Arc::clone(budget),
            bytes: 0,
            exception: None,
        }
    }

    /// How much is charged.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Charges this much instead, whether it is there or not.
    pub(super) fn set(&mut self, bytes: usize) {
        if bytes > self.bytes {
            self.budget.take(bytes - self.bytes);
        } else if bytes < self.bytes {
            self.budget.give_back(self.bytes - bytes);
        }
        self.bytes = bytes;
    }

    /// Whether more may be charged now.
    pub(super) fn may_grow(&self) -> bool {
        self.exception.is_some() || self.budget.has_room()
    }

    /// Whether this goes on although nothing is left.
    pub(super) fn is_exception(&self) -> bool {
        self.exception.is_some()
    }

    /// Takes a permission to go on, if there is one.
    pub(super) fn except(&mut self, exception: Option<Exception>) {
        self.exception = exception;
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    const SOON: Duration = Duration::from_secs(10);
    const NEVER: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn who_needs_memory_waits_until_some_is_left() {
        let budget = Budget::new(100, Level::default());
        let (mut one, mut other) = (Charge::new(&budget), Charge::new(&budget));
        one.set(60);
        other.set(60);
        assert!(!budget.has_room(), "beyond what was there, by one step");
        let first = Arc::clone(&budget).room().await;
        assert!(first.is_some(), "one may go on");
        let mut second = pin!(Arc::clone(&budget).room());
        assert!(timeout(NEVER, &mut second).await.is_err(), "the others may not");
        assert!(budget.is_short());
        one.set(39);
        assert!(timeout(SOON, second).await.unwrap().is_none());
        assert!(!budget.is_short());
        drop((one, other));
        assert_eq!(budget.left.load(Acquire), 100);
    }

    #[tokio::test]
    async fn whoever_is_there_wakes_the_next() {
        let budget = Budget::new(1_000, Level::default());
        let mut all = Charge::new(&budget);
        all.set(1_000);
        let exception = Arc::clone(&budget).room().await;
        let waiting: Vec<_> = (0..50)
            .map(|_| {
                let budget = Arc::clone(&budget);
                tokio::spawn(async move {
                    let exception = Arc::clone(&budget).room().await;
                    assert!(exception.is_none());
                    let mut charge = Charge::new(&budget);
                    charge.set(10);
                    charge
                })
            })
            .collect();
        tokio::task::yield_now().await;
        all.set(0);
        for one in waiting {
            assert_eq!(timeout(SOON, one).await.unwrap().unwrap().bytes(), 10);
        }
        drop(exception);
    }
}
