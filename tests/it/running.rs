//! Running it: the program as people configure, watch and stop it.

use std::fs::File;
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use gregor::message::Codec;
use gregor::message::entry::entries;
use rustix::process::Pid;
use rustix::process::Signal;

use crate::support::Need;
use crate::support::answer::from_hex;
use crate::support::broker::Broker;
use crate::support::broker::Setup;
use crate::support::chroot;
use crate::support::clients::Python;
use crate::support::clients::Release;
use crate::support::eventually::eventually;
use crate::support::gregor;
use crate::support::have;
use crate::support::numbered::acknowledged;
use crate::support::numbered::numbered;
use crate::support::process::Running;
use crate::support::process::run;
use crate::support::requests::ask_one;
use crate::support::requests::fetch;
use crate::support::requests::produce;
use crate::support::requests::set;
use crate::support::wire;
use crate::support::znodes;
use crate::support::zookeeper::Version;
use crate::support::zookeeper::ZooKeeper;

const NEEDS: [Need; 3] = [Need::Gregor, Need::Reference, Need::Python];

/// What docker grants before it kills.
const STOP: Duration = Duration::from_secs(10);

const SOON: Duration = Duration::from_secs(20);

/// One run of the program with these arguments.
fn program(arguments: &[&str]) -> Command {
    let mut command = gregor();
    command.args(arguments);
    command
}

#[test]
fn every_subcommand_has_help_and_a_version() {
    if !have(&[Need::Gregor]) {
        return;
    }
    let help = run(program(&["--help"]), b"", SOON).succeeded().text();
    for subcommand in ["server", "dev", "console-producer", "console-consumer"] {
        assert!(help.contains(subcommand), "{subcommand} is missing: {help}");
        let text = run(program(&[subcommand, "--help"]), b"", SOON)
            .succeeded()
            .text();
        assert!(text.contains("USAGE") && text.contains(subcommand), "{text}");
        let text = run(program(&[subcommand, "--version"]), b"", SOON)
            .succeeded()
            .text();
        assert!(text.contains(env!("CARGO_PKG_VERSION")), "{text}");
    }
    let text = run(program(&["--version"]), b"", SOON).succeeded().text();
    assert!(
        text.contains(&format!("gregor {}", env!("CARGO_PKG_VERSION"))),
        "{text}"
    );
    let unknown = run(program(&["no-such-command"]), b"", SOON);
    assert!(
        !unknown.status.success() && !unknown.stderr.is_empty(),
        "{}",
        unknown.account()
    );
}

/// SIGTERM and SIGINT: a clean stop within 10 seconds, with clients connected, under load, with a fetch waiting.
#[test]
fn sigterm_and_sigint_stop_it_cleanly_under_load() {
    if !have(&NEEDS) {
        return;
    }
    let zookeeper = ZooKeeper::shared(Version::Reference);
    let connect = chroot(&zookeeper, "stop");
    let mut broker = Broker::start(&connect);
    broker.create_topic("orders", 1, &[]);
    broker.create_topic("quiet", 1, &[]);
    for signal in [Signal::TERM, Signal::INT] {
        let load = Release::Kafka20.load(&broker.bootstrap(), "orders", "load", "-1");
        let mut kcat = Command::new("kcat");
        kcat.args([
            "-C",
            "-b",
            &broker.bootstrap(),
            "-t",
            "quiet",
            "-X",
            "fetch.wait.max.ms=60000",
        ]);
        kcat.args([
            "-X",
            "api.version.request=false",
            "-X",
            "broker.version.fallback=0.8.2.2",
        ]);
        let _waiting = Running::start(kcat, None);
        eventually("the load is under way", SOON, || {
            let count = acknowledged(&load.stdout()).len();
            if count > 500 { Ok(()) } else { Err(count) }
        });
        broker.signal(signal);
        let status = eventually("it stops", STOP, || broker.exited().ok_or("it runs"));
        assert_eq!(status.code(), Some(0), "{signal:?}");
        assert!(
            broker.data().join(".kafka_cleanshutdown").exists(),
            "the mark of a clean stop"
        );
        assert!(
            znodes::node(&connect, "/brokers/ids/0").is_none(),
            "it is gone from ZooKeeper at once"
        );
        broker.kill();
        broker.start_again();
    }
}

