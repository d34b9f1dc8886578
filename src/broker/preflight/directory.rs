//! Whether the data directories can be used, and are this broker's.

use std::fs;
use std::fs::File;
use std::io;
use std::path::Path;
use std::path::PathBuf;

use rustix::fs::Access;
use rustix::fs::access;
use rustix::process::Flock;
use rustix::process::FlockType;
use rustix::process::fcntl_getlk;

use super::Finding;
use super::process::Holder;
use crate::broker::config::BrokerConfig;
use crate::broker::gauges::free_bytes;
use crate::broker::meta_properties;
use crate::log::LOCK_FILE;
use crate::log::is_own_file;
use crate::types::BrokerId;

/// What a start needs at least: a new segment's index alone takes 10 MiB.
const MIN_FREE_BYTES: u64 = 16 * 1024 * 1024;

/// Looks at every data directory. Creates none.
pub fn directories(config: &BrokerConfig) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut seen: Vec<PathBuf> = Vec::new();
    for directory in &config.logs.directories {
        let canonical = directory.canonicalize().unwrap_or_else(|_| directory.clone());
        if seen.contains(&canonical) {
            findings.push(Finding::error(
                format!("the data directory is named twice: {}", directory.display()),
                "name every directory once in log.dirs",
            ));
            continue;
        }
        seen.push(canonical);
        findings.extend(look_at(directory, config.id));
    }
    let place = config.places.of_directories();
    findings.into_iter().map(|finding| finding.at(&place)).collect()
}

/// The first thing that is wrong with a directory; what follows from it is not worth a line.
fn look_at(directory: &Path, id: BrokerId) -> Option<Finding> {
    match fs::metadata(directory) {
        Ok(metadata) if !metadata.is_dir() => Some(Finding::error(
            format!("the data directory is not a directory: {}", directory.display()),
            "name a directory in log.dirs, or move the file away",
        )),
        Ok(_) => permission(directory, directory)
            .or_else(|| lock(directory))
            .or_else(|| owner(directory, id))
            .or_else(|| space(directory, directory)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let parent = existing_ancestor(directory);
            permission(directory, &parent).or_else(|| space(directory, &parent))
        }
        Err(error) => Some(Finding::error(
            format!(
                "the data directory cannot be looked at: {}: {error}",
                directory.display()
            ),
            "name a directory that this user may use in log.dirs",
        )),
    }
}

/// The nearest directory above one that does not exist yet.
fn existing_ancestor(directory: &Path) -> PathBuf {
    let existing = directory.ancestors().skip(1).find(|above| above.exists());
    match existing {
        Some(above) if !above.as_os_str().is_empty() => above.to_owned(),
        // A relative path is below the current directory.
        _ => PathBuf::from("."),
    }
}

/// Whether files can be created in `place`, the directory itself or what it would be created in.
fn permission(directory: &Path, place: &Path) -> Option<Finding> {
    let wanted = Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK;
    let error = if place.is_dir() {
        io::Error::from(access(place, wanted).err()?)
    } else {
        io::Error::from(io::ErrorKind::NotADirectory)
    };
    let what = if place == directory {
        format!(
            "the data directory is read-only: {}: {error}",
            directory.display()
        )
    } else {
        let place = place.display();
        format!(
            "the data directory cannot be created: {} (in {place}): {error}",
            directory.display()
        )
    };
    Some(Finding::error(
        what,
        "make it writable for this user, or name another one in log.dirs",
    ))
}

fn space(directory: &Path, place: &Path) -> Option<Finding> {
    // A file system that does not tell its space is not known to be full.
    let free = free_bytes(place)?;
    (free < MIN_FREE_BYTES).then(|| {
        Finding::error(
            format!("no space for data: {} has {free} bytes free", directory.display()),
            "free some space, or name a directory on another disk in log.dirs",
        )
    })
}

/// Whether another process has locked the directory, as Java's `FileLock` does: by fcntl.
fn lock(directory: &Path) -> Option<Finding> {
    let file = File::open(directory.join(LOCK_FILE)).ok()?;
    let held = fcntl_getlk(&file, &Flock::from(FlockType::WriteLock)).ok()??;
    let pid = held
        .pid
        .and_then(|pid| u32::try_from(pid.as_raw_nonzero().get()).ok());
    let holder = pid.map_or_else(|| "another process".to_owned(), |pid| Holder::of(pid).to_string());
    Some(Finding::error(
        format!(
            "the data directory is in use: {}, by {holder}",
            directory.display()
        ),
        "stop the broker that uses it, or name another directory in log.dirs",
    ))
}

/// Whether the directory belongs to another broker, or to something else altogether.
fn owner(directory: &Path, id: BrokerId) -> Option<Finding> {
    if let Err(meta_properties::Error::Foreign { owner: other, .. }) =
        meta_properties::refuse_foreign(directory, id)
    {
        return Some(Finding::error(
            format!(
                "the data directory is that of broker {other}, not {id}: {}",
                directory.display()
            ),
            format!("set broker.id={other}, or name another directory in log.dirs"),
        ));
    }
    let entries = fs::read_dir(directory).ok()?.flatten();
    let names: Vec<(String, bool)> = entries
        .map(|entry| {
            (
                entry.file_name().to_string_lossy().into_owned(),
                entry.path().is_dir(),
            )
        })
        .collect();
    if names.iter().any(|(name, is_dir)| is_ours(name, *is_dir)) {
        return None;
    }
    // Hidden files and the rescue directory of a file system lie about anywhere.
    let mut foreign = names
        .iter()
        .filter(|(name, _)| !name.starts_with('.') && name != "lost+found");
    let (example, _) = foreign.next()?;
    Some(Finding::error(
        format!(
            "not a data directory: {} holds {example} and nothing of a broker",
            directory.display()
        ),
        "name an empty directory, or one that a broker has used, in log.dirs",
    ))
}

