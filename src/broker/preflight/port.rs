//! Whether the ports to listen on are free.

use std::io;
use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::net::TcpListener;

use super::Finding;
use super::address::resolve;
use super::process::listening_on;
use crate::broker::config::BrokerConfig;

/// Tries to listen where the broker and its metrics would.
pub fn ports(config: &BrokerConfig) -> Vec<Finding> {
    let network = &config.network;
    let metrics = config
        .metrics
        .listen
        .as_deref()
        .and_then(|listen| listen.rsplit_once(':'));
    let metrics = metrics.and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
    let mut findings = Vec::new();
    findings.extend(attempt(config, "port", network.host.as_deref(), network.port));
    match metrics {
        Some((_, port)) if port != 0 && port == network.port => findings.push(Finding::error(
            format!(
                "metrics.listen names the port of clients: {port} ({})",
                config.places.of(&["metrics.listen"])
            ),
            "set metrics.listen to another port, like 0.0.0.0:9308",
        )),
        Some((host, port)) => findings.extend(attempt(config, "metrics.listen", Some(host), port)),
        None => {}
    }
    findings.extend(limited_hosts(config));
    findings
}

/// Hosts with a limit of connections that have no address to be known by.
fn limited_hosts(config: &BrokerConfig) -> impl Iterator<Item = Finding> {
    let hosts = config.network.max_connections_per_ip_overrides.keys();
    hosts.filter_map(|host| {
        let error = resolve(host, 0).err()?;
        let place = config.places.of(&["max.connections.per.ip.overrides"]);
        Some(Finding::error(
            format!("the host does not resolve: {host} ({place}): {error}"),
            "correct its name, or leave it out: max.connections.per.ip holds for all others",
        ))
    })
}

fn attempt(config: &BrokerConfig, key: &str, host: Option<&str>, port: u16) -> Option<Finding> {
    let error = bind(host, port).err()?;
    let address = format!("{}:{port}", host.unwrap_or("0.0.0.0"));
    let place = config.places.of(&[key]);
    // Clients' port and host are two keys, those of metrics are one.
    let (host_place, host_hint) = if key == "port" {
        let hint = "set host.name to an address of this machine, or leave it away to listen on all of them";
        (config.places.of(&["host.name"]), hint)
    } else {
        (
            place.clone(),
            "set metrics.listen to an address of this machine, like 0.0.0.0:9308",
        )
    };
    let finding = match error.kind() {
        ErrorKind::AddrInUse => {
            let holder =
                listening_on(port).map_or_else(|| "another process".to_owned(), |holder| holder.to_string());
            Finding::error(
                format!("the address is taken: {address} ({place}), by {holder}"),
                format!("stop that process, or choose another one with {key}"),
            )
        }
        ErrorKind::PermissionDenied => Finding::error(
            format!("no permission to listen on {address} ({place})"),
            format!("set {key} to a port of 1024 or above"),
        ),
        ErrorKind::AddrNotAvailable => Finding::error(
            format!("no interface of this machine has the address to listen on: {address} ({host_place})"),
            host_hint,
        ),
        _ => Finding::error(
            format!("cannot listen on {address} ({host_place}): {error}"),
            host_hint,
        ),
    };
    Some(finding)
}

/// Listens for a moment. Every interface means both versions of IP, where there are both.
fn bind(host: Option<&str>, port: u16) -> io::Result<TcpListener> {
    match host {
        Some(host) => TcpListener::bind(resolve(host, port)?.as_slice()),
        None => TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).or_else(|error| match error.kind() {
            ErrorKind::AddrInUse | ErrorKind::PermissionDenied => Err(error),
            _ => TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::config;
    use super::*;

    #[test]
    fn a_taken_port_is_found_with_its_holder() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port().to_string();
        for host in ["127.0.0.1", ""] {
            let findings = ports(&config(&[("port", &port), ("host.name", host)]));
            let text = findings.first().unwrap().to_string();
            assert!(
                text.contains(&format!(
                    ":{port} (port, --override), by process {}",
                    std::process::id()
                )),
                "{text}"
            );
        }
        let findings = ports(&config(&[("metrics.listen", &format!("127.0.0.1:{port}"))]));
        assert!(
            findings
                .first()
                .unwrap()
                .what
                .contains("(metrics.listen, --override), by process"),
            "{findings:?}"
        );
    }

    #[test]
    fn a_limited_host_must_have_an_address() {
        let findings = |limits| ports(&config(&[("max.connections.per.ip.overrides", limits)]));
        assert_eq!(findings("127.0.0.1:5"), []);
        let found = findings("127.0.0.1:5,no-such-host.invalid:5");
        let [finding] = found.as_slice() else {
            panic!("{found:?}")
        };
        assert!(finding.what.contains("no-such-host.invalid"), "{finding}");
    }

    #[test]
    fn a_free_port_is_free_again_afterwards() {
        let free = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port()
            .to_string();
        let config = config(&[("port", &free)]);
        assert_eq!(ports(&config), []);
        assert_eq!(ports(&config), []);
    }

    #[test]
    fn addresses_that_cannot_be_listened_on_are_found() {
        let what = |overrides: &[(&str, &str)]| ports(&config(overrides)).first().unwrap().what.clone();
        assert!(what(&[("host.name", "192.0.2.1")]).contains("no interface of this machine"));
        assert!(
            what(&[("host.name", "no-such-host.invalid")]).contains("cannot listen on no-such-host.invalid")
        );
        let both = [("port", "9999"), ("metrics.listen", "0.0.0.0:9999")];
        assert!(
            ports(&config(&both))
                .iter()
                .any(|f| f.what.contains("names the port of clients: 9999"))
        );
    }
}
