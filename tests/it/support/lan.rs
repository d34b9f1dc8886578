//! A network of hosts, each with an address and a network namespace of its own, whose connections can be cut one by one
//! and in one direction: what is sent is lost without a word, as behind a broken switch.

use std::fs::File;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::process::Command;

use rustix::thread::LinkNameSpaceType;
use rustix::thread::move_into_link_name_space;

use super::namespace::Network;

/// The address of the tests themselves.
const HUB: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);

/// Added to a host's number for the last byte of its address.
const FIRST: u8 = 11;

/// Nobody's hardware address.
const NOBODY: &str = "02:00:00:00:00:fe";

/// Hosts on a bridge, all gone when dropped.
#[derive(Debug)]
pub(crate) struct Lan {
    hub: Network,
    hosts: Vec<Network>,
}

impl Lan {
    /// Opens one with so many hosts, numbered from 0.
    pub(crate) fn new(hosts: u8) -> Self {
        let lan = Self {
            hub: Network::new(),
            hosts: (0..hosts).map(|_| Network::new()).collect(),
        };
        ip(&lan.hub, "link add name hub type bridge");
        ip(&lan.hub, &format!("addr add {HUB}/24 dev hub"));
        ip(&lan.hub, "link set hub up");
        for (number, host) in lan.hosts.iter().enumerate() {
            let holder = host.holder();
            ip(
                &lan.hub,
                &format!("link add h{number} type veth peer name eth0 netns {holder}"),
            );
            ip(&lan.hub, &format!("link set h{number} master hub up"));
            ip(host, &format!("addr add {}/24 dev eth0", lan.address(number)));
            ip(host, "link set eth0 up");
        }
        lan
    }

    /// Whether this machine allows one.
    pub(crate) fn allowed() -> bool {
        let script = "ip link add name hub type bridge && ip link add h0 type veth peer name h1";
        let tried = Command::new("unshare")
            .args(["--net", "sh", "-c", script])
            .output();
        tried.is_ok_and(|output| output.status.success())
    }

    /// The address of a host.
    pub(crate) fn address(&self, host: usize) -> Ipv4Addr {
        let [a, b, c, _] = HUB.octets();
        Ipv4Addr::new(a, b, c, FIRST + u8::try_from(host).expect("few hosts"))
    }

    /// What a program that belongs on a host runs under.
    pub(crate) fn under(&self, host: usize) -> [String; 3] {
        ["nsenter".to_owned(), self.hosts[host].to_enter(), "--".to_owned()]
    }

    /// Runs a test whose thread reaches all hosts, and so do the threads and programs that it starts. Whoever is in that
    /// network stays there: it is a thread of its own.
    pub(crate) fn run(self, test: impl FnOnce(Self) + Send + 'static) {
        let name = std::thread::current().name().unwrap_or_default().to_owned();
        let inside = std::thread::Builder::new().name(name).spawn(move || {
            self.enter();
            test(self);
        });
        if let Err(panic) = inside.unwrap().join() {
            std::panic::resume_unwind(panic);
        }
    }

    fn enter(&self) {
        let network = File::open(format!("/proc/{}/ns/net", self.hub.holder())).unwrap();
        move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))
            .expect("enter the network");
    }

    /// Nothing that one host sends reaches the other any more.
    pub(crate) fn cut(&self, from: usize, to: usize) {
        let to = self.address(to);
        ip(
            &self.hosts[from],
            &format!("neigh replace {to} lladdr {NOBODY} nud permanent dev eth0"),
        );
    }

    /// Ends [`Self::cut`].
    pub(crate) fn mend(&self, from: usize, to: usize) {
        let to = self.address(to);
        ip(&self.hosts[from], &format!("neigh del {to} dev eth0"));
    }
}

fn ip(network: &Network, arguments: &str) {
    let output = network
        .command("ip")
        .args(arguments.split(' '))
        .output()
        .expect("run ip");
    assert!(
        output.status.success(),
        "ip {arguments}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
