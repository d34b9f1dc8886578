//! How many connections an address may have.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

/// Counts connections by address.
#[derive(Debug)]
pub(super) struct PerIp {
    default: usize,
    overrides: HashMap<IpAddr, usize>,
    /// Never holds a zero.
    open: Mutex<HashMap<IpAddr, usize>>,
}

/// A connection that is counted until this is dropped.
#[derive(Debug)]
pub(super) struct Counted {
    limits: Arc<PerIp>,
    address: IpAddr,
}

impl PerIp {
    /// `overrides` beats `default`. Addresses are told apart as IPv4 where they can be.
    pub(super) fn new(default: usize, overrides: HashMap<IpAddr, usize>) -> Arc<Self> {
        Arc::new(Self {
            default,
            overrides,
            open: Mutex::default(),
        })
    }

    /// Counts one more connection, or `None` if its address has as many as it may.
    pub(super) fn admit(self: &Arc<Self>, address: IpAddr) -> Option<Counted> {
        let address = address.to_canonical();
        let limit = self.overrides.get(&address).copied().unwrap_or(self.default);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.get(&address).copied().unwrap_or(0);
        if count >= limit {
            return None;
        }
        open.insert(address, count + 1);
        Some(Counted {
            limits: Arc::clone(self),
            address,
        })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut open = self.limits.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_gets_its_limit_and_leaves_nothing_behind() {
        let special: IpAddr = "10.0.0.9".parse().unwrap();
        let other: IpAddr = "10.0.0.1".parse().unwrap();
        let limits = PerIp::new(2, HashMap::from([(special, 1)]));
        let held = [limits.admit(other).unwrap(), limits.admit(other).unwrap()];
        assert!(limits.admit(other).is_none());
        let mapped: IpAddr = "::ffff:10.0.0.9".parse().unwrap();
        let one = limits.admit(mapped).unwrap();
        assert!(
            limits.admit(special).is_none(),
            "the same address in other clothes"
        );
        drop(held);
        assert!(limits.admit(other).is_some());
        drop(one);
        assert!(limits.open.lock().unwrap().is_empty());
    }
}
