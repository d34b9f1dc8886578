//! How far a partition has come, published so that others can wait for it.
//!
//! Waiting producers and long-polling fetches hold a receiver; nobody is called back and nothing is parked in a
//! registry: giving up is dropping the future.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use tokio::sync::watch;

use crate::protocol::produce::Acks;

/// How far this replica and its ISR have come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The leader epoch with which the leadership began; another one makes waiters give up.
    pub leadership: i32,
    /// Whether this broker is the leader.
    pub leads: bool,
    /// First offset that some member of the ISR may lack. Consumers read below it.
    pub high_watermark: i64,
    /// First offset not written here. `high_watermark <= log_end_offset`.
    pub log_end_offset: i64,
    /// Everything below is durable here, whatever becomes of this machine.
    pub flushed: i64,
    /// Log end offsets of the followers in the ISR, in no particular order. Shared, because most changes are appends
    /// here, which don't touch it.
    pub follower_log_ends: Arc<[i64]>,
}

impl Progress {
    /// Whether as many replicas as `acks` asks for have everything below `end_offset`.
    pub fn acknowledges(&self, end_offset: i64, acks: Acks) -> bool {
        match acks {
            Acks::None | Acks::Leader => true,
            Acks::Count(count) => {
                let followers = self
                    .follower_log_ends
                    .iter()
                    .filter(|end| **end >= end_offset)
                    .count();
                followers + 1 >= usize::from(count)
            }
            Acks::AllInSync | Acks::AllInSyncUnchecked => self.high_watermark >= end_offset,
        }
    }

    /// Members of the ISR, this broker included.
    pub fn isr_len(&self) -> usize {
        self.follower_log_ends.len() + 1
    }
}

/// Completes when any of them has changed since its last look, or was closed; says which of them did.
pub async fn changed(progress: &mut [watch::Receiver<Progress>]) -> Vec<usize> {
    let mut changes: Vec<_> = progress
        .iter_mut()
        .map(|receiver| Box::pin(receiver.changed()))
        .collect();
    poll_fn(|context| {
        let mut changed = Vec::new();
        for (place, change) in changes.iter_mut().enumerate() {
            if change.as_mut().poll(context).is_ready() {
                changed.push(place);
            }
        }
        if changed.is_empty() {
            Poll::Pending
        } else {
            Poll::Ready(changed)
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(high_watermark: i64, log_end_offset: i64, followers: &[i64]) -> Progress {
        Progress {
            leadership: 0,
            leads: true,
            high_watermark,
            log_end_offset,
            flushed: 0,
            follower_log_ends: followers.into(),
        }
    }

    #[test]
    fn acks_count_the_leader_as_one() {
        let progress = progress(5, 10, &[5, 10]);
        assert!(progress.acknowledges(10, Acks::Leader));
        assert!(progress.acknowledges(10, Acks::Count(2)));
        assert!(!progress.acknowledges(10, Acks::Count(3)));
        assert!(progress.acknowledges(5, Acks::Count(3)));
        assert!(progress.acknowledges(5, Acks::AllInSync));
        assert!(!progress.acknowledges(6, Acks::AllInSync));
        assert!(!progress.acknowledges(6, Acks::AllInSyncUnchecked));
    }

    #[tokio::test]
    async fn a_change_of_any_partition_wakes() {
        let senders = [(); 3].map(|()| watch::Sender::new(progress(0, 0, &[])));
        let mut receivers: Vec<_> = senders.iter().map(watch::Sender::subscribe).collect();
        for both in [&senders[1], &senders[2]] {
            both.send_modify(|progress| progress.log_end_offset = 1);
        }
        assert_eq!(changed(&mut receivers).await, [1, 2]);
        let waiting = tokio::spawn(async move { changed(&mut receivers).await });
        senders[0].send_modify(|progress| progress.log_end_offset = 1);
        assert_eq!(waiting.await.unwrap(), [0]);
    }
}
