//! The mistakes people make, one by one: one line that says what is wrong, one hint, an exit that is not 0.

use std::net::TcpListener;
use std::process::Command;
use std::time::Duration;

use crate::support::Need;
use crate::support::broker::Broker;
use crate::support::broker::Kind;
use crate::support::broker::Setup;
use crate::support::chroot;
use crate::support::free_port;
use crate::support::have;
use crate::support::process::Finished;
use crate::support::process::run;
use crate::support::scratch;
use crate::support::znodes;
use crate::support::zookeeper::Version;
use crate::support::zookeeper::ZooKeeper;

const NEEDS: [Need; 3] = [Need::Gregor, Need::Reference, Need::Python];

/// A mistake ends the start soon, whatever timeouts are configured.
const SOON: Duration = Duration::from_secs(15);

fn setup(test: &str) -> (std::sync::Arc<ZooKeeper>, Setup) {
    let zookeeper = ZooKeeper::shared(Version::Reference);
    let setup = Setup::new(&chroot(&zookeeper, test));
    (zookeeper, setup)
}

/// The lines that begin so.
fn beginning<'a>(finished: &'a Finished, start: &str) -> Vec<&'a str> {
    finished
        .stderr
        .lines()
        .filter(|line| line.starts_with(start))
        .collect()
}

/// Runs into one mistake; `expected` are pieces that the error line or the hint must have.
#[track_caller]
fn refused_by(command: Command, expected: &[&str]) -> Finished {
    let finished = run(command, b"", SOON);
    assert!(
        finished.status.code().is_some_and(|code| code != 0),
        "{}",
        finished.account()
    );
    let errors = beginning(&finished, "error: ");
    let hints = beginning(&finished, "hint: ");
    assert_eq!(
        (errors.len(), hints.len()),
        (1, 1),
        "one error, one hint: {}",
        finished.account()
    );
    let both = format!("{}\n{}", errors[0], hints[0]);
    for piece in expected {
        assert!(both.contains(piece), "{piece} is missing: {}", finished.account());
    }
    assert!(!finished.stderr.contains("panicked"), "{}", finished.account());
    finished
}

#[track_caller]
fn refused(setup: &Setup, expected: &[&str]) {
    refused_by(setup.command(), expected);
}

#[test]
fn the_port_is_taken() {
    if !have(&NEEDS) {
        return;
    }
    let (_zookeeper, setup) = setup("port-taken");
    let _holder = TcpListener::bind(("127.0.0.1", setup.port())).unwrap();
    let address = format!("127.0.0.1:{}", setup.port());
    // The holder is this process.
    refused(&setup, &[&address, &std::process::id().to_string()]);
}

#[test]
fn the_id_is_taken_by_a_live_broker() {
    if !have(&NEEDS) {
        return;
    }
    for (kind, test) in [(Kind::Gregor, "id-taken"), (Kind::Reference, "id-taken-by-java")] {
        let zookeeper = ZooKeeper::shared(Version::Reference);
        let connect = chroot(&zookeeper, test);
        let mut first = Setup::of_kind(kind, &connect).start();
        let second = Setup::new(&connect);
        refused(
            &second,
            &[&first.bootstrap(), "(broker.id, ", "server.properties:"],
        );
        assert!(first.exited().is_none(), "the first one runs on");
        let node = znodes::node(&connect, "/brokers/ids/0")
            .and_then(|node| node.data)
            .unwrap();
        assert!(node.contains(&first.address().port().to_string()), "{node}");
        // The directory that it left behind is not bound to the number which it could not have.
        second.set("broker.id", "1").start();
    }
}

#[test]
fn zookeeper_is_unreachable() {
    if !have(&NEEDS) {
        return;
    }
    let (one, other) = (
        format!("127.0.0.1:{}", free_port()),
        format!("127.0.0.1:{}", free_port()),
    );
    let setup = Setup::new(&format!("{one},{other}/kafka")).set("zookeeper.connection.timeout.ms", "1500");
    refused(&setup, &[&one, &other, "zookeeper.connect"]);
}

