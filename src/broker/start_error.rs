//! Why a broker did not start, and what to do about it.

use std::error::Error;
use std::io;
use std::path::Path;

use rustix::io::Errno;

use crate::broker::meta_properties;
use crate::log;
use crate::metrics;
use crate::net;
use crate::replication;
use crate::zookeeper;

/// Why a broker did not start, or did not stop cleanly.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// ZooKeeper was not there, or somebody else has our id.
    #[error(transparent)]
    ZooKeeper(#[from] zookeeper::Error),
    /// The data directories.
    #[error(transparent)]
    Log(#[from] log::Error),
    /// The high watermarks could not be written.
    #[error(transparent)]
    Replication(#[from] replication::Error),
    /// A data directory is another broker's.
    #[error(transparent)]
    Directory(#[from] meta_properties::Error),
    /// The port for clients.
    #[error(transparent)]
    Listen(#[from] net::Error),
    /// The port for metrics.
    #[error(transparent)]
    Metrics(#[from] metrics::Error),
    /// The system does not say where we listen.
    #[error("ask for the bound address")]
    Bound(#[source] io::Error),
    /// A mistake of ours.
    #[error("internal error: {0}")]
    Panicked(String),
}

impl StartError {
    /// The settings that it comes from: of several for one thing, one is set.
    pub fn keys(&self) -> &'static [&'static str] {
        match self {
            Self::ZooKeeper(zookeeper::Error::BrokerIdTaken { .. }) => &["broker.id"],
            Self::ZooKeeper(
                zookeeper::Error::Unreachable { .. }
                | zookeeper::Error::NoChroot { .. }
                | zookeeper::Error::Address { .. },
            ) => &["zookeeper.connect"],
            Self::ZooKeeper(zookeeper::Error::Auth { .. }) => &["zookeeper.auth"],
            Self::Log(_) | Self::Directory(_) => &["log.dirs", "log.dir"],
            Self::Listen(net::Error::Listen { .. }) => &["port"],
            Self::Metrics(_) => &["metrics.listen"],
            _ => &[],
        }
    }

    /// One thing to try.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::ZooKeeper(error) => zookeeper_hint(error),
            Self::Log(error) => log_hint(error),
            Self::Listen(net::Error::Listen { address, source }) => Some(match source.kind() {
                io::ErrorKind::AddrInUse => format!("stop {}, or set another port", holder(address.port())),
                _ => "set host.name to an address of this machine, or leave it out to listen on all".into(),
            }),
            Self::Listen(net::Error::Resolve { host, .. }) => Some(format!(
                "correct {host} in host.name or max.connections.per.ip.overrides"
            )),
            Self::Metrics(_) => {
                Some("set metrics.listen to another host:port, or to nothing to switch it off".into())
            }
            Self::Directory(meta_properties::Error::Foreign { owner, .. }) => {
                Some(format!("set broker.id={owner}, or log.dirs to another directory"))
            }
            Self::Directory(meta_properties::Error::Io { .. }) => {
                Some("set log.dirs to directories that this user may create or write".into())
            }
            Self::Replication(replication::Error::Log(error)) => log_hint(error),
            Self::Replication(_) | Self::Bound(_) | Self::Panicked(_) => None,
        }
    }
}

/// One thing to try about what stopped a running broker.
pub fn hint_about(cause: &(dyn Error + 'static)) -> Option<String> {
    match cause.downcast_ref() {
        Some(replication::Error::Log(error)) => log_hint(error),
        _ => cause.downcast_ref().and_then(log_hint),
    }
}

fn zookeeper_hint(error: &zookeeper::Error) -> Option<String> {
    Some(match error {
        zookeeper::Error::Unreachable { .. } | zookeeper::Error::NotConnected => {
            "start ZooKeeper (/usr/share/zookeeper/bin/zkServer.sh start), set zookeeper.connect, or try `gregor dev`".into()
        }
        zookeeper::Error::NoChroot { chroot } => {
            format!("create it: /usr/share/zookeeper/bin/zkCli.sh create {chroot} ''")
        }
        zookeeper::Error::BrokerIdTaken { .. } => "set another broker.id, or stop the other broker".into(),
        zookeeper::Error::Corrupt { path, .. } => {
            format!("if nobody needs that node, delete it: /usr/share/zookeeper/bin/zkCli.sh delete {path}")
        }
        zookeeper::Error::Auth { .. } => "set zookeeper.auth to who may write there, e.g. digest:user:password".into(),
        zookeeper::Error::Address { .. } => "write zookeeper.connect as host:port,host:port/chroot".into(),
        _ => return None,
    })
}

fn log_hint(error: &log::Error) -> Option<String> {
    Some(match error {
        log::Error::Locked { .. } => "stop the other broker, or set log.dirs to another directory".into(),
        log::Error::ReadOnly(_) => "mount it for writing, or set log.dirs to another directory".into(),
        log::Error::PermissionDenied(path) => {
            format!(
                "give this user the directory (chown -R), or set log.dirs to another than {}",
                path.display()
            )
        }
        log::Error::NoSpace(_) => "free some space there, or set log.dirs to a larger disk".into(),
        log::Error::NotADirectory(_) | log::Error::CreateDirectory { .. } | log::Error::NoDirectory => {
            "set log.dirs to directories that this user may create or write".into()
        }
        log::Error::DuplicateDirectory(_) => "name each directory in log.dirs once".into(),
        log::Error::DuplicatePartition { .. } => {
            "move the older of the two out of the data directories".into()
        }
        log::Error::Io { path, source } => disk_hint(path, source),
        _ => return None,
    })
}

fn disk_hint(path: &Path, failure: &io::Error) -> String {
    let path = path.display();
    let too_many = [Errno::MFILE, Errno::NFILE].map(|errno| Some(errno.raw_os_error()));
    if too_many.contains(&failure.raw_os_error()) {
        return "allow the process more open files (LimitNOFILE, or ulimit -Hn): one a partition, one a connection"
            .to_owned();
    }
    match failure.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            format!("free some space on the disk of {path}, then start again")
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            format!("make {path} writable for this user, then start again")
        }
        _ => format!("see what the system says about the disk of {path} (dmesg), then start again"),
    }
}

fn holder(port: u16) -> String {
    super::preflight::listening_on(port)
        .map_or_else(|| "whatever listens there".into(), |holder| holder.to_string())
}