/// Files of a broker, and directories named like a partition: `<topic>-<number>`, perhaps being deleted.
fn is_ours(name: &str, is_dir: bool) -> bool {
    let partition = name.strip_suffix(".delete").unwrap_or(name).rsplit_once('-');
    let is_partition =
        partition.is_some_and(|(topic, number)| !topic.is_empty() && number.parse::<u32>().is_ok());
    (is_dir && is_partition) || (!is_dir && (is_own_file(name) || name == meta_properties::FILE_NAME))
}

#[cfg(test)]
mod tests {
    use std::io::BufRead;
    use std::io::BufReader;
    use std::process::Command;
    use std::process::Stdio;

    use rustix::fs::FlockOperation;
    use rustix::fs::fcntl_lock;

    use super::super::tests::config;
    use super::*;

    fn look(directory: &Path) -> Vec<Finding> {
        directories(&config(&[("log.dirs", directory.to_str().unwrap())]))
    }

    fn only_finding(directory: &Path) -> String {
        let findings = look(directory);
        assert_eq!(findings.len(), 1, "{findings:?}");
        findings.first().unwrap().what.clone()
    }

    #[test]
    fn an_empty_or_used_directory_is_fine() {
        let directory = tempfile::tempdir().unwrap();
        assert_eq!(look(directory.path()), []);
        fs::create_dir(directory.path().join("orders-0")).unwrap();
        fs::write(
            directory.path().join("meta.properties"),
            "version=0\nbroker.id=0\n",
        )
        .unwrap();
        fs::write(
            directory.path().join("recovery-point-offset-checkpoint"),
            "0\n0\n",
        )
        .unwrap();
        fs::write(directory.path().join(".lock"), "").unwrap();
        fs::write(directory.path().join("a-note"), "").unwrap();
        assert_eq!(look(directory.path()), []);
    }

    #[test]
    fn a_directory_of_something_else_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("lost+found")).unwrap();
        fs::write(directory.path().join(".hidden"), "").unwrap();
        assert_eq!(look(directory.path()), []);
        fs::create_dir(directory.path().join("src")).unwrap();
        assert!(only_finding(directory.path()).contains("holds src and nothing of a broker"));
    }

    #[test]
    fn a_directory_of_another_broker_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(
            directory.path().join("meta.properties"),
            "#\nversion=0\nbroker.id=7\n",
        )
        .unwrap();
        assert!(only_finding(directory.path()).contains("is that of broker 7, not 0"));
    }

    #[test]
    fn a_file_is_no_directory_and_nothing_can_be_created_in_it() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(only_finding(&file).contains("is not a directory"));
        assert!(only_finding(&file.join("data")).contains("annot be"));
    }

    #[test]
    fn a_read_only_file_system_is_found() {
        // Even root cannot write below /proc.
        assert!(only_finding(Path::new("/proc/self")).contains("is read-only"));
        assert!(only_finding(Path::new("/proc/self/data")).contains("cannot be created"));
    }

    #[test]
    fn a_full_file_system_is_found() {
        // A kernel's file system without any block free.
        let finding = space(Path::new("data"), Path::new("/proc")).unwrap();
        assert!(finding.what.contains("data has 0 bytes free"), "{finding}");
        assert_eq!(space(Path::new("data"), &std::env::temp_dir()), None);
    }

    /// Locks belong to processes, so that this test runs itself once more as the one that holds the lock.
    #[test]
    fn a_directory_in_use_is_refused_with_its_holder() {
        const HELD: &str = "GREGOR_TEST_HOLD_LOCK_IN";
        if let Some(directory) = std::env::var_os(HELD) {
            let file = File::create(Path::new(&directory).join(".lock")).unwrap();
            fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive).unwrap();
            eprintln!("locked");
            io::stdin().read_line(&mut String::new()).unwrap();
            return;
        }
        let directory = tempfile::tempdir().unwrap();
        let mut holder = Command::new(std::env::current_exe().unwrap())
            .args(["a_directory_in_use_is_refused_with_its_holder", "--nocapture"])
            .env(HELD, directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(holder.stderr.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap() == "locked"));
        let finding = only_finding(directory.path());
        assert!(
            finding.contains(&format!("by process {} (", holder.id())),
            "{finding}"
        );
        drop(holder.stdin.take());
        assert!(holder.wait().unwrap().success());
        assert_eq!(look(directory.path()), []);
    }

    #[test]
    fn a_directory_named_twice_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().to_str().unwrap();
        let findings = directories(&config(&[("log.dirs", &format!("{path},{path}/."))]));
        assert!(
            findings.first().unwrap().what.contains("named twice"),
            "{findings:?}"
        );
    }

    #[test]
    fn a_relative_directory_is_created_below_the_current_one() {
        assert_eq!(
            existing_ancestor(Path::new("no-such-directory/x")),
            Path::new(".")
        );
        assert_eq!(
            existing_ancestor(Path::new("/no-such-directory/x")),
            Path::new("/")
        );
    }
}
