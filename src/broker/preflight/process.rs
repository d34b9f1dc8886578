//! Which process holds a port or a lock, as far as `/proc` tells.

use std::fmt;
use std::fs;
use std::path::Path;

/// A process that has what we want.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its id.
    pub pid: u32,
    /// The name of its program, where readable.
    pub program: Option<String>,
}

impl Holder {
    /// A process with the name of its program.
    pub(super) fn of(pid: u32) -> Self {
        let program = fs::read_to_string(format!("/proc/{pid}/comm")).ok();
        Self {
            pid,
            program: program.map(|name| name.trim().to_owned()),
        }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.program {
            Some(program) => write!(f, "process {} ({program})", self.pid),
            None => write!(f, "process {}", self.pid),
        }
    }
}

/// The process that listens on a TCP port of this machine. `None` if nobody does, or if it is not ours to see.
pub fn listening_on(port: u16) -> Option<Holder> {
    let inodes: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .into_iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|table| listening_inodes(&table, port))
        .collect();
    let sockets: Vec<String> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
    if sockets.is_empty() {
        return None;
    }
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.into_iter()
        .find(|pid| has_open(*pid, &sockets))
        .map(Holder::of)
}

/// The inodes of sockets that listen on a port, from a table like `/proc/net/tcp`:
/// `sl local_address rem_address st tx:rx tr:tm retrnsmt uid timeout inode …`, addresses and states in hexadecimal.
fn listening_inodes(table: &str, port: u16) -> Vec<String> {
    const LISTEN: &str = "0A";
    let inode = |line: &str| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let (_, local_port) = columns.get(1)?.rsplit_once(':')?;
        let listens =
            columns.get(3) == Some(&LISTEN) && u16::from_str_radix(local_port, 16).ok() == Some(port);
        columns
            .get(9)
            .filter(|_| listens)
            .map(|inode| (*inode).to_owned())
    };
    table.lines().filter_map(inode).collect()
}

/// Whether a process has one of these files open. One that may not be looked at seems to have none.
fn has_open(pid: u32, names: &[String]) -> bool {
    let Ok(descriptors) = fs::read_dir(Path::new("/proc").join(pid.to_string()).join("fd")) else {
        return false;
    };
    descriptors
        .flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .any(|target| names.iter().any(|name| target.as_os_str() == name.as_str()))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_table_of_sockets_is_searched_for_listening_ones() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
             0: 0100007F:2384 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 111 1 0 100 0 0 10 0\n\
             1: 0100007F:2384 0100007F:C0DE 01 00000000:00000000 00:00000000 00000000  1000        0 222 1 0 100 0 0 10 0\n\
             2: 0100007F:2385 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 333 1 0 100 0 0 10 0\n\
             garbage\n";
        assert_eq!(listening_inodes(table, 9092), ["111"]);
        assert_eq!(listening_inodes(table, 9093), ["333"]);
        assert!(listening_inodes(table, 9094).is_empty());
    }

    #[test]
    fn the_process_that_listens_is_named() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let holder = listening_on(listener.local_addr().unwrap().port()).unwrap();
        assert_eq!(holder.pid, std::process::id());
        let program = holder.program.clone().unwrap();
        assert!(!program.is_empty());
        assert_eq!(holder.to_string(), format!("process {} ({program})", holder.pid));
    }
}
