//! Appending what producers send, and waiting until enough replicas have it, and this one durably if the topic says so.

use std::sync::Arc;

use super::Partition;
use super::lock;
use super::required;
use crate::message::set::CheckedSet;
use crate::message::set::ProducedSet;
use crate::protocol::produce::Acks;
use crate::replication::error::Error;
use crate::replication::large;
use crate::replication::progress::Progress;

/// What an append put where, and in which leadership.
#[derive(Debug, Clone, Copy)]
pub struct Appended {
    /// Offset of the first message; none if the set held no complete message.
    pub base_offset: Option<i64>,
    /// One past the last message.
    pub end_offset: i64,
    /// Messages, those inside compressed ones counted one by one.
    pub messages: u64,
    leadership: i32,
    /// Not acknowledged before it is flushed here.
    flush_due: bool,
}

impl Partition {
    /// Appends what a producer sent, if this broker leads.
    pub fn append(self: &Arc<Self>, set: ProducedSet, acks: Acks) -> Result<Appended, Error> {
        let limits = {
            let state = self.read_state();
            let (log, leading) = state.leading()?;
            let config = log.config();
            if acks == Acks::AllInSync {
                let (in_sync, required) = (lock(&leading.isr).members().len(), required(&config));
                if in_sync < required {
                    return Err(Error::NotEnoughReplicas { in_sync, required });
                }
            }
            config.limits()
        };
        // A change of leadership does not wait for this: whether this broker leads is asked again.
        large::check_then(set, &limits, |checked| self.append_checked(checked))
    }

    fn append_checked(self: &Arc<Self>, checked: CheckedSet) -> Result<Appended, Error> {
        let state = self.read_state();
        let (log, leading) = state.leading()?;
        let leadership = leading.since;
        if checked.is_empty() {
            return Ok(Appended {
                base_offset: None,
                end_offset: 0,
                messages: 0,
                leadership,
                flush_due: false,
            });
        }
        let appended = log.append(checked)?;
        // What is to be flushed first is published only then.
        if !appended.flush_due || self.flush(log)? {
            self.publish(&state);
        }
        let messages = u64::try_from(appended.end_offset - appended.base_offset).unwrap_or(0);
        Ok(Appended {
            base_offset: Some(appended.base_offset),
            end_offset: appended.end_offset,
            messages,
            leadership,
            flush_due: appended.flush_due,
        })
    }

    /// Whether the append is acknowledged already, or why it never will be; none if that has to be awaited.
    pub fn is_acknowledged(&self, appended: &Appended, acks: Acks) -> Option<Result<(), Error>> {
        let progress = self.progress.borrow();
        if !settles(&progress, appended, acks) {
            return None;
        }
        let settled = progress.clone();
        drop(progress);
        Some(self.verdict(&settled, appended, acks))
    }

    /// Waits until as many replicas as `acks` asks for have what was appended.
    pub async fn acknowledged(&self, appended: &Appended, acks: Acks) -> Result<(), Error> {
        let mut progress = self.progress.subscribe();
        let settled = progress
            .wait_for(|progress| settles(progress, appended, acks))
            .await
            .map(|progress| progress.clone())
            .map_err(|_closed| Error::NotLeader)?;
        self.verdict(&settled, appended, acks)
    }

    /// What a settled append is answered with.
    fn verdict(&self, progress: &Progress, appended: &Appended, acks: Acks) -> Result<(), Error> {
        if progress.leadership != appended.leadership || !progress.leads {
            return Err(Error::NotLeader);
        }
        if matches!(acks, Acks::AllInSync | Acks::AllInSyncUnchecked) {
            let (in_sync, required) = (progress.isr_len(), self.min_insync_replicas());
            if in_sync < required {
                return Err(Error::NotEnoughReplicasAfterAppend { in_sync, required });
            }
        }
        Ok(())
    }
}

/// Whether nothing more needs to be awaited: enough replicas have it, or the leadership it belongs to is over.
fn settles(progress: &Progress, appended: &Appended, acks: Acks) -> bool {
    progress.leadership != appended.leadership
        || !progress.leads
        || (!appended.flush_due || progress.flushed >= appended.end_offset)
            && progress.acknowledges(appended.end_offset, acks)
}
