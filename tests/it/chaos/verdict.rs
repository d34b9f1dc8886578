//! Whether everything is as it must be, while nobody writes: what the brokers have against what the book says.

use std::collections::HashMap;
use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use gregor::message::entry::entries;
use gregor::message::wrapper::deep_entries;

use super::book::Book;
use super::book::Label;
use super::book::Page;
use super::book::Sender;
use super::cluster::Cluster;
use super::cluster::TOPIC;
use super::load::Load;
use super::plan::PARTITIONS;
use crate::support::eventually::within;
use crate::support::segments::segments;

/// Time for followers and readers to get what is there.
const CATCH_UP: Duration = Duration::from_secs(30);

/// More than a set unfolds to.
const UNFOLDED_MAX: usize = 1 << 24;

/// What was found so far.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    partitions: Vec<Partition>,
    pub(super) duplicates: usize,
    pub(super) messages: usize,
}

/// A partition as it was when it was last looked at.
#[derive(Debug, Default)]
struct Partition {
    /// Its bytes, the same on all replicas.
    bytes: Vec<u8>,
    end: i64,
    /// The messages of each sender so far.
    senders: HashMap<Sender, Sent>,
}

#[derive(Debug, Default)]
struct Sent {
    /// One past the greatest number of which there is a copy.
    next: usize,
    /// Which copies of which there are.
    copies: HashSet<(usize, usize)>,
}

impl Verdict {
    pub(super) fn new() -> Self {
        Self {
            partitions: (0..PARTITIONS).map(|_| Partition::default()).collect(),
            ..Self::default()
        }
    }

    /// Looks at all partitions; what is wrong, if anything is. Producers are at rest, and all replicas in sync.
    pub(super) fn reach(&mut self, cluster: &Cluster, load: &Load) -> Result<(), String> {
        for (number, replicas) in cluster.assignment()? {
            let directory = |id: &usize| cluster.brokers[*id].data().join(format!("{TOPIC}-{number}"));
            let directories: Vec<_> = replicas.iter().map(directory).collect();
            let mut logs = Vec::new();
            let equal = within(CATCH_UP, || {
                logs = directories.iter().map(|at| bytes(at)).collect();
                logs.windows(2).all(|pair| pair[0] == pair[1]).then_some(())
            });
            if equal.is_none() {
                let ends: Vec<_> = replicas
                    .iter()
                    .zip(&logs)
                    .map(|(id, log)| (id, log.len()))
                    .collect();
                return Err(format!(
                    "partition {number}: replicas differ when all is quiet: {ends:?}"
                ));
            }
            let log = logs.pop().unwrap_or_default();
            let partition = &mut self.partitions[number];
            let found = partition
                .take(log)
                .map_err(|why| format!("partition {number}: {why}"))?;
            self.duplicates += found.duplicates;
            self.messages += found.messages.len();
            let end = partition.end;
            let caught_up = within(CATCH_UP, || {
                (load.book().pages[number].reader_at >= end).then_some(())
            });
            let mut book = load.book();
            let page = &mut book.pages[number];
            if caught_up.is_none() {
                return Err(format!(
                    "partition {number} ends at {end}, its reader waits at {}",
                    page.reader_at
                ));
            }
            compare(page, &found).map_err(|why| format!("partition {number}: {why}"))?;
        }
        Self::complaints(&load.book())
    }

    /// What producers and readers noticed themselves.
    pub(super) fn complaints(book: &Book) -> Result<(), String> {
        if book.wrong.is_empty() {
            Ok(())
        } else {
            Err(book.wrong.join("\n"))
        }
    }
}

/// What is new in a partition.
struct Found {
    first: i64,
    messages: Vec<Label>,
    duplicates: usize,
}

impl Partition {
    fn take(&mut self, log: Vec<u8>) -> Result<Found, String> {
        if !log.starts_with(&self.bytes) {
            let at = log.iter().zip(&self.bytes).position(|(new, old)| new != old);
            let at = at.unwrap_or(log.len());
            return Err(format!(
                "what was there before byte {} changed at byte {at}",
                self.bytes.len()
            ));
        }
        let new = &log[self.bytes.len()..];
        let walk = entries(new);
        let outer = walk.count();
        let mut found = Found {
            first: self.end,
            messages: Vec::new(),
            duplicates: 0,
        };
        for (offset, message) in deep_entries(new, UNFOLDED_MAX).map_err(|error| error.to_string())? {
            if offset != self.end {
                return Err(format!(
                    "a gap: {offset} follows on {}, {outer} entries",
                    self.end
                ));
            }
            if !message.crc_matches {
                return Err(format!("{offset} is damaged"));
            }
            let text = message.value.unwrap_or_default();
            let label = Label::read(&text).ok_or_else(|| format!("nobody sent what is at {offset}"))?;
            let sent = self.senders.entry(label.sender).or_default();
            found.duplicates += usize::from(sent.take(label).map_err(|why| format!("at {offset}: {why}"))?);
            found.messages.push(label);
            self.end += 1;
        }
        self.bytes = log;
        Ok(found)
    }
}

