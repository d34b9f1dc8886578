//! The process's limit of open files. A broker holds one per connection and one per partition, and the usual
//! soft limit of 1024 is reached by an ordinary one.

use rustix::process::Resource;
use rustix::process::Rlimit;
use rustix::process::getrlimit;
use rustix::process::setrlimit;

/// A limit of open files; `None` is unlimited.
pub type OpenFiles = Option<u64>;

/// Raises the soft limit of open files to the hard one. Answers with the limit before and after; both are the same
/// when there was nothing to raise or the system refused.
pub fn raise_open_files() -> (OpenFiles, OpenFiles) {
    let before = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: before.maximum,
        maximum: before.maximum,
    };
    if before.current != before.maximum {
        // A refusal leaves the limit as it is, which the answer shows.
        let _ = setrlimit(Resource::Nofile, raised);
    }
    (before.current, getrlimit(Resource::Nofile).current)
}

/// What [`raise_open_files`] could reach.
pub fn reachable_open_files() -> OpenFiles {
    getrlimit(Resource::Nofile).maximum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_raised_to_what_is_reachable_and_stays_there() {
        let reachable = reachable_open_files();
        let (_, after) = raise_open_files();
        assert_eq!(after, reachable);
        assert_eq!(raise_open_files(), (after, after));
    }
}
