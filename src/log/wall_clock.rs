//! How old something is, going by a clock that people set.
//!
//! Files and commits bear the time that the wall clock showed; their age decides whether they are deleted. A clock that
//! is set forth must not make everything old at once, nor one that is set back everything that is written from then on.
//! So every setting that the clock had while this process ran is remembered and goes on here, by the clock that nobody
//! sets; something is as old as the setting says that makes it youngest. Where no setting knows it, it is new.

use std::sync::Mutex;
use std::time::Duration;
use std::time::Instant;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use crate::log::lock;

/// Within this the clock is not set, but adjusted.
const ADJUSTED: Duration = Duration::from_secs(60);
/// Settings that are remembered; the first one always is, since most files are from before the start.
const REMEMBERED: usize = 16;

/// The wall clock with all its settings.
#[derive(Debug)]
pub struct WallClock {
    /// In the order in which they held; the last one holds now.
    settings: Mutex<Vec<Setting>>,
}

/// What the clock showed when it was last looked at under a setting.
#[derive(Debug, Clone, Copy)]
struct Setting {
    at: Instant,
    showed: SystemTime,
}

/// What the time is, by every setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Times(Vec<SystemTime>);

impl WallClock {
    /// The clock as it is set now.
    #[expect(clippy::disallowed_methods, reason = "this is the clock that people set")]
    pub fn new() -> Self {
        Self::set_to(Instant::now(), SystemTime::now())
    }

    fn set_to(at: Instant, showed: SystemTime) -> Self {
        Self {
            settings: Mutex::new(vec![Setting { at, showed }]),
        }
    }

    /// Looks at the clock. A setting that nobody looks at is not noticed: look often.
    #[expect(clippy::disallowed_methods, reason = "this is the clock that people set")]
    pub fn read(&self) -> Times {
        self.read_at(Instant::now(), SystemTime::now())
    }

    fn read_at(&self, at: Instant, shows: SystemTime) -> Times {
        let mut settings = lock(&self.settings);
        let known = settings
            .iter()
            .rposition(|setting| apart(setting.shows(at), shows) <= ADJUSTED);
        let holds = Setting { at, showed: shows };
        match known {
            Some(known) if known + 1 == settings.len() => {
                settings.pop();
            }
            known => {
                warn_of_setting(settings.last().map_or(shows, |setting| setting.shows(at)), shows);
                // A setting that comes back: where it stands no longer matters, but for the first one.
                if let Some(known) = known.filter(|known| *known > 0) {
                    settings.remove(known);
                } else if settings.len() >= REMEMBERED {
                    settings.remove(1);
                }
            }
        }
        settings.push(holds);
        Times(settings.iter().map(|setting| setting.shows(at)).collect())
    }
}

impl Default for WallClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Setting {
    /// What the clock would show under this setting.
    fn shows(&self, at: Instant) -> SystemTime {
        let since = at.saturating_duration_since(self.at);
        self.showed.checked_add(since).unwrap_or(self.showed)
    }
}

impl Times {
    /// How long ago something was that bears this time: at least so long, whatever the clock's setting was then.
    pub fn age_of(&self, time: SystemTime) -> Duration {
        let age = |now: &SystemTime| match now.duration_since(time) {
            Ok(age) => Some(age),
            // Written since the clock was looked at. Another setting might call it old.
            Err(ahead) if ahead.duration() <= ADJUSTED => Some(Duration::ZERO),
            Err(_) => None,
        };
        self.0.iter().filter_map(age).min().unwrap_or_default()
    }

    /// As [`Self::age_of`], for milliseconds since 1970.
    pub fn age_of_millis(&self, millis: i64) -> Duration {
        let since_1970 = Duration::from_millis(millis.unsigned_abs());
        let time = if millis < 0 {
            UNIX_EPOCH.checked_sub(since_1970)
        } else {
            UNIX_EPOCH.checked_add(since_1970)
        };
        time.map_or(Duration::ZERO, |time| self.age_of(time))
    }
}

