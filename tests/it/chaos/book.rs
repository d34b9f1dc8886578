//! The book of what was sent, acknowledged and read, and how messages say who sent them.

use std::collections::BTreeMap;
use std::fmt;

/// Who sent a message, and as what.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Sender {
    /// Its number among all.
    pub(super) producer: usize,
    /// Counts up whenever the producer gives up what it has sent and begins anew.
    pub(super) incarnation: usize,
}

/// What a message says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Label {
    pub(super) sender: Sender,
    /// Counts the sender's messages, from 0.
    pub(super) number: usize,
    /// Counts how often this one was sent, from 1.
    pub(super) attempt: usize,
}

impl Label {
    /// The message, filled up so that its length varies.
    pub(super) fn text(&self) -> String {
        let filling = (self.number * 37) % 150;
        format!("{self} {}", "x".repeat(filling))
    }

    /// Reads a message.
    pub(super) fn read(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let mut words = text
            .split(' ')
            .map_while(|word| word.parse().ok())
            .collect::<Vec<usize>>()
            .into_iter();
        let label = Self {
            sender: Sender {
                producer: words.next()?,
                incarnation: words.next()?,
            },
            number: words.next()?,
            attempt: words.next()?,
        };
        (label.text() == text).then_some(label)
    }
}

impl fmt::Display for Label {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Sender {
            producer,
            incarnation,
        } = self.sender;
        write!(
            formatter,
            "{producer} {incarnation} {} {}",
            self.number, self.attempt
        )
    }
}

/// What is known of a partition besides what the brokers have.
#[derive(Debug, Default)]
pub(super) struct Page {
    /// Acknowledged at these offsets since the last verdict.
    pub(super) acknowledged: BTreeMap<i64, Label>,
    /// Read at these offsets since the last verdict.
    pub(super) read: BTreeMap<i64, Label>,
    /// Where its reader goes on.
    pub(super) reader_at: i64,
}

/// All partitions, and counts over all the time.
#[derive(Debug, Default)]
pub(super) struct Book {
    pub(super) pages: Vec<Page>,
    /// Messages acknowledged.
    pub(super) acknowledged: usize,
    /// Requests whose outcome the producer did not learn, or that were refused.
    pub(super) failed: usize,
    /// What must not be, as far as producers and readers see it.
    pub(super) wrong: Vec<String>,
}

impl Book {
    pub(super) fn new(partitions: usize) -> Self {
        Self {
            pages: (0..partitions).map(|_| Page::default()).collect(),
            ..Self::default()
        }
    }

    /// Notes that these messages were acknowledged, the first one at `base`.
    pub(super) fn acknowledge(&mut self, partition: usize, base: i64, labels: &[Label]) {
        self.acknowledged += labels.len();
        for (offset, label) in (base..).zip(labels) {
            if let Some(other) = self.pages[partition].acknowledged.insert(offset, *label) {
                self.wrong.push(format!(
                    "partition {partition}: both {other} and {label} were acknowledged at {offset}"
                ));
            }
        }
    }

    /// Notes what a reader found.
    pub(super) fn note_read(&mut self, partition: usize, offset: i64, text: &[u8]) {
        let page = &mut self.pages[partition];
        let expected = page.reader_at;
        page.reader_at = offset + 1;
        let label = Label::read(text);
        if let (Some(label), true) = (label, offset == expected) {
            page.read.insert(offset, label);
            return;
        }
        self.wrong.push(format!(
            "partition {partition}: a reader at {expected} got at {offset}: {}",
            String::from_utf8_lossy(text)
        ));
    }
}
