//! Files that hold an offset per partition: recovery points, high watermarks, the cleaner's positions.
//!
//! The text is that of 0.8.2.2, so that it finds its way in a directory that we leave:
//!
//! ```text
//! 0                  version
//! 2                  number of entries
//! orders 0 17        topic, partition, offset
//! orders 1 20
//! ```

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::OnceLock;

use crate::log::Error;
use crate::log::Failure;
use crate::log::durable;
use crate::log::lock;
use crate::types::TopicPartition;

/// Recovery points of the partitions in a data directory.
pub(crate) const RECOVERY_POINTS: &str = "recovery-point-offset-checkpoint";
/// Every such file of a data directory.
pub(crate) const CHECKPOINTS: [&str; 3] = [
    RECOVERY_POINTS,
    "replication-offset-checkpoint",
    "cleaner-offset-checkpoint",
];
/// The version of the text.
const VERSION: &str = "0";

/// A file that holds an offset per partition. Replaced as a whole.
#[derive(Debug)]
pub struct OffsetCheckpoint {
    path: PathBuf,
    /// Held while the file is replaced: two writers would use the same temporary file.
    replacing: Mutex<()>,
    /// Why it is not replaced any more: once the disk has failed, a second attempt that seems to succeed proves nothing.
    failure: OnceLock<Failure>,
}

impl OffsetCheckpoint {
    /// Names the file; it needn't exist.
    pub fn new(path: PathBuf) -> Self {
        Self {
            path,
            replacing: Mutex::new(()),
            failure: OnceLock::new(),
        }
    }

    /// What the file holds. A missing, empty or malformed one holds nothing: less is known then, and what
    /// depends on it starts from the beginning, where 0.8.2.2 refuses to start.
    pub fn read(&self) -> Result<BTreeMap<TopicPartition, i64>, Error> {
        let bytes = match fs::read(&self.path) {
            Ok(bytes) => bytes,
            Err(source) if source.kind() == ErrorKind::NotFound => return Ok(BTreeMap::new()),
            Err(source) => return Err(Error::io(&self.path)(source)),
        };
        Ok(parse(&String::from_utf8_lossy(&bytes)).unwrap_or_else(|problem| {
            tracing::warn!("{}: {problem}; taken as empty", self.path.display());
            BTreeMap::new()
        }))
    }

    /// Replaces what the file holds, durably. After a failure never again.
    pub fn write(&self, offsets: &BTreeMap<TopicPartition, i64>) -> Result<(), Error> {
        let _replacing = lock(&self.replacing);
        if let Some(failure) = self.failure.get() {
            return Err(failure.error());
        }
        let mut temporary = self.path.clone().into_os_string();
        temporary.push(".tmp");
        durable::replace_file(&self.path, &PathBuf::from(temporary), text(offsets).as_bytes()).inspect_err(
            |error| {
                if let Some(failure) = Failure::of(error) {
                    // Nothing is there yet, or we had not come here.
                    let _ = self.failure.set(failure);
                }
            },
        )
    }
}

fn text(offsets: &BTreeMap<TopicPartition, i64>) -> String {
    let mut text = format!("{VERSION}\n{}\n", offsets.len());
    for (TopicPartition { topic, partition }, offset) in offsets {
        // Writing to a string can't fail.
        let _ = writeln!(text, "{topic} {partition} {offset}");
    }
    text
}

fn parse(text: &str) -> Result<BTreeMap<TopicPartition, i64>, String> {
    let mut lines = text.lines();
    match lines.next().map(str::trim) {
        // 0.8.2.2 starts on this, and on the next, and says nothing.
        None => return Err("it is empty".to_owned()),
        Some(VERSION) => {}
        Some(other) => return Err(format!("version {other:?} is unknown")),
    }
    let Some(count) = lines.next() else {
        return Err("it ends after the version".to_owned());
    };
    let offsets = lines
        .map(|line| entry(line).ok_or_else(|| format!("line {line:?} is malformed")))
        .collect::<Result<BTreeMap<_, _>, _>>()?;
    if count.trim().parse() == Ok(offsets.len()) {
        Ok(offsets)
    } else {
        Err(format!("{} entries instead of {count:?}", offsets.len()))
    }
}

fn entry(line: &str) -> Option<(TopicPartition, i64)> {
    let mut fields = line.split_whitespace();
    let topic = fields.next()?;
    let partition = fields.next()?.parse().ok()?;
    let offset = fields.next()?.parse().ok()?;
    fields
        .next()
        .is_none()
        .then(|| (TopicPartition::new(topic, partition), offset))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::testing::said_about;

    fn offsets(entries: &[(&str, i32, i64)]) -> BTreeMap<TopicPartition, i64> {
        entries
            .iter()
            .map(|&(topic, partition, offset)| (TopicPartition::new(topic, partition), offset))
            .collect()
    }

    #[test]
    fn the_text_is_that_of_0_8() {
        assert_eq!(
            text(&offsets(&[("cmp", 0, 189), ("plain", 0, 200)])),
            "0\n2\ncmp 0 189\nplain 0 200\n"
        );
        assert_eq!(text(&offsets(&[])), "0\n0\n");
    }

    #[test]
    fn what_was_written_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(RECOVERY_POINTS);
        let checkpoint = OffsetCheckpoint::new(path.clone());
        assert_eq!(checkpoint.read().unwrap(), offsets(&[]));
        let written = offsets(&[("a.name_with-dashes-7", 0, 4), ("a", 12, i64::MAX)]);
        checkpoint.write(&offsets(&[("a", 0, 1)])).unwrap();
        checkpoint.write(&written).unwrap();
        assert_eq!(checkpoint.read().unwrap(), written);
        assert_eq!(
            fs::read_dir(directory.path()).unwrap().count(),
            1,
            "no temporary file is left"
        );
    }

    #[test]
    fn a_write_that_failed_is_not_tried_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("not-there-yet/c");
        let checkpoint = OffsetCheckpoint::new(path.clone());
        let first = checkpoint.write(&offsets(&[])).unwrap_err().to_string();
        fs::create_dir(path.parent().unwrap()).unwrap();
        assert_eq!(checkpoint.write(&offsets(&[])).unwrap_err().to_string(), first);
        OffsetCheckpoint::new(path).write(&offsets(&[])).unwrap();
    }

    #[test]
    fn blanks_are_read_as_0_8_reads_them() {
        assert_eq!(parse("0\n1\nt \t 0   10\n"), Ok(offsets(&[("t", 0, 10)])));
    }

    #[test]
    fn malformed_files_hold_nothing() {
        for bad in [
            "",
            "0\n",
            "1\n1\nt 0 10\n",
            "0\n2\nt 0 10\n",
            "0\n0\nt 0 10\n",
            "0\n1\nt 0 10\n\n",
            "0\n1\nt 0\n",
            "0\n1\nt 0 ten\n",
            "0\n2\nt 0 10\nt 0 11\n",
            "0\nmany\n",
            "\u{fffd}",
        ] {
            assert!(parse(bad).is_err(), "{bad:?}");
        }
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("c");
        for (content, said) in [
            (&b"0\n1\nt 0 \xff\n"[..], "malformed"),
            (b"", "it is empty"),
            (b"0\n", "it ends after the version"),
        ] {
            said_about(&path);
            fs::write(&path, content).unwrap();
            assert_eq!(OffsetCheckpoint::new(path.clone()).read().unwrap(), offsets(&[]));
            assert!(said_about(&path).lines().last().unwrap().contains(said));
        }
    }
}
