//! ZooKeeper as a child process.

use std::ffi::OsStr;
use std::ffi::OsString;
use std::fs;
use std::fs::File;
use std::io;
use std::net::Ipv4Addr;
use std::net::TcpListener;
use std::path::Path;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::Pid;
use rustix::process::Signal;
use rustix::process::kill_process;
use tokio::process::Child;
use tokio::process::Command;
use tokio::time::timeout;

use crate::broker::preflight::listening_on;
use crate::cli::Failure;

/// Where Debian's package has it; the archive names everything else that it needs.
const DEBIAN_JAR: &str = "/usr/share/java/zookeeper.jar";

const MAIN_CLASS: &str = "org.apache.zookeeper.server.quorum.QuorumPeerMain";

/// A small heap, and no effort to become fast: it starts in half the time.
const JVM_OPTIONS: [&str; 4] = [
    "-Xmx128m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Djava.awt.headless=true",
];

const INSTALL: &str = "apt-get install zookeeper, or set ZOOKEEPER_HOME to where it is";

/// How long it may take to stop before it is killed.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// What is needed to run it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Installation {
    java: PathBuf,
    class_path: OsString,
}

impl Installation {
    /// Looks for it on this machine.
    pub(super) fn find() -> Result<Self, Failure> {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let java_home = variable("JAVA_HOME");
        let path = variable("PATH").unwrap_or_default();
        let java = find_java(java_home.as_deref(), &path);
        Ok(Self {
            java: java.ok_or_else(|| Failure::new("there is no java, which ZooKeeper runs on", INSTALL))?,
            class_path: class_path(variable("ZOOKEEPER_HOME").as_deref(), Path::new(DEBIAN_JAR))?,
        })
    }
}

fn find_java(java_home: Option<&OsStr>, path: &OsStr) -> Option<PathBuf> {
    let home = java_home.map(|home| Path::new(home).join("bin"));
    let mut places = home.into_iter().chain(std::env::split_paths(path));
    places.find_map(|place| Some(place.join("java")).filter(|java| java.is_file()))
}

fn class_path(home: Option<&OsStr>, debian: &Path) -> Result<OsString, Failure> {
    let Some(home) = home.map(Path::new) else {
        if debian.exists() {
            return Ok(debian.into());
        }
        return Err(Failure::new("ZooKeeper is not installed", INSTALL));
    };
    let lib = home.join("lib");
    // Releases before 3.5 have their archive beside the folder of those that it needs.
    if !has_archive(home) && !has_archive(&lib) {
        let what = format!("there is no ZooKeeper in ZOOKEEPER_HOME: {}", home.display());
        return Err(Failure::new(
            what,
            "set it to the directory with ZooKeeper's bin, conf and lib",
        ));
    }
    let mut path = home.join("conf").into_os_string();
    for folder in [lib.as_path(), home] {
        path.push(":");
        path.push(folder.join("*"));
    }
    Ok(path)
}

fn has_archive(folder: &Path) -> bool {
    let is_archive = |name: &str| name.starts_with("zookeeper") && name.ends_with(".jar");
    let mut entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.any(|entry| is_archive(&entry.file_name().to_string_lossy()))
}

/// Refuses a port that somebody listens on.
pub(super) fn check_port(port: u16) -> Result<(), Failure> {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            let holder =
                listening_on(port).map_or_else(|| "another process".to_owned(), |holder| holder.to_string());
            Err(Failure::new(
                format!("ZooKeeper's address is taken: 127.0.0.1:{port} (--zookeeper-port), by {holder}"),
                format!(
                    "if that is a ZooKeeper, use it: gregor server --override zookeeper.connect=localhost:{port}; \
                     else choose another port with --zookeeper-port"
                ),
            ))
        }
        Err(error) => Err(Failure::new(
            format!("cannot listen on 127.0.0.1:{port} (--zookeeper-port): {error}"),
            "choose another port with --zookeeper-port",
        )),
    }
}

/// A running server. Killed when dropped.
#[derive(Debug)]
pub(super) struct ZooKeeper {
    child: Child,
    log: PathBuf,
}

impl ZooKeeper {
    /// Starts it on a port of this machine, with its settings, data and log in a directory. Does not wait for it.
    pub(super) fn start(installation: &Installation, directory: &Path, port: u16) -> Result<Self, Failure> {
        let failed = |error: io::Error| {
            let what = format!("start ZooKeeper in {}: {error}", directory.display());
            Failure::new(what, "name a directory that can be written to: --dir")
        };
        let log = directory.join("zookeeper.log");
        let output = prepare(directory, port)
            .and_then(|()| File::create(&log))
            .map_err(failed)?;
        let mut options = JVM_OPTIONS.map(OsString::from).to_vec();
        let mut log_settings = OsString::from("-Dlog4j.configuration=file:");
        log_settings.push(directory.join("log4j.properties"));
        options.extend([
            log_settings,
            "-cp".into(),
            installation.class_path.clone(),
            MAIN_CLASS.into(),
        ]);
        options.push(directory.join("zoo.cfg").into());
        let this = std::env::current_exe().map_err(failed)?;
        let child = Command::new(this)
            .args(["run-as-child", &std::process::id().to_string(), "--"])
            .arg(&installation.java)
            .args(options)
            .stdin(Stdio::null())
            .stdout(output.try_clone().map_err(failed)?)
            .stderr(output)
            // Ctrl-C at a terminal reaches every process of the group; this one is to stop later than the broker.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        Ok(Self { child, log })
    }

