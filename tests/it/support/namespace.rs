//! A network of its own, in which every port is free: for what runs on default ports, as users do. And a disk of its
//! own, small enough to be filled.

use std::ffi::OsStr;
use std::fs::File;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;

use rustix::process::Pid;
use rustix::process::Signal;
use rustix::process::kill_process;

/// A network namespace with nothing but a loopback interface; gone when dropped.
#[derive(Debug)]
pub(crate) struct Network {
    holder: Child,
}

impl Network {
    /// Opens one.
    pub(crate) fn new() -> Self {
        let holder =
            hold(Command::new("unshare").args(["--net", "sh", "-c", "ip link set lo up && echo up && cat"]));
        Self { holder }
    }

    /// Whether this machine allows them.
    pub(crate) fn allowed() -> bool {
        let tried = Command::new("unshare")
            .args(["--net", "ip", "link", "set", "lo", "up"])
            .output();
        tried.is_ok_and(|output| output.status.success())
    }

    /// A program that runs inside.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(self.to_enter()).arg("--").arg(program);
        command
    }

    /// The option with which `nsenter` goes inside.
    pub(crate) fn to_enter(&self) -> String {
        format!("--net=/proc/{}/ns/net", self.holder())
    }

    /// The process that keeps it open.
    pub(crate) fn holder(&self) -> u32 {
        self.holder.id()
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        // What a script has left running in there goes, too, the holder last.
        let network = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/net")).ok();
        let own = network(&self.holder.id().to_string());
        for process in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            let name = process.file_name().to_string_lossy().into_owned();
            let Some(pid) = name.parse().ok().and_then(Pid::from_raw) else {
                continue;
            };
            if own.is_some()
                && own != network("self")
                && network(&name) == own
                && pid != Pid::from_child(&self.holder)
            {
                // Fails only when it has ended already.
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        // Fails only when it has ended already.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// A small file system in a mount namespace: seen by what runs under it, gone when dropped.
#[derive(Debug)]
pub(crate) struct Disk {
    holder: Child,
    at: PathBuf,
    mounts: String,
}

impl Disk {
    /// Mounts one with these options at a directory, which must exist.
    pub(crate) fn mount(at: &Path, options: &str) -> Self {
        let script = format!(r#"mount -t tmpfs -o {options} tmpfs "$0" && echo up && cat"#);
        let holder = hold(
            Command::new("unshare")
                .args(["--mount", "sh", "-c", &script])
                .arg(at),
        );
        let mounts = format!("--mount=/proc/{}/ns/mnt", holder.id());
        Self {
            holder,
            at: at.to_owned(),
            mounts,
        }
    }

    /// What a program that sees it runs under.
    pub(crate) fn under(&self) -> [&str; 3] {
        ["nsenter", &self.mounts, "--"]
    }

    /// The same directory as seen from outside.
    pub(crate) fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{}", self.holder.id(), self.at.display()))
    }

    /// Mounts it anew with these options.
    pub(crate) fn remount(&self, options: &str) {
        let [nsenter, mounts, end] = self.under();
        let mount = Command::new(nsenter)
            .args([mounts, end, "mount", "-o", &format!("remount,{options}")])
            .arg(&self.at)
            .status()
            .unwrap();
        assert!(mount.success(), "mount -o remount,{options}");
    }

    /// Fills it to the last byte.
    pub(crate) fn fill(&self) {
        let mut ballast = File::create(self.path().join(BALLAST)).unwrap();
        while ballast.write_all(&[0; 4096]).is_ok() {}
    }

    /// Makes room again.
    pub(crate) fn make_room(&self) {
        std::fs::remove_file(self.path().join(BALLAST)).unwrap();
    }
}

/// A file that fills a disk.
const BALLAST: &str = "ballast";

impl Drop for Disk {
    fn drop(&mut self) {
        // Fails only when it has ended already.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// Starts what holds a namespace open for as long as its standard input is, and waits until it says that all is up.
fn hold(command: &mut Command) -> Child {
    let mut holder = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("start unshare");
    let mut line = String::new();
    BufReader::new(holder.stdout.take().expect("was asked for"))
        .read_line(&mut line)
        .unwrap();
    assert_eq!(line, "up\n", "the namespace is ready");
    holder
}
