//! Whether the address that clients are told can be of any use to them.

use std::net::IpAddr;
use std::net::SocketAddr;
use std::net::ToSocketAddrs;

use super::Finding;
use crate::broker::config::BrokerConfig;

/// Refuses an advertised address that no client can connect to, and doubts one that only this machine can.
pub fn advertised(config: &BrokerConfig) -> Vec<Finding> {
    let host = config.advertised.host.as_str();
    let (key, origin) = config.advertised.named_by.key();
    let place = format!("{key}, {origin}");
    let hint = "set advertised.host.name to a name or address by which clients reach this machine";
    let addresses = match resolve(host, config.advertised.port.unwrap_or(config.network.port)) {
        Ok(addresses) if !addresses.is_empty() => addresses,
        Ok(_) => {
            return vec![Finding::error(
                format!("the advertised host has no address: {host} ({place})"),
                hint,
            )];
        }
        Err(error) => {
            let what = format!("the advertised host does not resolve: {host} ({place}): {error}");
            return vec![Finding::error(what, hint)];
        }
    };
    if addresses.iter().any(|address| address.ip().is_unspecified()) {
        let what =
            format!("clients would be told to connect to {host}, which is no address of anything ({place})");
        return vec![Finding::error(what, hint)];
    }
    let on_all = bound_to_all(config.network.host.as_deref());
    if on_all && addresses.iter().all(|address| address.ip().is_loopback()) {
        let address = addresses
            .first()
            .map_or_else(String::new, |address| address.ip().to_string());
        let what = format!(
            "clients are told {host} ({address}, {place}), which only this machine reaches, while every interface is listened on"
        );
        let hint = format!("{hint}, or host.name to {host} if that is meant");
        return vec![Finding::warning(what, hint)];
    }
    Vec::new()
}

/// The addresses of a host; brackets around an IPv6 address are no part of it.
pub(super) fn resolve(host: &str, port: u16) -> std::io::Result<Vec<SocketAddr>> {
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    Ok((bare.unwrap_or(host), port).to_socket_addrs()?.collect())
}

fn bound_to_all(host: Option<&str>) -> bool {
    host.is_none_or(|host| {
        host.parse::<IpAddr>()
            .is_ok_and(|address| address.is_unspecified())
    })
}

#[cfg(test)]
mod tests {
    use super::super::Severity;
    use super::super::tests::config;
    use super::*;

    fn finding(overrides: &[(&str, &str)]) -> Option<Finding> {
        let findings = advertised(&config(overrides));
        assert!(findings.len() <= 1, "{findings:?}");
        findings.into_iter().next()
    }

    #[test]
    fn an_address_that_is_none_is_refused_with_the_key_that_gave_it() {
        for host in ["0.0.0.0", "::", "[::]", "0"] {
            let finding = finding(&[("advertised.host.name", host)]).unwrap();
            assert_eq!(finding.severity, Severity::Error);
            assert!(
                finding.what.contains("advertised.host.name, --override"),
                "{finding}"
            );
        }
        let finding = finding(&[("host.name", "0.0.0.0")]).unwrap();
        assert_eq!(finding.severity, Severity::Error);
        assert!(finding.what.contains("(host.name, --override)"), "{finding}");
        assert!(finding.hint.contains("advertised.host.name"), "{finding}");
    }

    #[test]
    fn a_host_that_does_not_resolve_is_refused() {
        let finding = finding(&[("advertised.host.name", "no-such-host.invalid")]).unwrap();
        assert_eq!(finding.severity, Severity::Error);
        assert!(
            finding.what.contains("does not resolve: no-such-host.invalid"),
            "{finding}"
        );
    }

    #[test]
    fn loopback_is_doubted_only_when_others_could_connect() {
        let finding =
            |host, advertised| finding(&[("host.name", host), ("advertised.host.name", advertised)]);
        assert_eq!(finding("127.0.0.1", "localhost"), None);
        assert_eq!(finding("", "192.0.2.1"), None);
        for host in ["", "0.0.0.0", "::"] {
            assert_eq!(finding(host, "127.0.0.1").unwrap().severity, Severity::Warning);
        }
    }
}