    /// Completes if it ends by itself.
    pub(super) async fn ended(&mut self) -> Failure {
        let how = match self.child.wait().await {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        };
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let last = log
            .lines()
            .rfind(|line| !line.trim().is_empty())
            .unwrap_or_default();
        Failure::new(
            format!("ZooKeeper has ended ({how}): {last}"),
            format!("see {}", self.log.display()),
        )
    }

    /// Stops it as a supervisor does.
    pub(super) async fn stop(mut self) {
        let pid = self
            .child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // An error means that it has ended by itself.
            let _ = kill_process(pid, Signal::TERM);
        }
        if timeout(STOP_LIMIT, self.child.wait()).await.is_err() {
            // The same.
            let _ = self.child.kill().await;
        }
    }
}

/// Writes its settings.
fn prepare(directory: &Path, port: u16) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    // Relative paths would be relative to whoever reads them.
    let data = directory.canonicalize()?.join("data");
    let settings = format!(
        "dataDir={}\nclientPort={port}\nclientPortAddress=127.0.0.1\nmaxClientCnxns=0\nadmin.enableServer=false\n",
        data.display()
    );
    fs::write(directory.join("zoo.cfg"), settings)?;
    let logging = "log4j.rootLogger=INFO, OUT\nlog4j.appender.OUT=org.apache.log4j.ConsoleAppender\n\
                   log4j.appender.OUT.layout=org.apache.log4j.PatternLayout\n\
                   log4j.appender.OUT.layout.ConversionPattern=%d{ISO8601} %-5p %m%n\n";
    fs::write(directory.join("log4j.properties"), logging)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_class_path_is_debians_unless_a_home_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let debian = folder.path().join("zookeeper.jar");
        let missing = class_path(None, &debian).unwrap_err().to_string();
        assert!(missing.contains("hint: apt-get install zookeeper"), "{missing}");
        fs::write(&debian, "").unwrap();
        assert_eq!(class_path(None, &debian).unwrap(), debian);
    }

    #[test]
    fn a_home_has_its_archive_where_its_release_puts_it() {
        for place in ["zookeeper-3.4.6.jar", "lib/zookeeper-3.8.0.jar"] {
            let home = tempfile::tempdir().unwrap();
            let find = || class_path(Some(home.path().as_os_str()), Path::new("/nowhere"));
            fs::create_dir(home.path().join("lib")).unwrap();
            fs::write(home.path().join("lib/netty.jar"), "").unwrap();
            assert!(find().unwrap_err().to_string().contains("ZOOKEEPER_HOME"));
            fs::write(home.path().join(place), "").unwrap();
            let home = home.path().display();
            assert_eq!(
                find().unwrap().to_str().unwrap(),
                format!("{home}/conf:{home}/lib/*:{home}/*")
            );
        }
    }

    #[test]
    fn java_is_that_of_java_home_or_of_the_path() {
        let folder = tempfile::tempdir().unwrap();
        let (home, bin) = (folder.path().join("jdk"), folder.path().join("bin"));
        for directory in [&home.join("bin"), &bin] {
            fs::create_dir_all(directory).unwrap();
            fs::write(directory.join("java"), "").unwrap();
        }
        let path = std::env::join_paths([folder.path(), &bin]).unwrap();
        assert_eq!(find_java(None, &path), Some(bin.join("java")));
        assert_eq!(
            find_java(Some(home.as_os_str()), &path),
            Some(home.join("bin/java"))
        );
        assert_eq!(find_java(None, folder.path().as_os_str()), None);
    }

    #[test]
    fn a_taken_port_comes_with_what_to_do() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let failure = check_port(port).unwrap_err().to_string();
        assert!(
            failure.contains(&format!("127.0.0.1:{port} (--zookeeper-port), by process")),
            "{failure}"
        );
        drop(taken);
        assert_eq!(check_port(port), Ok(()));
    }

    #[test]
    fn its_settings_are_written_with_absolute_paths() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("new/zookeeper");
        prepare(&directory, 2181).unwrap();
        let settings = fs::read_to_string(directory.join("zoo.cfg")).unwrap();
        assert!(settings.starts_with("dataDir=/"), "{settings}");
        assert!(settings.contains("clientPort=2181\n"), "{settings}");
    }
}
