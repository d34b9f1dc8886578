//! Whose data directory it is: `meta.properties`, in the form that Kafka has used since 0.9. 0.8.2.2 looks only at
//! folders there, so the file does it no harm.

use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;

use crate::broker::config;
use crate::types::BrokerId;

/// Name of the file.
pub(crate) const FILE_NAME: &str = "meta.properties";

/// Why a directory could not be marked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The directory belongs to another broker.
    #[error("data directory {} belongs to broker {owner}", .directory.display())]
    Foreign {
        /// The directory.
        directory: PathBuf,
        /// Whose it is, as its file says.
        owner: String,
    },
    /// The file can't be read or written.
    #[error("access {}: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// Refuses a directory that another broker has marked.
pub(crate) fn refuse_foreign(directory: &Path, id: BrokerId) -> Result<(), Error> {
    is_marked(directory, id).map(|_| ())
}

/// Marks a directory as this broker's, unless it is marked already. Call it only while holding the directory's lock.
pub(crate) fn mark(directory: &Path, id: BrokerId) -> Result<(), Error> {
    if is_marked(directory, id)? {
        return Ok(());
    }
    let path = directory.join(FILE_NAME);
    fs::write(&path, content_for(id)).map_err(|source| Error::Io { path, source })
}

/// Whether the directory is marked as this broker's rather than not at all.
fn is_marked(directory: &Path, id: BrokerId) -> Result<bool, Error> {
    let path = directory.join(FILE_NAME);
    let content = match fs::read(&path) {
        Ok(content) => content,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(source) => return Err(Error::Io { path, source }),
    };
    match config::property(&content, "broker.id") {
        Some(owner) if owner.trim() == id.to_string() => Ok(true),
        Some(owner) => Err(Error::Foreign {
            directory: directory.to_owned(),
            owner,
        }),
        None => Ok(false),
    }
}

fn content_for(id: BrokerId) -> String {
    format!("version=0\nbroker.id={id}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_stays_the_first_brokers() {
        let directory = tempfile::tempdir().unwrap();
        refuse_foreign(directory.path(), BrokerId(3)).unwrap();
        refuse_foreign(directory.path(), BrokerId(4)).unwrap();
        mark(directory.path(), BrokerId(3)).unwrap();
        mark(directory.path(), BrokerId(3)).unwrap();
        let error = mark(directory.path(), BrokerId(4)).unwrap_err();
        assert!(matches!(error, Error::Foreign { owner, .. } if owner == "3"));
    }

    #[test]
    fn a_file_that_says_nothing_is_written_anew() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(FILE_NAME), "").unwrap();
        mark(directory.path(), BrokerId(3)).unwrap();
        assert!(mark(directory.path(), BrokerId(4)).is_err());
    }
}
