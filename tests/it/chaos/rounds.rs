//! One round after the other, and what is demanded of each.
//!
//! Every partition of every topic that is not being deleted has a leader that accepts messages within `LEADERS`: counted
//! from when all is mended and the ensemble serves; and where the rest can do without what is away (`is_survived`), before
//! anything is mended, counted from the last fault: sessions that have to end first are no excuse.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::Duration;
use std::time::Instant;

use super::brief::BriefTopics;
use super::cluster::Cluster;
use super::cluster::TOPIC;
use super::load::Load;
use super::number;
use super::plan::Fault;
use super::plan::PARTITIONS;
use super::plan::Round;
use super::plan::Wish;
use super::verdict::Verdict;
use crate::support::eventually::within;
use crate::support::lan::Lan;
use crate::support::report;
use crate::support::znodes;
use crate::support::zookeeper::Version;

/// How long partitions may be without a leader. Enough on a busy machine, too: with 14 runnable threads per CPU, less than
/// a second of it went by once all was mended.
const LEADERS: Duration = Duration::from_secs(10);

/// Rounds between two verdicts.
const VERDICT_EVERY: usize = 5;

/// How long all replicas may need to get back in sync, and wishes to be fulfilled, once all is mended.
const SETTLE: Duration = Duration::from_secs(60);

/// How long a producer may need to get an acknowledgement once all is mended.
const PROGRESS: Duration = Duration::from_secs(30);

/// A run.
pub(super) struct Rounds {
    seed: u64,
    cluster: Cluster,
    load: Load,
    verdict: Verdict,
    brief: BriefTopics,
    /// Whether all replicas were in sync when the last round ended.
    in_sync: bool,
    summary: Summary,
}

#[derive(Debug, Default)]
struct Summary {
    rounds: usize,
    faults: BTreeMap<Fault, usize>,
    wishes: BTreeMap<&'static str, usize>,
    /// Of leaders, after all was mended.
    mended: Slowest,
    /// Of leaders, from the last fault on, with nothing mended.
    survived: Slowest,
    /// Rounds in which leaders were asked for with nothing mended.
    rounds_survived: usize,
    /// Of acknowledgements for all producers, after there were leaders.
    progress: Slowest,
    /// Rounds in which leaders came back too late.
    late: Vec<String>,
    verdicts: usize,
}

/// The longest that something took, and in which round.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Slowest {
    took: Duration,
    round: usize,
}

impl Slowest {
    fn note(&mut self, took: Duration, round: &Round) {
        let round = round.number;
        *self = (*self).max(Self { took, round });
    }
}

impl fmt::Display for Slowest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{:.1} s (round {})",
            self.took.as_secs_f64(),
            self.round
        )
    }
}

/// How long there was a partition without a leader, and what was last seen of it.
struct Leaders {
    took: Duration,
    last: String,
}

impl Rounds {
    /// Starts everything; producers and readers wait for their topic.
    pub(super) fn start(lan: Lan, seed: u64) -> Self {
        report(&format!("seed {seed}"));
        let java = usize::try_from(number("GREGOR_CHAOS_JAVA", 0)).unwrap();
        let cluster = Cluster::start(lan, Version::Installed, java);
        Self {
            seed,
            load: Load::start(cluster.addresses()),
            cluster,
            verdict: Verdict::new(),
            brief: BriefTopics::default(),
            in_sync: true,
            summary: Summary::default(),
        }
    }

    /// Runs so many rounds; panics when something is wrong.
    pub(super) fn run(mut self, count: u64) {
        let count = usize::try_from(count).unwrap();
        if let Err(why) = self.all(count) {
            panic!("seed {}: {why}", self.seed);
        }
        let summary = self.summary(count);
        report(&summary);
        self.load.end();
        assert!(self.summary.late.is_empty(), "{summary}");
    }

    /// All of them, up to the first in which something is wrong.
    fn all(&mut self, count: usize) -> Result<(), String> {
        self.cluster.create(TOPIC, PARTITIONS)?;
        self.settle()?;
        for number in 1..=count {
            let round = Round::new(self.seed, number);
            let verdict_due = number % VERDICT_EVERY == 0 || number == count;
            self.round(&round, verdict_due)
                .map_err(|why| format!("{round}: {why}"))?;
        }
        Ok(())
    }

