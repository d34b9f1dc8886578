//! Reading settings as the values that the table of keys declares.
//!
//! Always holds: a wrong value adds a problem and reads as its default, so that all problems are found in one pass.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::keys::Flag;
use super::keys::Number;
use super::keys::Real;
use super::keys::Text;
use super::origin::Origin;
use super::places::Places;
use super::problems::Problem;
use super::sources::Setting;
use super::sources::Settings;

/// Settings, and what was found wrong with them so far.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    settings: &'a Settings,
    problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(settings: &'a Settings) -> Self {
        Self {
            settings,
            problems: Vec::new(),
        }
    }

    /// What was found wrong, in the order of reading.
    pub(crate) fn into_problems(self) -> Vec<Problem> {
        self.problems
    }

    pub(crate) fn setting(&self, key: &str) -> Option<&'a Setting> {
        self.settings.by_key.get(key)
    }

    pub(crate) fn is_set(&self, key: &str) -> bool {
        self.settings.by_key.contains_key(key)
    }

    /// The file that settings were read from, if there is one.
    pub(crate) fn file(&self) -> Option<Arc<Path>> {
        self.settings.file.clone()
    }

    pub(crate) fn origin(&self, key: &str) -> Origin {
        self.setting(key)
            .map_or(Origin::Default, |setting| setting.origin.clone())
    }

    /// Where everything that was set stands.
    pub(crate) fn places(&self) -> Places {
        let set = self.settings.by_key.iter();
        Places::new(set.map(|(key, setting)| (key.clone(), setting.origin.clone())))
    }

    /// Adds a problem with a key. `what` goes on after the key.
    pub(crate) fn problem(&mut self, key: &str, what: &str, value: impl ToString, hint: impl Into<String>) {
        self.add(Problem {
            what: format!("{key} {what}"),
            value: value.to_string(),
            origin: self.origin(key),
            hint: hint.into(),
        });
    }

    /// Adds a problem once: several fields and checks may read the same key.
    pub(crate) fn add(&mut self, problem: Problem) {
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    /// A number in its range, or -1 where the key allows it.
    pub(crate) fn number(&mut self, key: &Number) -> i64 {
        let Some(setting) = self.setting(key.name) else {
            return key.default;
        };
        let Ok(number) = setting.value.parse::<i64>() else {
            self.problem(
                key.name,
                "is not a whole number",
                &setting.value,
                number_hint(key),
            );
            return key.default;
        };
        if (key.min..=key.max).contains(&number) || (key.unlimited && number == -1) {
            return number;
        }
        self.problem(key.name, "is out of range", number, number_hint(key));
        key.default
    }

    /// A number of a narrower type; what is below or above its range becomes the nearest it has.
    pub(crate) fn clamped<T: TryFrom<i64> + Bounds>(&mut self, key: &Number) -> T {
        clamp(self.number(key))
    }

    /// A number that cannot be negative; a negative one is no limit.
    pub(crate) fn limit<T: TryFrom<i64> + Bounds>(&mut self, key: &Number) -> Option<T> {
        Some(self.number(key)).filter(|number| *number >= 0).map(clamp)
    }

    /// A number of which the largest means never, as do negative ones.
    pub(crate) fn unless_never(&mut self, key: &Number) -> Option<u64> {
        self.limit::<u64>(key)
            .filter(|number| *number != i64::MAX.unsigned_abs())
    }

    /// A time; a negative one is none at all.
    pub(crate) fn millis(&mut self, key: &Number) -> Duration {
        Duration::from_millis(self.clamped(key))
    }

    /// A time to wait for an answer: 0 is for ever, as for sockets of Java.
    pub(crate) fn timeout(&mut self, key: &Number) -> Duration {
        Some(self.millis(key))
            .filter(|time| !time.is_zero())
            .unwrap_or(Duration::MAX)
    }

    /// `true` or `false` in any case.
    pub(crate) fn flag(&mut self, key: &Flag) -> bool {
        let Some(setting) = self.setting(key.name) else {
            return key.default;
        };
        match setting.value.to_ascii_lowercase().as_str() {
            "true" => true,
            "false" => false,
            _ => {
                self.problem(
                    key.name,
                    "is neither true nor false",
                    &setting.value,
                    format!("set {}={}", key.name, key.default),
                );
                key.default
            }
        }
    }

    /// A number with a fraction; not a NaN, with which nothing compares.
    pub(crate) fn real(&mut self, key: &Real) -> f64 {
        let Some(setting) = self.setting(key.name) else {
            return key.default;
        };
        match parse_real(&setting.value) {
            Some(real) => real,
            None => {
                self.problem(
                    key.name,
                    "is not a number",
                    &setting.value,
                    "write it like 0.5, 1000000 or 1e6",
                );
                key.default
            }
        }
    }

    pub(crate) fn text(&self, key: &Text) -> Option<&'a str> {
        self.setting(key.name)
            .map(|setting| setting.value.as_str())
            .or(key.default)
    }

    /// Text of which a blank one is as good as none.
    pub(crate) fn non_blank(&self, key: &Text) -> Option<&'a str> {
        self.text(key).filter(|text| !text.is_empty())
    }

    /// Pieces between commas, blank ones left out.
    pub(crate) fn list(&self, key: &Text) -> Vec<&'a str> {
        self.text(key).map(pieces).unwrap_or_default()
    }

    /// Limits by host: `host:number,host:number`. As in 0.8.2.2, what follows a second colon is not looked at.
    pub(crate) fn limits(&mut self, key: &Text) -> BTreeMap<String, usize> {
        let mut limits = BTreeMap::new();
        for item in self.list(key) {
            let mut parts = item.split(':').map(str::trim);
            let host = parts.next().unwrap_or_default();
            match parts.next().and_then(|limit| limit.parse::<i32>().ok()) {
                Some(limit) => {
                    limits.insert(host.to_owned(), clamp(i64::from(limit)));
                }
                None => self.problem(
                    key.name,
                    "has an item that is not host:number",
                    item,
                    "write it like 10.0.0.1:5,example.com:20",
                ),
            }
        }
        limits
    }
}