impl From<SystemTime> for Times {
    /// The time, on a clock that was never set.
    fn from(now: SystemTime) -> Self {
        Self(vec![now])
    }
}

fn warn_of_setting(expected: SystemTime, shows: SystemTime) {
    let way = if shows > expected { "forth" } else { "back" };
    let seconds = apart(expected, shows).as_secs();
    tracing::warn!(
        "the clock was set {way} by {seconds} s: what was written before and what is written from now on keep their ages"
    );
}

fn apart(one: SystemTime, other: SystemTime) -> Duration {
    one.duration_since(other).unwrap_or_else(|error| error.duration())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);
    const TEN_YEARS: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

    fn wall(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    /// A clock that is then set, and what both settings say an hour later.
    fn an_hour_after(setting: impl Fn(SystemTime) -> SystemTime) -> (Times, SystemTime, SystemTime) {
        let (start, booted) = (Instant::now(), wall(1_500_000_000));
        let clock = WallClock::set_to(start, booted);
        let later = start + HOUR;
        assert_eq!(clock.read_at(later, booted + HOUR), (booted + HOUR).into());
        let set = setting(booted + HOUR);
        clock.read_at(later, set);
        (clock.read_at(later + HOUR, set + HOUR), booted, set)
    }

    #[test]
    fn neither_old_nor_new_files_change_their_age_when_the_clock_is_set() {
        for jump in [HOUR, TEN_YEARS] {
            for setting in [
                (&|time| time + jump) as &dyn Fn(SystemTime) -> SystemTime,
                &|time| time - jump,
            ] {
                let (times, booted, set) = an_hour_after(setting);
                let young = HOUR / 2;
                assert_eq!(times.age_of(set + young), young, "written after it was set");
                let just_now = set + HOUR + Duration::from_millis(1);
                assert_eq!(
                    times.age_of(just_now),
                    Duration::ZERO,
                    "after the clock was looked at"
                );
                assert!(times.age_of(booted) <= 2 * HOUR, "{:?}", times.age_of(booted));
                assert!(times.age_of(booted - HOUR) <= 3 * HOUR);
            }
        }
        let (times, booted, _) = an_hour_after(|time| time + TEN_YEARS);
        assert_eq!(times.age_of(booted), 2 * HOUR, "time goes on for old files");
    }

    #[test]
    fn small_steps_are_followed_without_a_word() {
        let (start, booted) = (Instant::now(), wall(1_500_000_000));
        let clock = WallClock::set_to(start, booted);
        let (mut at, mut shows) = (start, booted);
        for _ in 0..1000 {
            at += Duration::from_secs(1);
            shows += Duration::from_secs(31);
            assert_eq!(clock.read_at(at, shows), shows.into());
        }
    }

    #[test]
    fn a_clock_set_to_and_fro_is_remembered_once_per_setting() {
        let (start, booted) = (Instant::now(), wall(1_500_000_000));
        let clock = WallClock::set_to(start, booted);
        for _ in 0..100 {
            clock.read_at(start, booted + HOUR);
            clock.read_at(start, booted);
        }
        assert!(clock.read_at(start, booted).0.len() <= 3);
        for n in 0..100 {
            clock.read_at(start, booted + n * HOUR);
        }
        let times = clock.read_at(start, booted + 1000 * HOUR);
        assert_eq!(times.0.len(), REMEMBERED);
        assert_eq!(
            times.age_of(booted - HOUR),
            HOUR,
            "the first setting is never forgotten"
        );
    }

    #[test]
    fn the_future_is_new() {
        let times = Times::from(wall(1000));
        assert_eq!(times.age_of(wall(1001)), Duration::ZERO);
        assert_eq!(times.age_of_millis(i64::MAX), Duration::ZERO);
        assert_eq!(times.age_of_millis(1_000_000), Duration::ZERO);
        assert_eq!(times.age_of_millis(999_000), Duration::from_secs(1));
        assert_eq!(times.age_of_millis(-1000), Duration::from_secs(1001));
    }
}