/// The reference waits for ever when ZooKeeper is away; Gregor does not.
#[test]
fn sigterm_stops_it_while_zookeeper_is_away_or_hangs() {
    if !have(&NEEDS) {
        return;
    }
    let mut zookeeper = ZooKeeper::start(Version::Reference);
    let mut broker = Broker::start(&chroot(&zookeeper, "stop-without"));
    broker.create_topic("orders", 1, &[]);
    zookeeper.freeze();
    assert_eq!(broker.stop_within(STOP).code(), Some(0));
    zookeeper.thaw();

    broker.start_again();
    zookeeper.kill();
    assert_eq!(broker.stop_within(STOP).code(), Some(0));
    assert!(
        broker.data().join(".kafka_cleanshutdown").exists(),
        "the mark of a clean stop"
    );
}

/// Neither the controller, which is to be asked for leave, nor ZooKeeper keep it from writing its logs in time.
#[test]
fn sigterm_stops_it_while_nobody_answers() {
    if !have(&NEEDS) {
        return;
    }
    let zookeeper = ZooKeeper::start(Version::Reference);
    let connect = chroot(&zookeeper, "stop-alone");
    let [controller, mut broker] = ["0", "1"].map(|id| {
        Setup::new(&connect)
            .set("broker.id", id)
            .set("zookeeper.session.timeout.ms", "30000")
            .start()
    });
    let mut create = program(&["topics", "--zookeeper", &connect, "--create", "--topic", "orders"]);
    create.args(["--replica-assignment", "1:0,0:1"]);
    run(create, b"", SOON).succeeded();
    broker.wait_for_topic("orders", 2);
    controller.freeze();
    zookeeper.freeze();
    assert_eq!(broker.stop_within(STOP).code(), Some(0));
    assert!(
        broker.data().join(".kafka_cleanshutdown").exists(),
        "the mark of a clean stop"
    );
}

/// Limits of time may be switched off: 0 and -1 are for ever.
#[test]
fn limits_of_time_may_be_switched_off() {
    if !have(&NEEDS) {
        return;
    }
    let zookeeper = ZooKeeper::shared(Version::Reference);
    let connect = chroot(&zookeeper, "for-ever");
    let brokers = ["0", "1"].map(|id| {
        Setup::new(&connect)
            .set("broker.id", id)
            .set("connections.max.idle.ms", "-1")
            .set("controller.socket.timeout.ms", "0")
            .set("replica.socket.timeout.ms", "0")
            .start()
    });
    let arguments = ["topics", "--zookeeper", &connect, "--create", "--topic", "orders"];
    let mut create = program(&arguments);
    create.args(["--replica-assignment", "0:1"]);
    run(create, b"", SOON).succeeded();
    brokers[0].wait_for_topic("orders", 1);
    let mut python = Python::start(Release::Kafka20, &brokers[0].bootstrap());
    let sent = python.produce("orders", "none", "-1", &numbered("python", 3));
    assert!(sent.iter().all(Result::is_ok), "{sent:?}");
    assert_eq!(python.consume("orders", 0, 0).len(), 3);
}

/// -1 leaves the buffers of sockets to the system; 0.8.2.2 does not start with the one, and answers nobody with the other.
#[test]
fn buffers_of_sockets_may_be_left_to_the_system() {
    if !have(&NEEDS) {
        return;
    }
    let zookeeper = ZooKeeper::shared(Version::Reference);
    let broker = Setup::new(&chroot(&zookeeper, "socket-buffers"))
        .set("socket.send.buffer.bytes", "-1")
        .set("socket.receive.buffer.bytes", "-1")
        .start();
    broker.create_topic("orders", 1, &[]);
    let messages = 8;
    // Much more than a buffer holds, and less than the largest message.
    let value = "x".repeat(900_000);
    for _ in 0..messages {
        let request = produce(1, SOON, "orders", [(0, set(Codec::None, &[&value]))]);
        eventually("it leads, and appends", SOON, || {
            let answer = ask_one(&broker, &request);
            if answer["error_code"] == 0 {
                Ok(())
            } else {
                Err(answer)
            }
        });
    }
    let mut request = fetch("orders", 0, 0);
    request.topics[0].1[0].max_bytes = 16 << 20;
    let answer = ask_one(&broker, &request);
    let fetched = from_hex(answer["message_set"].as_str().unwrap());
    let values = entries(&fetched).map(|entry| entry.unwrap().1.value().unwrap().len());
    assert_eq!(values.collect::<Vec<_>>(), vec![value.len(); messages]);
}