impl Sent {
    /// Whether this is a copy of a message that is there already, which only another attempt may have brought.
    fn take(&mut self, label: Label) -> Result<bool, String> {
        if !self.copies.insert((label.number, label.attempt)) {
            return Err(format!("{label} was sent once and is there twice"));
        }
        let duplicate = label.number < self.next;
        if duplicate && label.attempt == 1 && !repeats(&label) {
            return Err(format!("{label} comes after {}", self.next - 1));
        }
        if label.number > self.next && repeats(&label) {
            return Err(format!("{label} comes before {}", self.next));
        }
        self.next = self.next.max(label.number + 1);
        Ok(duplicate)
    }
}

/// Whether its producer sends each message until it is acknowledged.
fn repeats(label: &Label) -> bool {
    label.sender.producer.is_multiple_of(2)
}

/// Everything acknowledged is where it was acknowledged, and readers read what is there.
fn compare(page: &mut Page, found: &Found) -> Result<(), String> {
    let at = |offset: i64| {
        let index = usize::try_from(offset - found.first).ok();
        index.and_then(|index| found.messages.get(index))
    };
    for (offset, label) in std::mem::take(&mut page.acknowledged) {
        if at(offset) != Some(&label) {
            return Err(format!(
                "LOST: {label} was acknowledged at {offset}, where {:?} is; the log ends at {}",
                at(offset).map(ToString::to_string),
                found.first + i64::try_from(found.messages.len()).unwrap_or(0)
            ));
        }
    }
    for (offset, label) in std::mem::take(&mut page.read) {
        if at(offset) != Some(&label) {
            return Err(format!(
                "{label} was read at {offset}, where {:?} is now",
                at(offset).map(ToString::to_string)
            ));
        }
    }
    Ok(())
}

/// All segments of a log, one after the other; nothing where there is none.
fn bytes(directory: &Path) -> Vec<u8> {
    if !directory.exists() {
        return Vec::new();
    }
    let files = segments(directory);
    files
        .iter()
        .flat_map(|file| std::fs::read(file).unwrap_or_default())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(producer: usize, number: usize, attempt: usize) -> Label {
        let sender = Sender {
            producer,
            incarnation: 0,
        };
        Label {
            sender,
            number,
            attempt,
        }
    }

    fn page(acknowledged: &[(i64, Label)]) -> Page {
        Page {
            acknowledged: acknowledged.iter().copied().collect(),
            ..Page::default()
        }
    }

    /// Takes messages one after the other: which are duplicates, up to the first that must not be there.
    fn take(messages: &[Label]) -> Result<Vec<bool>, String> {
        let mut sent = Sent::default();
        messages.iter().map(|label| sent.take(*label)).collect()
    }

    #[test]
    fn what_was_acknowledged_and_is_not_there_is_found() {
        let found = || Found {
            first: 10,
            messages: vec![label(0, 0, 1), label(0, 1, 2)],
            duplicates: 0,
        };
        assert!(compare(&mut page(&[(10, label(0, 0, 1)), (11, label(0, 1, 2))]), &found()).is_ok());
        for lost in [(11, label(0, 1, 1)), (12, label(0, 2, 1)), (9, label(0, 0, 1))] {
            let verdict = compare(&mut page(&[lost]), &found());
            assert!(verdict.is_err_and(|why| why.contains("LOST")), "{lost:?}");
        }
        let mut read = page(&[]);
        read.read.insert(10, label(1, 0, 1));
        assert!(compare(&mut read, &found()).is_err());
    }

    #[test]
    fn copies_are_told_from_each_other() {
        // A producer that repeats until it is told: another attempt may have got there, even late.
        assert_eq!(
            take(&[label(0, 0, 1), label(0, 0, 2), label(0, 1, 1), label(0, 0, 3)]),
            Ok(vec![false, true, false, true])
        );
        assert!(
            take(&[label(0, 0, 1), label(0, 0, 1)]).is_err(),
            "sent once, there twice"
        );
        assert!(take(&[label(0, 1, 1)]).is_err(), "one is missing before it");
        // One that never repeats may miss some.
        assert_eq!(take(&[label(1, 1, 1), label(1, 4, 1)]), Ok(vec![false, false]));
        assert!(take(&[label(1, 4, 1), label(1, 1, 1)]).is_err(), "out of order");
        assert!(take(&[label(1, 1, 1), label(1, 1, 1)]).is_err(), "there twice");
    }

    #[test]
    fn messages_say_who_sent_them() {
        for number in [0, 3, 1000] {
            let label = label(7, number, 2);
            assert_eq!(Label::read(label.text().as_bytes()), Some(label));
        }
        assert_eq!(Label::read(b"7 0 3 2 xxx"), None, "cut off");
    }
}
