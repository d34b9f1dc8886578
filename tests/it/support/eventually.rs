//! Waiting for a condition with a deadline: the only place of the tests that sleeps.

use std::fmt::Display;
use std::time::Duration;
use std::time::Instant;

/// How long between two looks.
const PAUSE: Duration = Duration::from_millis(20);

/// Looks until `look` finds what it wants, and returns it; panics with `what` and the last state at the deadline.
pub(crate) fn eventually<T, E: Display>(
    what: &str,
    deadline: Duration,
    mut look: impl FnMut() -> Result<T, E>,
) -> T {
    let started = Instant::now();
    loop {
        match look() {
            Ok(found) => return found,
            Err(state) if started.elapsed() > deadline => {
                panic!("not within {deadline:?}: {what}; last seen: {state}")
            }
            Err(_) => pause(),
        }
    }
}

/// As `eventually`, for what may legitimately never come: `None` at the deadline.
pub(crate) fn within<T>(deadline: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let started = Instant::now();
    loop {
        match look() {
            Some(found) => return Some(found),
            None if started.elapsed() > deadline => return None,
            None => pause(),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a thread of a test, not of an executor")]
fn pause() {
    std::thread::sleep(PAUSE);
}
