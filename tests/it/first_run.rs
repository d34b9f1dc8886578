//! The first run, on default ports and without settings: a plain start, `gregor dev`, the quick start.

use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;

use crate::support::Need;
use crate::support::eventually::eventually;
use crate::support::have;
use crate::support::namespace::Network;
use crate::support::process::Running;
use crate::support::process::run;
use crate::support::project;
use crate::support::reference;
use crate::support::scratch;

const NEEDS: [Need; 5] = [
    Need::Gregor,
    Need::Reference,
    Need::ZooKeeper,
    Need::Namespaces,
    Need::Kcat,
];

/// What docker grants before it kills.
const STOP: Duration = Duration::from_secs(10);

const SOON: Duration = Duration::from_secs(20);

/// Without a file: id 0, port 9092, ZooKeeper on localhost:2181, data in ./gregor-data.
#[test]
fn it_runs_on_defaults() {
    if !have(&NEEDS) {
        return;
    }
    let network = Network::new();
    let folder = scratch("defaults");
    // Nothing listens there yet: an error with a hint, soon.
    let mut server = network.command(env!("CARGO_BIN_EXE_gregor"));
    server.arg("server").current_dir(folder.path());
    let alone = run(server, b"", SOON);
    assert!(!alone.status.success(), "{}", alone.account());
    let hint = alone.stderr.lines().find(|line| line.starts_with("hint: "));
    assert!(
        hint.is_some_and(|hint| hint.contains("gregor dev")),
        "{}",
        alone.account()
    );

    let file = folder.path().join("zoo.cfg");
    let text = format!("dataDir={}/zookeeper\nclientPort=2181\n", folder.path().display());
    std::fs::write(&file, text).unwrap();
    let launcher = reference::command(&["zookeeper"]);
    let mut zookeeper = network.command(launcher.get_program());
    zookeeper.args(launcher.get_args()).arg(&file);
    let _zookeeper = Running::start(zookeeper, None);
    let up = |port: u16| {
        let mut probe = network.command("bash");
        probe.args(["-c", &format!("exec 3<> /dev/tcp/127.0.0.1/{port}")]);
        eventually("the port is open", SOON, || {
            let tried = probe.output().unwrap();
            if tried.status.success() {
                Ok(())
            } else {
                Err(String::from_utf8_lossy(&tried.stderr).into_owned())
            }
        });
    };
    up(2181);
    let mut server = network.command(env!("CARGO_BIN_EXE_gregor"));
    server.arg("server").current_dir(folder.path());
    let server = Running::start(server, None);
    up(9092);
    send_and_receive(&network, folder.path());
    assert!(
        folder.path().join("gregor-data/test-0").is_dir(),
        "data in ./gregor-data"
    );
    server.signal(Signal::TERM);
    server.wait(STOP);
}

/// The first message: two commands after the start, no address to type.
fn send_and_receive(network: &Network, folder: &Path) {
    let gregor = |arguments: &[&str]| {
        let mut command = network.command(env!("CARGO_BIN_EXE_gregor"));
        command.args(arguments).current_dir(folder);
        command
    };
    let lines = b"hello\nworld\n";
    run(gregor(&["console-producer", "--topic", "test"]), lines, SOON).succeeded();
    let consumer = [
        "console-consumer",
        "--topic",
        "test",
        "--from-beginning",
        "--max-messages",
        "2",
    ];
    assert_eq!(run(gregor(&consumer), b"", SOON).succeeded().stdout, lines);
    // And what they wrote is what everybody reads.
    let mut kcat = network.command("kcat");
    kcat.args([
        "-b",
        "localhost:9092",
        "-X",
        "broker.version.fallback=0.8.2.2",
        "-X",
        "api.version.request=false",
    ]);
    kcat.args(["-C", "-t", "test", "-o", "beginning", "-e", "-q"]);
    assert_eq!(run(kcat, b"", SOON).succeeded().stdout, lines);
}

/// `gregor dev`: ZooKeeper and a broker from one command; Ctrl-C stops both; a second run goes on with the data.
#[test]
fn dev_runs_zookeeper_and_a_broker() {
    if !have(&NEEDS) {
        return;
    }
    let network = Network::new();
    let folder = scratch("dev");
    let start = || {
        let mut command = network.command(env!("CARGO_BIN_EXE_gregor"));
        command.arg("dev").current_dir(folder.path());
        let dev = Running::start(command, None);
        eventually("both are ready", SOON, || {
            let mut probe = network.command("bash");
            probe.args(["-c", "exec 3<> /dev/tcp/127.0.0.1/9092 && echo up"]);
            let tried = probe.output().unwrap();
            if tried.status.success() {
                Ok(())
            } else {
                Err(dev.stderr())
            }
        });
        dev
    };
    let dev = start();
    send_and_receive(&network, folder.path());
    let listening = |port: u16| {
        let mut probe = network.command("bash");
        probe.args(["-c", &format!("exec 3<> /dev/tcp/127.0.0.1/{port}")]);
        probe.output().unwrap().status.success()
    };
    assert!(listening(2181), "a real ZooKeeper on its usual port");
    dev.signal(Signal::INT);
    let ended = dev.wait(STOP + Duration::from_secs(5)).succeeded();
    assert!(
        !listening(2181) && !listening(9092),
        "both have stopped: {}",
        ended.account()
    );

    let dev = start();
    let consumer = [
        "console-consumer",
        "--topic",
        "test",
        "--from-beginning",
        "--max-messages",
        "2",
    ];
    let mut command = network.command(env!("CARGO_BIN_EXE_gregor"));
    command.args(consumer).current_dir(folder.path());
    assert_eq!(run(command, b"", SOON).succeeded().text(), "hello\nworld\n");
    // The kernel ends ZooKeeper with a `dev` that is killed, too, or the next start meets a stranger.
    dev.signal(Signal::TERM);
    dev.wait(STOP + Duration::from_secs(5));
    assert!(
        !listening(2181) && !listening(9092),
        "SIGTERM is as good as Ctrl-C"
    );
}

/// The quick start's first run sends a real file through; the second goes on where it left off; `stop` stops both.
#[test]
fn the_quick_start_goes_on_where_it_left_off() {
    if !have(&NEEDS) {
        return;
    }
    let network = Network::new();
    let folder = scratch("quickstart");
    let quickstart = |arguments: &[&str]| {
        let mut command = network.command(project().join("scripts/quickstart.sh"));
        command
            .args(arguments)
            .env("GREGOR_HOME", folder.path())
            .env("GREGOR_BINARY", env!("CARGO_BIN_EXE_gregor"));
        run(command, b"", Duration::from_secs(60)).succeeded().text()
    };
    let license = std::fs::read_to_string(project().join("LICENSE")).unwrap();
    let count = license.lines().filter(|line| !line.is_empty()).count();
    let first = quickstart(&[]);
    assert!(
        first.contains(&format!("Sent the {count} lines of LICENSE")),
        "{first}"
    );
    assert!(
        first.contains("Apache License") && first.contains("quickstart.sh stop"),
        "{first}"
    );
    let second = quickstart(&[]);
    assert!(
        second.contains(&format!("(offsets {count} to {})", 2 * count - 1)),
        "{second}"
    );
    let stopped = quickstart(&["stop"]);
    assert!(
        stopped.contains("broker") && stopped.contains("zookeeper"),
        "{stopped}"
    );
    let third = quickstart(&[]);
    assert!(
        third.contains(&format!("(offsets {} to {})", 2 * count, 3 * count - 1)),
        "{third}"
    );
    quickstart(&["stop"]);
}
