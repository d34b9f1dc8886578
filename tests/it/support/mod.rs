//! What the tests stand on: brokers, ZooKeeper, clients and the reference's tools as child processes.

pub(crate) mod answer;
pub(crate) mod broker;
pub(crate) mod clients;
pub(crate) mod connection;
pub(crate) mod ensemble;
pub(crate) mod eventually;
pub(crate) mod faketime;
pub(crate) mod java;
pub(crate) mod lan;
pub(crate) mod load;
pub(crate) mod namespace;
pub(crate) mod numbered;
pub(crate) mod process;
pub(crate) mod proxy;
pub(crate) mod reference;
pub(crate) mod requests;
pub(crate) mod segments;
pub(crate) mod wire;
pub(crate) mod znodes;
pub(crate) mod zookeeper;

use std::fs::File;
use std::io::Write;
use std::net::TcpListener;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::AtomicU16;
use std::sync::atomic::Ordering;

/// Something on the machine that a test cannot do without.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Need {
    /// The reference's jars and Java.
    Reference,
    Kcat,
    Curl,
    /// The virtual environments with both releases of kafka-python.
    Python,
    /// ZooKeeper 3.8 as Debian packages it.
    ZooKeeper,
    Strace,
    /// A library that lies about the time.
    Faketime,
    /// util-linux' `script`, which runs a program on a terminal.
    Terminal,
    /// Network and mount namespaces of the test's own.
    Namespaces,
    /// Networks of several hosts.
    Lan,
    /// What the client of the benchmark is built from.
    Librdkafka,
    /// Only Gregor promises what the test checks.
    Gregor,
}

impl Need {
    /// What is missing and the command that provides it; `None` when it is there.
    fn missing(self) -> Option<String> {
        let absent = |there: bool, what: &str, install: &str| {
            (!there).then(|| format!("{what} is missing: {install}"))
        };
        match self {
            Self::Reference => absent(
                reference::installed(),
                "the reference (Kafka 0.8.2.2, Java)",
                "apt-get install default-jdk-headless maven && tests/reference/kafka jars",
            ),
            Self::Kcat => absent(on_path("kcat"), "kcat", "apt-get install kcat"),
            Self::Curl => absent(on_path("curl"), "curl", "apt-get install curl"),
            Self::Python => absent(
                clients::Release::ALL
                    .iter()
                    .all(|release| release.python().exists()),
                "kafka-python in its virtual environments",
                "scripts/test.sh --only-install",
            ),
            Self::ZooKeeper => {
                let home = std::env::var_os("ZOOKEEPER_HOME").is_some();
                let there = home || Path::new("/usr/share/java/zookeeper.jar").exists();
                absent(there, "ZooKeeper 3.8", "apt-get install zookeeper")
            }
            Self::Strace => absent(on_path("strace"), "strace", "apt-get install strace"),
            Self::Faketime => absent(faketime::installed(), "libfaketime", "apt-get install faketime"),
            Self::Terminal => absent(on_path("script"), "script", "apt-get install bsdutils"),
            Self::Namespaces => absent(
                namespace::Network::allowed(),
                "the right to open network namespaces",
                "apt-get install iproute2, and run the tests as root",
            ),
            Self::Lan => absent(
                lan::Lan::allowed(),
                "the right to bridge network namespaces",
                "apt-get install iproute2, and run the tests as root",
            ),
            Self::Librdkafka => absent(
                Path::new("/usr/include/librdkafka/rdkafka.h").exists() && on_path("gcc"),
                "librdkafka with its headers, or gcc",
                "apt-get install librdkafka-dev libc6-dev gcc python3",
            ),
            Self::Gregor => (broker::kind() != broker::Kind::Gregor)
                .then(|| "only Gregor promises this: unset GREGOR_TEST_BROKER".to_owned()),
        }
    }
}

/// Whether all of it is there. If not, says so past the test runner's capture; in CI that is a failure, except for
/// what only Gregor promises.
pub(crate) fn have(needs: &[Need]) -> bool {
    for need in needs {
        if let Some(missing) = need.missing() {
            skip(
                &missing,
                std::env::var_os("CI").is_some() && !matches!(need, Need::Gregor),
            );
            return false;
        }
    }
    true
}

/// Says what a test has found, past the test runner's capture: figures that people want to see.
pub(crate) fn report(figures: &str) {
    let thread = std::thread::current();
    let line = format!("{}: {figures}\n", thread.name().unwrap_or("a test"));
    // Nobody may be reading.
    let _ = std::io::stderr().write_all(line.as_bytes());
}

/// Says that the running test is skipped, and why; `fatal` makes that a failure.
pub(crate) fn skip(why: &str, fatal: bool) {
    let thread = std::thread::current();
    let line = format!("SKIPPED: {}: {why}\n", thread.name().unwrap_or("a test"));
    assert!(!fatal, "{line}");
    // Written directly, since the test runner captures what the print macros write.
    let _ = std::io::stderr().write_all(line.as_bytes());
    // The test runner has no word for it and counts the test as passed: `scripts/test.sh` lists them at the end.
    if let Some(list) = std::env::var_os("GREGOR_SKIPPED") {
        let list = File::options().create(true).append(true).open(list);
        list.and_then(|mut list| list.write_all(line.as_bytes()))
            .expect("write the list of skipped tests");
    }
}

/// Whether a command of this name can be run.
fn on_path(name: &str) -> bool {
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join(name).is_file()))
}

/// The root of the project.
pub(crate) fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The binary under test: the one that was built along, or what GREGOR_BINARY names, such as a release build.
pub(crate) fn gregor() -> Command {
    let built = std::env::var_os("GREGOR_BINARY").unwrap_or_else(|| env!("CARGO_BIN_EXE_gregor").into());
    let mut command = Command::new(built);
    // What a developer has exported must not decide a test.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("KAFKA_") {
            command.env_remove(name);
        }
    }
    command.env_remove("RUST_LOG");
    command
}

/// Where cargo puts what it builds; the virtual environments of the clients lie there, too.
pub(crate) fn target() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
        .parent()
        .expect("target/tmp has a parent")
        .to_owned()
}

/// A directory that goes away with its owner.
pub(crate) fn scratch(prefix: &str) -> tempfile::TempDir {
    tempfile::Builder::new()
        .prefix(prefix)
        .tempdir_in(env!("CARGO_TARGET_TMPDIR"))
        .unwrap()
}

/// A connect string with a chroot of the test's own.
pub(crate) fn chroot(server: &zookeeper::ZooKeeper, test: &str) -> String {
    format!("{}/{test}", server.address())
}

/// A port nobody listens on, below the range from which the kernel takes ports of outgoing connections.
pub(crate) fn free_port() -> u16 {
    static NEXT: OnceLock<AtomicU16> = OnceLock::new();
    // Test processes that run side by side begin in different places.
    let next = NEXT.get_or_init(|| AtomicU16::new(fastrand::u16(12_000..31_000)));
    loop {
        let port = 12_000 + next.fetch_add(1, Ordering::Relaxed) % 20_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