/// `--check` says what it finds without starting anything.
#[test]
fn check_finds_mistakes_without_starting() {
    if !have(&NEEDS) {
        return;
    }
    let zookeeper = ZooKeeper::shared(Version::Reference);
    let connect = chroot(&zookeeper, "check");
    let check = |setup: &Setup| {
        let mut command = setup.command();
        command.arg("--check");
        run(command, b"", SOON)
    };

    let good = Setup::new(&connect);
    check(&good).succeeded();
    assert!(!good.data().join(".lock").exists(), "it leaves no trace on disk");
    assert!(
        znodes::node(&zookeeper.address(), "/check/brokers/ids/0").is_none(),
        "none in ZooKeeper"
    );
    let wrong = Setup::new(&connect).set("num.partitions", "many");
    let found = check(&wrong);
    assert_eq!(found.status.code(), Some(1), "{}", found.account());
    assert!(found.account().contains("num.partitions"), "{}", found.account());

    let live = Broker::start(&connect);
    let taken = check(&Setup::new(&connect).set("port", live.address().port().to_string()));
    assert_eq!(taken.status.code(), Some(1), "{}", taken.account());
    for expected in [live.bootstrap(), live.address().port().to_string()] {
        assert!(taken.account().contains(&expected), "{}", taken.account());
    }
}

/// The file, then `KAFKA_*` variables, then `--override`: the later one wins.
#[test]
fn overrides_win_over_variables_over_the_file() {
    if !have(&NEEDS) {
        return;
    }
    let zookeeper = ZooKeeper::shared(Version::Reference);
    let connect = chroot(&zookeeper, "precedence");
    let setup = Setup::new(&connect).set("num.partitions", "2");
    let mut command = setup.command();
    command
        .env("KAFKA_NUM_PARTITIONS", "3")
        .env("KAFKA_BROKER_ID", "4");
    command.args(["--override", "broker.id=5"]);
    let broker = Running::start(command, None);
    eventually(
        "the broker is registered with the id of the override",
        SOON,
        || {
            znodes::node(&connect, "/brokers/ids/5")
                .map(|_| ())
                .ok_or_else(|| broker.stderr())
        },
    );
    let bootstrap = format!("127.0.0.1:{}", setup.port());
    Python::start(Release::Kafka20, &bootstrap).produce("orders", "none", "1", &numbered("python", 1));
    let topic = znodes::node(&connect, "/brokers/topics/orders")
        .and_then(|node| node.data)
        .unwrap();
    for partition in ["\"0\":[5]", "\"1\":[5]", "\"2\":[5]"] {
        assert!(topic.contains(partition), "{topic}");
    }
    broker.signal(Signal::TERM);
    broker.wait(STOP);
}

/// The process that another one started.
fn child_of(parent: Pid) -> Option<Pid> {
    let parent = parent.as_raw_nonzero();
    let children = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).ok()?;
    Pid::from_raw(children.split_whitespace().next()?.parse().ok()?)
}

