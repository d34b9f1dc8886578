//! What the kernel says about this process.

use std::time::SystemTime;

use rustix::param::clock_ticks_per_second;
use rustix::param::page_size;
use rustix::process::Resource;
use rustix::process::getrlimit;

use super::names;
use super::scrape::Scrape;
use super::scrape::Value;

/// Collects `process_*`. What cannot be read is left out.
pub(super) fn collect(scrape: &mut Scrape) {
    if let Some(max) = getrlimit(Resource::Nofile).current {
        scrape.gauge(names::PROCESS_MAX_FDS, &[], max);
    }
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        // One of them is the directory that is being read.
        scrape.gauge(names::PROCESS_OPEN_FDS, &[], open.count().saturating_sub(1));
    }
    let stat = std::fs::read_to_string("/proc/self/stat").ok();
    if let Some(stat) = stat.as_deref().and_then(Stat::parse) {
        let ticks = clock_ticks_per_second().value();
        scrape.fractional_counter(names::PROCESS_CPU, stat.cpu_ticks.value() / ticks);
        scrape.gauge(names::PROCESS_VIRTUAL, &[], stat.virtual_bytes);
        scrape.gauge(
            names::PROCESS_RESIDENT,
            &[],
            stat.resident_pages.saturating_mul(page_bytes()),
        );
        if let Some(boot) = boot_seconds() {
            scrape.gauge(names::PROCESS_START, &[], boot + stat.start_ticks.value() / ticks);
        }
    }
}

fn page_bytes() -> u64 {
    u64::try_from(page_size()).unwrap_or(u64::MAX)
}

/// When the machine started, in seconds since 1970.
#[expect(clippy::disallowed_methods, reason = "metrics have wall clock times")]
fn boot_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/stat").ok()?;
    let boot = stat.lines().find_map(|line| line.strip_prefix("btime "))?;
    let boot: u64 = boot.trim().parse().ok()?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?;
    (boot <= now.as_secs()).then(|| boot.value())
}

/// Some fields of `/proc/self/stat`.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    cpu_ticks: u64,
    start_ticks: u64,
    virtual_bytes: u64,
    resident_pages: u64,
}

impl Stat {
    /// Fields are counted from behind the name, which is in parentheses and may hold blanks and parentheses.
    fn parse(stat: &str) -> Option<Self> {
        let (_, fields) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
        let field = |number: usize| fields.get(number.checked_sub(3)?)?.parse::<u64>().ok();
        Some(Self {
            cpu_ticks: field(14)?.checked_add(field(15)?)?,
            start_ticks: field(22)?,
            virtual_bytes: field(23)?,
            resident_pages: field(24)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_with_an_odd_name_is_understood() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 1 2 3 4 150 50 7 8 20 0 5 0 9000 123456 77 184467 1 1";
        let expected = Stat {
            cpu_ticks: 200,
            start_ticks: 9000,
            virtual_bytes: 123_456,
            resident_pages: 77,
        };
        assert_eq!(Stat::parse(stat), Some(expected));
        assert_eq!(Stat::parse("7 (a) S 1"), None);
        assert_eq!(Stat::parse(""), None);
    }
}