    fn round(&mut self, round: &Round, verdict_due: bool) -> Result<(), String> {
        let started = Instant::now();
        let before = self.load.book().acknowledged;
        let standing = self.cluster.standing(PARTITIONS);
        self.wish(round)?;
        let mut struck = Vec::new();
        let mut harm = Vec::new();
        for blow in &round.blows {
            if !harm.is_empty() {
                wait(round.gap);
            }
            harm.push(self.cluster.strike(*blow, &standing, &mut struck));
            *self.summary.faults.entry(blow.fault).or_default() += 1;
        }
        let struck_at = Instant::now();
        wait(round.hold);
        let over = if self.in_sync && round.is_survived() {
            let away = if round.takes_away() { &struck[..] } else { &[] };
            let took = self.survived(round, struck_at, away)?;
            format!(
                ", led without it {:.1} s after the last fault",
                took.as_secs_f64()
            )
        } else {
            String::new()
        };
        let done = format!("{harm:?}");
        let held = started.elapsed();
        for harm in harm {
            self.cluster.mend(harm)?;
        }
        self.cluster.ensemble.wait_until_it_serves()?;
        self.cluster.revive()?;
        let leaders = self.leaders(Instant::now(), &[])?;
        self.judge(&leaders, round);
        self.summary.mended.note(leaders.took, round);
        let progress = self.progress(round)?;
        let mut line = format!(
            "{round} {done}: {:.1} s{over}, leaders {:.1} s, all acknowledged {:.1} s",
            held.as_secs_f64(),
            leaders.took.as_secs_f64(),
            progress.as_secs_f64()
        );
        self.in_sync = round.settle || verdict_due;
        if self.in_sync {
            let settled = self.settle()?;
            line += &format!(", in sync {:.1} s", settled.as_secs_f64());
        }
        if verdict_due {
            let asked = Instant::now();
            self.load.rest()?;
            self.settle()?;
            self.verdict.reach(&self.cluster, &self.load)?;
            self.summary.verdicts += 1;
            self.load.go_on();
            line += &format!(
                ", checked {} in {:.1} s",
                self.verdict.messages,
                asked.elapsed().as_secs_f64()
            );
        }
        self.cluster.revive()?;
        let book = self.load.book();
        Verdict::complaints(&book)?;
        self.summary.rounds += 1;
        report(&format!("{line}, {} acknowledged", book.acknowledged - before));
        Ok(())
    }

    /// Asks for what the round wants.
    fn wish(&mut self, round: &Round) -> Result<(), String> {
        let connect = &self.cluster.connect;
        let name = match &round.wish {
            None => return Ok(()),
            Some(Wish::Reassign(moves)) => {
                let path = "/admin/reassign_partitions";
                // Like the reference's command: writing over what is under way would take it back half-done.
                if znodes::try_tree(connect)?.iter().any(|node| node.path == path) {
                    return Ok(());
                }
                let partitions: Vec<_> = moves
                    .iter()
                    .map(|(partition, replicas)| {
                        serde_json::json!({"topic": TOPIC, "partition": partition, "replicas": replicas})
                    })
                    .collect();
                let wish = serde_json::json!({"version": 1, "partitions": partitions});
                znodes::try_put(connect, path, &wish.to_string())?;
                "reassignments"
            }
            Some(Wish::Create) => {
                if self.brief.create(&self.cluster, round.number)? {
                    "creations under an old name"
                } else {
                    "creations"
                }
            }
            Some(Wish::Delete) => {
                self.brief.delete(&self.cluster, round.number)?;
                "deletions"
            }
            Some(Wish::Prefer) => {
                let partitions: Vec<_> = (0..PARTITIONS)
                    .map(|partition| serde_json::json!({"topic": TOPIC, "partition": partition}))
                    .collect();
                let wish = serde_json::json!({"version": 1, "partitions": partitions});
                znodes::try_put(connect, "/admin/preferred_replica_election", &wish.to_string())?;
                "preferred-replica elections"
            }
        };
        *self.summary.wishes.entry(name).or_default() += 1;
        Ok(())
    }