/// What a number may be, as a hint.
fn number_hint(key: &Number) -> String {
    let or_unlimited = if key.unlimited { ", or -1" } else { "" };
    let mut hint = format!(
        "take a whole number from {} to {}{or_unlimited}",
        key.min, key.max
    );
    if (key.min..=key.max).contains(&key.default) {
        hint.push_str(&format!("; the default is {}", key.default));
    }
    hint
}

/// Pieces between commas, blank ones left out.
fn pieces(text: &str) -> Vec<&str> {
    text.split(',')
        .map(str::trim)
        .filter(|piece| !piece.is_empty())
        .collect()
}

/// A number as Java's `Double.parseDouble` takes it, but for hexadecimal ones and NaN.
fn parse_real(text: &str) -> Option<f64> {
    let unsigned = text.trim_start_matches(['+', '-']);
    if unsigned == "Infinity" {
        return text.parse().ok();
    }
    // Rust also knows words for infinity and NaN in any case, which Java does not.
    let literal = text.strip_suffix(['f', 'F', 'd', 'D']).unwrap_or(text);
    let only_number = literal
        .chars()
        .all(|c| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-'));
    literal.parse().ok().filter(|_| only_number)
}

/// Types with a smallest and a largest number.
pub(crate) trait Bounds {
    const LEAST: Self;
    const MOST: Self;
}

macro_rules! bounds {
    ($($type:ty),*) => { $( impl Bounds for $type { const LEAST: Self = Self::MIN; const MOST: Self = Self::MAX; } )* };
}

bounds!(u16, u32, u64, usize, i16, i32);

/// The nearest number that the type has.
fn clamp<T: TryFrom<i64> + Bounds>(number: i64) -> T {
    T::try_from(number).unwrap_or(if number < 0 { T::LEAST } else { T::MOST })
}
