//! The right to use a data directory: the lock that 0.8.2.2 takes on its `.lock` file.
//!
//! It is a POSIX record lock (`fcntl`), because that is what a Java broker takes: `flock` would not keep one
//! out, nor be kept out by one. Such a lock belongs to the process, and goes when the process closes *any*
//! descriptor of the file: nothing else may open it, and within the process the directories in use are kept
//! in a set.

use std::collections::BTreeSet;
use std::fs;
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Mutex;

use rustix::fs::FlockOperation;
use rustix::fs::fcntl_lock;

use crate::log::Error;
use crate::log::error::Holder;
use crate::log::lock;

/// The file that is locked. It stays, empty, when the lock goes.
pub const LOCK_FILE: &str = ".lock";

/// Directories that this process has locked, by canonical path.
static HERE: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// A locked data directory; unlocked when dropped.
#[derive(Debug)]
pub(crate) struct DirectoryLock {
    canonical: PathBuf,
    /// Closing it unlocks.
    file: Option<File>,
}

impl DirectoryLock {
    /// Locks an existing directory, without waiting.
    pub(crate) fn acquire(directory: &Path) -> Result<Self, Error> {
        let canonical = directory.canonicalize().map_err(Error::directory(directory))?;
        let mut here = lock(&HERE);
        if here.contains(&canonical) {
            return Err(Error::Locked {
                directory: directory.to_owned(),
                holder: Holder::Here,
            });
        }
        let path = directory.join(LOCK_FILE);
        let file = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(Error::directory(directory))?;
        match fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive).map_err(std::io::Error::from) {
            Ok(()) => {
                here.insert(canonical.clone());
                Ok(Self {
                    canonical,
                    file: Some(file),
                })
            }
            // POSIX allows either for a lock that somebody holds.
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::PermissionDenied) => {
                Err(Error::Locked {
                    directory: directory.to_owned(),
                    holder: holder(&file).map_or(Holder::Unknown, Holder::Process),
                })
            }
            Err(source) => Err(Error::Io { path, source }),
        }
    }
}

impl Drop for DirectoryLock {
    fn drop(&mut self) {
        let mut here = lock(&HERE);
        // Not after the directory may be locked anew: that lock would go as well.
        drop(self.file.take());
        here.remove(&self.canonical);
    }
}

/// Who holds a lock on the file, as far as the kernel tells.
fn holder(file: &File) -> Option<u32> {
    let metadata = file.metadata().ok()?;
    let (major, minor) = (
        rustix::fs::major(metadata.dev()),
        rustix::fs::minor(metadata.dev()),
    );
    let locked = format!("{major:02x}:{minor:02x}:{}", metadata.ino());
    holder_of(&locked, &fs::read_to_string("/proc/locks").ok()?)
}

/// Finds `device:inode` among lines like `1: POSIX  ADVISORY  WRITE 812 08:01:131 0 EOF`.
fn holder_of(locked: &str, locks: &str) -> Option<u32> {
    locks.lines().find_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let posix = fields.next() == Some("POSIX");
        // Process 0 is one outside of this container.
        let process = fields.nth(2)?.parse().ok().filter(|&process| process != 0)?;
        (posix && fields.next() == Some(locked)).then_some(process)
    })
}

#[cfg(test)]
mod tests {
    use std::io::BufRead;
    use std::io::BufReader;
    use std::process::Command;
    use std::process::Stdio;

    use super::*;

    const DIRECTORY: &str = "GREGOR_TEST_LOCKED_DIRECTORY";

    /// Not a test by itself: what the child process of the next one does.
    #[test]
    fn hold_a_lock_until_told() {
        let Some(directory) = std::env::var_os(DIRECTORY) else {
            return;
        };
        let _lock = DirectoryLock::acquire(Path::new(&directory)).unwrap();
        // The last word, so that it is a line of its own whatever the test harness has printed.
        eprintln!("\nlocked");
        let mut line = String::new();
        std::io::stdin().read_line(&mut line).unwrap();
    }

    #[test]
    fn a_directory_that_another_process_uses_is_refused_and_the_process_named() {
        let directory = tempfile::tempdir().unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "log::lock::tests::hold_a_lock_until_told",
                "--nocapture",
            ])
            .env(DIRECTORY, directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        assert!(
            lines.map_while(Result::ok).any(|line| line == "locked"),
            "the child locks"
        );

        let error = DirectoryLock::acquire(directory.path()).unwrap_err();
        let Error::Locked {
            directory: named,
            holder,
        } = &error
        else {
            panic!("{error}")
        };
        assert_eq!(named, directory.path());
        assert!(
            [Holder::Process(child.id()), Holder::Unknown].contains(holder),
            "{holder}"
        );

        drop(child.stdin.take());
        assert!(child.wait().unwrap().success());
        DirectoryLock::acquire(directory.path()).unwrap();
    }

    #[test]
    fn a_directory_is_locked_once_in_a_process() {
        let directory = tempfile::tempdir().unwrap();
        let first = DirectoryLock::acquire(directory.path()).unwrap();
        let again = DirectoryLock::acquire(&directory.path().join(".")).unwrap_err();
        assert!(
            matches!(
                again,
                Error::Locked {
                    holder: Holder::Here,
                    ..
                }
            ),
            "{again}"
        );
        drop(first);
        DirectoryLock::acquire(directory.path()).unwrap();
        assert_eq!(fs::read(directory.path().join(LOCK_FILE)).unwrap(), b"");
    }

    #[test]
    fn a_file_is_no_directory() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = DirectoryLock::acquire(file.path()).unwrap_err();
        assert!(matches!(error, Error::NotADirectory(_)), "{error}");
    }

    #[test]
    fn the_kernel_lists_holders() {
        let locks = "1: FLOCK  ADVISORY  WRITE 5 08:01:131 0 EOF\n\
                     2: POSIX  ADVISORY  WRITE 0 08:01:132 0 EOF\n\
                     3: POSIX  ADVISORY  WRITE 812 08:01:131 0 EOF\n\
                     3: -> POSIX  ADVISORY  WRITE 813 08:01:133 0 EOF\n";
        assert_eq!(holder_of("08:01:131", locks), Some(812));
        assert_eq!(holder_of("08:01:132", locks), None);
        assert_eq!(holder_of("08:01:133", locks), None, "who waits doesn't hold");
        assert_eq!(holder_of("08:01:134", locks), None);
    }
}