    /// Every partition has a leader again, without those who are away.
    fn leaders(&mut self, since: Instant, away: &[usize]) -> Result<Leaders, String> {
        let mut last = String::new();
        let led = within(SETTLE, || match self.cluster.led(self.brief.there(), away) {
            Ok(()) => Some(since.elapsed()),
            Err(state) => {
                // One that was told to stop has ended, and is to stay away.
                let ended = away.is_empty().then(|| self.cluster.revive().err());
                last = ended.flatten().unwrap_or(state);
                None
            }
        });
        let took = led.ok_or_else(|| format!("no leaders within {SETTLE:?}: {last}"))?;
        Ok(Leaders { took, last })
    }

    /// Every partition has a leader and can be written to although nothing is mended; how long it had none.
    fn survived(&mut self, round: &Round, struck_at: Instant, away: &[usize]) -> Result<Duration, String> {
        let leaders = self.leaders(struck_at, away)?;
        self.judge(&leaders, round);
        self.summary.survived.note(leaders.took, round);
        self.summary.rounds_survived += 1;
        // Sessions have ended by now: what is acknowledged is acknowledged by those who are left.
        self.progress(round)?;
        Ok(leaders.took)
    }

    fn judge(&mut self, leaders: &Leaders, round: &Round) {
        let Leaders { took, last } = leaders;
        if *took > LEADERS {
            let took = took.as_secs_f64();
            let late = format!("{round}: leaders only after {took:.1} s instead of {LEADERS:?}: {last}");
            report(&late);
            self.summary.late.push(late);
        }
    }

    /// Every producer gets an acknowledgement; how long that took.
    fn progress(&mut self, round: &Round) -> Result<Duration, String> {
        let asked = Instant::now();
        let before = self.load.progress();
        let mut still: Vec<usize> = Vec::new();
        let gone_on = within(PROGRESS, || {
            let now = self.load.progress();
            still = (0..now.len())
                .filter(|producer| now[*producer] == before[*producer])
                .collect();
            still.is_empty().then(|| asked.elapsed())
        });
        let took = gone_on
            .ok_or_else(|| format!("producers {still:?} get no acknowledgement within {PROGRESS:?}"))?;
        self.summary.progress.note(took, round);
        Ok(took)
    }

    /// All replicas are in sync and all wishes fulfilled; how long that took.
    fn settle(&mut self) -> Result<Duration, String> {
        let asked = Instant::now();
        let mut last = String::new();
        let settled = within(SETTLE, || match self.settled() {
            Ok(()) => Some(asked.elapsed()),
            Err(state) => {
                last = self.cluster.revive().err().unwrap_or(state);
                None
            }
        });
        let took = settled.ok_or_else(|| format!("not settled within {SETTLE:?}: {last}"))?;
        self.brief.deletions_are_done();
        Ok(took)
    }

    fn settled(&self) -> Result<(), String> {
        self.brief.settled(&self.cluster)?;
        self.cluster.settled(self.brief.there())
    }

    fn summary(&self, count: usize) -> String {
        let Summary {
            rounds,
            faults,
            wishes,
            mended,
            survived,
            rounds_survived,
            progress,
            late,
            verdicts,
        } = &self.summary;
        let book = self.load.book();
        let blows: usize = faults.values().sum();
        format!(
            "seed {}: {rounds} of {count} rounds\n{blows} faults: {faults:?}; meanwhile {wishes:?}\n\
             {} messages acknowledged, all of them there and in order, and replicas equal, at each of {verdicts} looks; \
             {} messages in the logs, {} of them a second time because they were sent again; {} requests failed\n\
             slowest: leaders {mended} after all was mended, {survived} after the last fault with nothing mended (asked in \
             {rounds_survived} rounds), all producers acknowledged {progress} after that\n\
             leaders too late (limit {LEADERS:?}) in {} rounds: {late:#?}",
            self.seed,
            book.acknowledged,
            self.verdict.messages,
            self.verdict.duplicates,
            book.failed,
            late.len(),
        )
    }
}

impl Drop for Rounds {
    /// Whatever went wrong, and wherever that was noticed: logs and data are left.
    fn drop(&mut self) {
        let at = std::env::var_os("GREGOR_CHAOS_LEAVE").filter(|_| std::thread::panicking());
        if let Some(Err(error)) = at.map(|at| self.cluster.leave(Path::new(&at))) {
            report(&format!("logs and data are not left: {error}"));
        }
    }
}

fn wait(time: Duration) {
    let _ = within(time, || None::<()>);
}