/// On a terminal the start ends in a banner of at most eight lines; elsewhere there is none.
#[test]
fn the_banner_tells_what_one_wants_to_know() {
    if !have(&NEEDS) || !have(&[Need::Terminal]) {
        return;
    }
    let zookeeper = ZooKeeper::shared(Version::Reference);
    let connect = chroot(&zookeeper, "banner");
    let setup = Setup::new(&connect);
    let command: Vec<String> = std::iter::once(setup.command())
        .flat_map(|command| {
            let program = command.get_program().to_owned();
            std::iter::once(program)
                .chain(command.get_args().map(ToOwned::to_owned))
                .collect::<Vec<_>>()
        })
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let mut script = Command::new("script");
    // Some shells stay between `script` and what they run, and would be the child that is told to stop.
    script.args(["-qfec", &format!("exec {}", command.join(" ")), "/dev/null"]);
    let terminal = Running::start(script, None);
    let said = eventually("the banner", SOON, || {
        let said = String::from_utf8_lossy(&terminal.stdout()).replace('\r', "");
        if said.contains("--topic test\n") {
            Ok(said)
        } else {
            Err(said)
        }
    });
    let lines: Vec<&str> = said.lines().collect();
    let first = lines
        .iter()
        .position(|line| line.contains("gregor") && line.contains(env!("CARGO_PKG_VERSION")));
    let last = lines.iter().position(|line| line.contains("Try:")).unwrap();
    let banner = &lines[first.expect("it begins with name and version")..=last];
    assert!(banner.len() <= 8, "{banner:#?}");
    let text = banner.join("\n");
    let data = setup.data();
    for expected in [
        &format!("127.0.0.1:{}", setup.port()),
        &connect,
        "3.4.6",
        "controller",
        &data.file_name().unwrap().to_string_lossy(),
        "free",
        "/metrics",
        "console-producer",
    ] {
        assert!(text.contains(expected), "{expected} is missing: {text}");
    }
    let broker = child_of(terminal.pid()).expect("script runs the broker");
    rustix::process::kill_process(broker, Signal::TERM).unwrap();
    terminal.wait(STOP);

    let mut plain = Setup::new(&connect).start();
    assert!(!plain.output().contains("Try:"), "{}", plain.output());
    plain.stop();
}

/// Metrics, health and readiness over HTTP, with what the broker has done in them.
#[test]
fn metrics_count_what_went_in_and_out() {
    if !have(&NEEDS) {
        return;
    }
    let zookeeper = ZooKeeper::shared(Version::Reference);
    let broker = Broker::start(&chroot(&zookeeper, "metrics"));
    let mut python = Python::start(Release::Kafka20, &broker.bootstrap());
    python.produce("orders", "none", "1", &numbered("python", 25));
    assert_eq!(python.consume("orders", 0, 0).len(), 25);

    let get = |path: &str| wire::http_get(broker.metrics_address(), path).unwrap();
    assert_eq!(get("/healthz").0, 200);
    assert_eq!(get("/readyz").0, 200);
    let (status, text) = get("/metrics");
    assert_eq!(status, 200);
    let line = text.lines().find(|line| {
        line.starts_with("kafka_server_brokertopicmetrics_messagesin") && line.contains("orders")
    });
    assert!(
        line.is_some_and(|line| line.ends_with(" 25")),
        "{line:?} in {text}"
    );
    for (name, _) in text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once([' ', '{']))
    {
        assert!(
            text.contains(&format!("# HELP {}", base(name))),
            "{name} has no help text"
        );
    }
}

/// A summary's or histogram's own name.
fn base(name: &str) -> &str {
    ["_sum", "_count", "_bucket"]
        .iter()
        .find_map(|suffix| name.strip_suffix(suffix))
        .unwrap_or(name)
}

/// The descriptors it may open are raised to the hard limit.
#[test]
fn it_raises_its_limit_of_open_files() {
    if !have(&NEEDS) {
        return;
    }
    let zookeeper = ZooKeeper::shared(Version::Reference);
    let setup = Setup::new(&chroot(&zookeeper, "open-files"));
    let server = setup.command();
    let mut limited = Command::new("sh");
    limited
        .args(["-c", r#"ulimit -S -n 256; exec "$0" "$@""#])
        .arg(server.get_program())
        .args(server.get_args());
    let broker = Running::start(limited, None);
    let limits = eventually("the limit is raised", SOON, || {
        let limits = format!("/proc/{}/limits", broker.pid().as_raw_nonzero());
        let limits = std::io::read_to_string(File::open(limits).map_err(|error| error.to_string())?);
        let line = limits.map_err(|error| error.to_string())?;
        let line = line
            .lines()
            .find(|line| line.starts_with("Max open files"))
            .unwrap_or_default()
            .to_owned();
        let values: Vec<&str> = line.split_whitespace().skip(3).take(2).collect();
        if values[0] == values[1] {
            Ok(line)
        } else {
            Err(line)
        }
    });
    assert!(!limits.contains(" 256 "), "{limits}");
    eventually("it serves", SOON, || {
        TcpStream::connect(("127.0.0.1", setup.port())).map(|_| ())
    });
    broker.signal(Signal::TERM);
    broker.wait(STOP);
}
