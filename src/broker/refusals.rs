//! One line in the log for a client that asks for something this broker doesn't speak: who, what, and what to set.
//!
//! The client only sees its connection close. It tries again, often and for ever, so each (host, client id, request) is
//! reported at most once in a while, and of all together no more than a person would read.

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

/// Lines within that time, whatever they are about.
const LINES_MAX: usize = 100;

/// Characters of a client's id that are shown: it may send as many as it likes, and any.
const SHOWN_MAX: usize = 100;

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
        let client = shown(header.client_id.as_deref().unwrap_or("null"));
        let refusal = (
            peer.address.ip(),
            client.clone(),
            header.api_key,
            header.api_version,
        );
        match self.news(refusal, Instant::now()) {
            News::Old => {
                tracing::debug!("{peer}: {error}; closed");
                return;
            }
            News::TooMuch => {
                let seconds = QUIET.as_secs();
                tracing::warn!(
                    "{LINES_MAX} kinds of requests refused; others are not reported for {seconds} s"
                );
                return;
            }
            News::New => {}
        }
        let api = ApiKey::from_code(header.api_key).map_or("unknown", ApiKey::name);
        let hint = hint(error.failure);
        tracing::warn!(
            "{peer}, client id \"{client}\": request {} ({api}) version {}: {error}; connection closed. {hint}",
            header.api_key,
            header.api_version
        );
    }

    fn news(&self, refusal: Refusal, now: Instant) -> News {
        let mut reported = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        reported.retain(|_, at| now.saturating_duration_since(*at) < QUIET);
        if reported.len() > LINES_MAX || reported.contains_key(&refusal) {
            return News::Old;
        }
        reported.insert(refusal, now);
        if reported.len() > LINES_MAX {
            News::TooMuch
        } else {
            News::New
        }
    }
}

/// Whether a refusal is worth a line.
#[derive(Debug, PartialEq, Eq)]
enum News {
    New,
    /// It was reported, or nothing is at the moment.
    Old,
    /// It is the first of those that are not reported.
    TooMuch,
}

/// A client's id as far as it is shown, without anything that would look like more than that.
fn shown(client: &str) -> String {
    client
        .chars()
        .take(SHOWN_MAX)
        .flat_map(char::escape_debug)
        .collect()
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

    fn refusal(client: &str) -> Refusal {
        (IpAddr::from([127, 0, 0, 1]), client.to_owned(), 18, 0)
    }

    #[test]
    fn the_same_refusal_is_quiet_for_a_while() {
        let refusals = Refusals::default();
        let start = Instant::now();
        assert_eq!(refusals.news(refusal("a"), start), News::New);
        assert_eq!(
            refusals.news(refusal("a"), start + Duration::from_secs(59)),
            News::Old
        );
        assert_eq!(refusals.news(refusal("b"), start), News::New);
        assert_eq!(
            refusals.news(refusal("a"), start + Duration::from_secs(61)),
            News::New
        );
    }

    #[test]
    fn lines_and_memory_are_bounded() {
        let refusals = Refusals::default();
        let now = Instant::now();
        let news: Vec<News> = (0..3 * LINES_MAX)
            .map(|client| refusals.news(refusal(&client.to_string()), now))
            .collect();
        assert!(news[..LINES_MAX].iter().all(|news| *news == News::New));
        assert_eq!(news[LINES_MAX], News::TooMuch);
        assert!(news[LINES_MAX + 1..].iter().all(|news| *news == News::Old));
        assert!(refusals.0.lock().unwrap().len() <= LINES_MAX + 1);
        assert_eq!(refusals.news(refusal("a"), now + QUIET), News::New);
    }

    #[test]
    fn what_is_shown_of_a_client_is_one_short_word() {
        assert_eq!(shown("a\n\u{1b}[2Jb"), "a\\n\\u{1b}[2Jb");
        assert_eq!(shown(&"x".repeat(30_000)).len(), SHOWN_MAX);
    }
}
