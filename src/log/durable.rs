//! What is there on the disk, and changes to directories and files that survive a loss of power.

use std::fs;
use std::fs::File;
use std::fs::Metadata;
use std::io::ErrorKind;
use std::io::Write;
use std::path::Path;

use crate::log::Error;

/// Makes the names in a directory durable: files that were created, renamed or removed.
pub(crate) fn sync_directory(path: &Path) -> Result<(), Error> {
    File::open(path)
        .and_then(|directory| directory.sync_all())
        .map_err(Error::io(path))
}

/// Puts `contents` in the place of a file, in such a way that after a crash either the old or the new one is
/// there.
pub(crate) fn replace_file(path: &Path, temporary: &Path, contents: &[u8]) -> Result<(), Error> {
    let mut file = File::create(temporary).map_err(Error::io(temporary))?;
    file.write_all(contents)
        .and_then(|()| file.sync_all())
        .map_err(Error::io(temporary))?;
    fs::rename(temporary, path).map_err(Error::io(path))?;
    path.parent().map_or(Ok(()), sync_directory)
}

/// Whether something of this kind is there. That the disk doesn't say is no answer: what is passed over for that is lost.
pub(crate) fn is_there(path: &Path, kind: impl FnOnce(&Metadata) -> bool) -> Result<bool, Error> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(kind(&metadata)),
        Err(source) if source.kind() == ErrorKind::NotFound => Ok(false),
        Err(source) => Err(Error::io(path)(source)),
    }
}

/// Removes a file; it is no error when it isn't there.
pub(crate) fn remove_if_present(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != ErrorKind::NotFound => Err(Error::io(path)(source)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_file_is_whole_and_alone() {
        let directory = tempfile::tempdir().unwrap();
        let (path, temporary) = (directory.path().join("f"), directory.path().join("f.tmp"));
        fs::write(&path, "old and longer").unwrap();
        fs::write(&temporary, "left by a crash").unwrap();
        replace_file(&path, &temporary, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert!(!temporary.exists());
    }

    #[test]
    fn failures_name_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let missing = directory.path().join("missing");
        remove_if_present(&missing).unwrap();
        for error in [
            sync_directory(&missing).unwrap_err(),
            replace_file(&missing.join("f"), &missing.join("f.tmp"), b"").unwrap_err(),
            remove_if_present(directory.path()).unwrap_err(),
        ] {
            assert!(
                error.to_string().contains(directory.path().to_str().unwrap()),
                "{error}"
            );
        }
    }
}