/// A missing chroot is created, as the reference does (`registration.rs`); here ZooKeeper does not let us.
#[test]
fn the_chroot_is_missing_and_cannot_be_created() {
    if !have(&NEEDS) {
        return;
    }
    let zookeeper = ZooKeeper::shared(Version::Reference);
    znodes::create_read_only(&zookeeper.address(), "/locked");
    refused(
        &Setup::new(&chroot(&zookeeper, "locked/kafka")),
        &["/locked/kafka"],
    );
}

#[test]
fn the_data_directory_is_locked() {
    if !have(&NEEDS) {
        return;
    }
    for (kind, test) in [(Kind::Gregor, "lock-held"), (Kind::Reference, "locked-by-java")] {
        let zookeeper = ZooKeeper::shared(Version::Reference);
        let connect = chroot(&zookeeper, test);
        let holder = Setup::of_kind(kind, &connect).start();
        let folder = holder.data().display().to_string();
        let second = Setup::new(&connect)
            .set("broker.id", "1")
            .set("log.dirs", &folder);
        refused(&second, &[&folder, &holder.pid().as_raw_nonzero().to_string()]);
    }
}

#[test]
fn a_java_broker_is_kept_out_of_gregors_data() {
    if !have(&NEEDS) {
        return;
    }
    let zookeeper = ZooKeeper::shared(Version::Reference);
    let connect = chroot(&zookeeper, "java-kept-out");
    let holder = Broker::start(&connect);
    let folder = holder.data().display().to_string();
    let second = Setup::of_kind(Kind::Reference, &connect)
        .set("broker.id", "1")
        .set("log.dirs", folder);
    let finished = run(second.command(), b"", Duration::from_secs(30));
    assert!(!finished.status.success(), "{}", finished.account());
    assert!(
        finished.stderr.contains("Failed to acquire lock"),
        "{}",
        finished.account()
    );
}

#[test]
fn the_data_directory_belongs_to_another_broker() {
    if !have(&NEEDS) {
        return;
    }
    let zookeeper = ZooKeeper::shared(Version::Reference);
    let connect = chroot(&zookeeper, "foreign");
    let mut owner = Setup::new(&connect).set("broker.id", "5").start();
    owner.stop();
    let folder = owner.data().display().to_string();
    refused(
        &Setup::new(&connect).set("log.dirs", &folder),
        &[&folder, "5", "broker.id"],
    );
}

/// Runs the broker where its data directory is a small file system of its own.
fn on_file_system(setup: &Setup, options: &str, fill: bool) -> Command {
    let mut command = Command::new("unshare");
    // What is mounted here is seen by this process alone, and gone with it.
    command.args(["--mount", "sh", "-c"]);
    let fill = if fill {
        r#"mkdir "$0/orders-0"; head -c 10000000 /dev/zero > "$0/orders-0/ballast" 2> /dev/null;"#
    } else {
        ""
    };
    command.arg(format!(
        r#"mount -t tmpfs -o {options} tmpfs "$0" || exit 99; {fill} exec "$@""#
    ));
    std::fs::create_dir_all(setup.data()).unwrap();
    command.arg(setup.data());
    let server = setup.command();
    command.arg(server.get_program()).args(server.get_args());
    command
}

#[test]
fn the_data_directory_is_read_only() {
    if !have(&NEEDS) || !have(&[Need::Namespaces]) {
        return;
    }
    let (_zookeeper, setup) = setup("read-only");
    let command = on_file_system(&setup, "ro,size=64k", false);
    refused_by(command, &[&setup.data().to_string_lossy()]);
}

#[test]
fn the_data_directory_is_full() {
    if !have(&NEEDS) || !have(&[Need::Namespaces]) {
        return;
    }
    let (_zookeeper, setup) = setup("full");
    let command = on_file_system(&setup, "size=64k", true);
    refused_by(command, &[&setup.data().to_string_lossy(), "free"]);
}

#[test]
fn the_data_directory_is_no_directory() {
    if !have(&NEEDS) {
        return;
    }
    let (_zookeeper, setup) = setup("no-directory");
    let folder = scratch("file");
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let file = file.to_string_lossy().into_owned();
    refused(&setup.set("log.dirs", &file), &[&file]);
}

