//! Open files of segments.
//!
//! The file that is appended to stays open; others are opened when they are read and kept in a bounded cache,
//! so that the number of segments is not limited by the number of files a process may open.

use std::fs::File;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use crate::log::Error;
use crate::log::lock;

/// Files kept open for readers, over all logs.
const CAPACITY: usize = 256;

/// Files that were read recently.
#[derive(Debug, Default)]
pub(crate) struct OpenFiles {
    next_id: AtomicU64,
    /// The most recently used last.
    recent: Mutex<Vec<(u64, Arc<File>)>>,
}

impl OpenFiles {
    fn find(&self, id: u64) -> Option<Arc<File>> {
        let mut recent = lock(&self.recent);
        let at = recent.iter().rposition(|&(open, _)| open == id)?;
        let found = recent.remove(at);
        let file = Arc::clone(&found.1);
        recent.push(found);
        Some(file)
    }

    fn keep(&self, id: u64, file: &Arc<File>) {
        let mut recent = lock(&self.recent);
        if recent.len() >= CAPACITY {
            recent.remove(0);
        }
        recent.push((id, Arc::clone(file)));
    }

    fn forget(&self, id: u64) {
        lock(&self.recent).retain(|&(open, _)| open != id);
    }
}

/// One file of a segment.
#[derive(Debug)]
pub(crate) struct SegmentFile {
    path: PathBuf,
    id: u64,
    /// Open for writing: messages are appended to it, or were and are not flushed yet.
    writable: Mutex<Option<Arc<File>>>,
    open_files: Arc<OpenFiles>,
}

impl SegmentFile {
    /// Names a file; opens nothing yet.
    pub(crate) fn new(path: PathBuf, open_files: &Arc<OpenFiles>) -> Self {
        Self {
            path,
            id: open_files.next_id.fetch_add(1, Ordering::Relaxed),
            writable: Mutex::new(None),
            open_files: Arc::clone(open_files),
        }
    }

    /// Where the file is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Creates the file, or empties it, and keeps it open for writing.
    pub(crate) fn create(&self) -> Result<Arc<File>, Error> {
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&self.path)
            .map_err(Error::io(&self.path))?;
        Ok(self.hold(file))
    }

    /// The file, open for reading.
    pub(crate) fn readable(&self) -> Result<Arc<File>, Error> {
        if let Some(file) = lock(&self.writable).as_ref() {
            return Ok(Arc::clone(file));
        }
        if let Some(file) = self.open_files.find(self.id) {
            return Ok(file);
        }
        let file = Arc::new(File::open(&self.path).map_err(Error::io(&self.path))?);
        self.open_files.keep(self.id, &file);
        Ok(file)
    }

    /// The file, open for reading and writing, and kept open until [`Self::release`].
    pub(crate) fn writable(&self) -> Result<Arc<File>, Error> {
        if let Some(file) = lock(&self.writable).as_ref() {
            return Ok(Arc::clone(file));
        }
        let file = File::options()
            .read(true)
            .write(true)
            .open(&self.path)
            .map_err(Error::io(&self.path))?;
        Ok(self.hold(file))
    }

    /// Keeps an open file as this one.
    pub(crate) fn hold(&self, file: File) -> Arc<File> {
        let file = Arc::new(file);
        *lock(&self.writable) = Some(Arc::clone(&file));
        file
    }

    #[cfg(test)]
    pub(crate) fn is_held(&self) -> bool {
        lock(&self.writable).is_some()
    }

    /// No longer keeps the file open for writing. Those who have it keep it.
    pub(crate) fn release(&self) {
        *lock(&self.writable) = None;
    }

    /// Sets the length, which cuts the end off or adds zeros.
    pub(crate) fn set_len(&self, len: u64) -> Result<(), Error> {
        self.writable()?.set_len(len).map_err(Error::io(&self.path))
    }

    /// Makes the contents durable.
    pub(crate) fn sync(&self) -> Result<(), Error> {
        self.readable()?.sync_all().map_err(Error::io(&self.path))
    }
}

impl Drop for SegmentFile {
    fn drop(&mut self) {
        self.open_files.forget(self.id);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn files_that_are_only_read_are_kept_open_within_bounds() {
        let directory = tempfile::tempdir().unwrap();
        let open_files = Arc::new(OpenFiles::default());
        let files: Vec<_> = (0..CAPACITY + 10)
            .map(|n| {
                let file = SegmentFile::new(directory.path().join(n.to_string()), &open_files);
                fs::write(file.path(), n.to_string()).unwrap();
                file
            })
            .collect();
        for file in &files {
            file.readable().unwrap();
        }
        assert_eq!(lock(&open_files.recent).len(), CAPACITY);
        let again = files.last().unwrap().readable().unwrap();
        assert!(Arc::ptr_eq(&again, &files.last().unwrap().readable().unwrap()));
        drop(files);
        assert_eq!(
            lock(&open_files.recent).len(),
            0,
            "files that are gone are not kept"
        );
    }

    #[test]
    fn a_missing_file_is_an_error_with_its_path() {
        let file = SegmentFile::new(PathBuf::from("/nowhere/x"), &Arc::default());
        let error = file.readable().unwrap_err();
        assert!(error.to_string().starts_with("access /nowhere/x: "), "{error}");
    }
}
