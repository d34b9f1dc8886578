//! One line in the log for a client that asks for something this broker doesn't speak: who, what, and what to set.
//!
//! The client only sees its connection close. It tries again, often and for ever, so each (host, client id, request) is
//! reported at most once in a while.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use crate::net::Peer;
use crate::protocol::ApiKey;
use crate::protocol::DecodeError;
use crate::protocol::DecodeFailure;

/// How long the same refusal stays quiet.
const QUIET: Duration = Duration::from_secs(60);

/// Refusals remembered at a time; more are reported without being remembered for long.
const REMEMBERED_MAX: usize = 1024;

/// Who asked for what.
type Refusal = (IpAddr, String, i16, i16);

/// What has been reported lately.
#[derive(Debug, Default)]
pub(crate) struct Refusals(Mutex<HashMap<Refusal, Instant>>);

impl Refusals {
    /// Reports a request that was not understood, unless the same one was reported a short while ago.
    pub(crate) fn report(&self, peer: &Peer, error: &DecodeError) {
        let Some(header) = &error.header else {
            tracing::debug!("{peer}: {error}; closed");
            return;
        };
        let client = header.client_id.as_deref().unwrap_or("null");
        let refusal = (
            peer.address.ip(),
            client.to_owned(),
            header.api_key,
            header.api_version,
        );
        if !self.is_new(refusal, Instant::now()) {
            tracing::debug!("{peer}: {error}; closed");
            return;
        }
        let api = ApiKey::from_code(header.api_key).map_or("unknown", ApiKey::name);
        let hint = hint(error.failure);
        tracing::warn!(
            "{peer}, client id \"{client}\": request {} ({api}) version {}: {error}; connection closed. {hint}",
            header.api_key,
            header.api_version
        );
    }

    fn is_new(&self, refusal: Refusal, now: Instant) -> bool {
        let mut reported = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if reported.len() >= REMEMBERED_MAX {
            reported.retain(|_, at| now.saturating_duration_since(*at) < QUIET);
            if reported.len() >= REMEMBERED_MAX {
                reported.clear();
            }
        }
        match reported.get(&refusal) {
            Some(at) if now.saturating_duration_since(*at) < QUIET => false,
            _ => {
                reported.insert(refusal, now);
                true
            }
        }
    }
}

fn hint(failure: DecodeFailure) -> &'static str {
    match failure {
        DecodeFailure::UnknownApi(_) | DecodeFailure::UnknownVersion(_) => {
            "This broker speaks Kafka 0.8.2: set the client's broker version to it (librdkafka: \
             broker.version.fallback=0.8.2.2 and api.version.request=false; kafka-python: api_version=(0, 8, 2))"
        }
        DecodeFailure::Malformed { .. } | DecodeFailure::Surplus { .. } => {
            "If the client is newer than Kafka 0.8.2, set its broker version to 0.8.2"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_refusal_is_quiet_for_a_while() {
        let refusals = Refusals::default();
        let start = Instant::now();
        let refusal = |client: &str| (IpAddr::from([127, 0, 0, 1]), client.to_owned(), 18, 0);
        assert!(refusals.is_new(refusal("a"), start));
        assert!(!refusals.is_new(refusal("a"), start + Duration::from_secs(59)));
        assert!(refusals.is_new(refusal("b"), start));
        assert!(refusals.is_new(refusal("a"), start + Duration::from_secs(61)));
    }

    #[test]
    fn memory_stays_bounded() {
        let refusals = Refusals::default();
        let now = Instant::now();
        for client in 0..3 * REMEMBERED_MAX {
            refusals.is_new((IpAddr::from([127, 0, 0, 1]), client.to_string(), 18, 0), now);
        }
        assert!(refusals.0.lock().unwrap().len() <= REMEMBERED_MAX);
    }
}