#[test]
fn the_advertised_address_is_of_no_use_to_clients() {
    if !have(&NEEDS) {
        return;
    }
    for (host, test) in [
        ("0.0.0.0", "advertised-any"),
        ("no-such-host.invalid", "advertised-unknown"),
    ] {
        let (_zookeeper, setup) = setup(test);
        refused(
            &setup.set("advertised.host.name", host),
            &[host, "advertised.host.name"],
        );
    }
}

/// As in the reference an unknown key is no reason not to start; here the warning knows what was meant.
#[test]
fn an_unknown_key_is_pointed_out_with_the_nearest_one() {
    if !have(&NEEDS) {
        return;
    }
    let (_zookeeper, setup) = setup("unknown-key");
    let broker = setup.set("log.retention.huors", "1").start();
    let output = broker.output();
    let lines: Vec<&str> = output
        .lines()
        .filter(|line| line.contains("log.retention.huors"))
        .collect();
    assert_eq!(lines.len(), 1, "one warning: {output}");
    assert!(
        lines[0].contains("is not valid") && lines[0].contains("log.retention.hours"),
        "{}",
        lines[0]
    );
}

#[test]
fn wrong_values_are_reported_all_at_once_with_their_lines() {
    if !have(&NEEDS) {
        return;
    }
    let (_zookeeper, setup) = setup("wrong-values");
    let wrong = [
        ("num.partitions", "many"),
        ("log.segment.bytes", "-1"),
        ("auto.create.topics.enable", "perhaps"),
    ];
    let setup = wrong
        .iter()
        .fold(setup, |setup, (key, value)| setup.set(key, *value));
    let finished = run(setup.command(), b"", SOON);
    assert!(
        finished.status.code().is_some_and(|code| code != 0),
        "{}",
        finished.account()
    );
    let file = std::fs::read_to_string(setup.file()).unwrap();
    for (key, value) in wrong {
        let line = 1 + file.lines().position(|line| line.starts_with(key)).unwrap();
        let place = format!("server.properties:{line}");
        let said = finished
            .stderr
            .lines()
            .find(|line| line.contains(key) && line.contains(value));
        assert!(
            said.is_some_and(|said| said.contains(&place)),
            "{key} at {place}: {}",
            finished.account()
        );
    }
    assert!(
        !beginning(&finished, "error: ").is_empty(),
        "{}",
        finished.account()
    );
}

#[test]
fn the_file_does_not_exist() {
    if !have(&NEEDS) {
        return;
    }
    let mut command = crate::support::gregor();
    command.args(["server", "no-such-file.properties"]);
    refused_by(command, &["no-such-file.properties"]);
}

/// A client of a later release is told by name, once, with what to set; its neighbours notice nothing.
#[test]
fn a_client_that_speaks_a_later_protocol_is_named_in_the_log() {
    if !have(&NEEDS) || !have(&[Need::Kcat]) {
        return;
    }
    let (_zookeeper, setup) = setup("later-client");
    let broker = setup.start();
    for _ in 0..5 {
        let mut kcat = Command::new("kcat");
        kcat.args(["-b", &broker.bootstrap(), "-L", "-X", "client.id=from-the-future"]);
        kcat.args([
            "-X",
            "api.version.request=true",
            "-X",
            "broker.version.fallback=0.8.2.2",
        ]);
        // Whether it then falls back to 0.8.2 depends on its release.
        run(kcat, b"", Duration::from_secs(60));
    }
    let output = broker.output();
    let lines: Vec<&str> = output
        .lines()
        .filter(|line| line.contains("from-the-future"))
        .collect();
    assert_eq!(lines.len(), 1, "one line for five attempts: {output}");
    assert!(lines[0].contains("127.0.0.1"), "who: {}", lines[0]);
    assert!(
        lines[0].contains("18") || lines[0].contains("ApiVersions"),
        "what it asked for: {}",
        lines[0]
    );
    assert!(
        lines[0].contains("api.version.request") || lines[0].contains("0.8"),
        "what to set: {}",
        lines[0]
    );
}
