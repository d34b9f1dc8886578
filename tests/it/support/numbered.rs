//! Messages that say who sent them and in which order.

use super::clients::Record;

/// `count` messages of one sender, each keyed by the sender and saying its number.
pub(crate) fn numbered(sender: &str, count: usize) -> Vec<Record> {
    (0..count)
        .map(|number| Record::new(Some(sender), Some(&text(sender, number))))
        .collect()
}

/// What message `number` of a sender says.
pub(crate) fn text(sender: &str, number: usize) -> String {
    format!("{sender} {number:06}")
}

/// What a load generator got acknowledged: number and offset.
pub(crate) fn acknowledged(output: &[u8]) -> Vec<(usize, i64)> {
    String::from_utf8_lossy(output)
        .split_inclusive('\n')
        // A line that is still being written says nothing yet.
        .filter_map(|line| line.strip_suffix('\n')?.split_once(' '))
        .map(|(number, offset)| (number.parse().unwrap(), offset.parse().unwrap()))
        .collect()
}
