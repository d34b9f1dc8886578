//! One round after the other, and what is demanded of each.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;
use std::time::Instant;

use super::cluster::Cluster;
use super::cluster::TOPIC;
use super::load::Load;
use super::number;
use super::plan::Fault;
use super::plan::PARTITIONS;
use super::plan::Round;
use super::plan::Wish;
use super::verdict::Verdict;
use crate::support::eventually::eventually;
use crate::support::eventually::within;
use crate::support::lan::Lan;
use crate::support::report;
use crate::support::znodes;
use crate::support::zookeeper::Version;

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
    /// How long partitions may be without a leader.
    leader_limit: Duration,
    /// Topics that were created, and not deleted yet.
    topics: Vec<String>,
    /// Topics that were deleted since the last time all was done.
    deleted: Vec<String>,
    /// Whether all replicas were in sync when the last round ended.
    in_sync: bool,
    summary: Summary,
}

#[derive(Debug, Default)]
struct Summary {
    rounds: usize,
    faults: BTreeMap<Fault, usize>,
    wishes: BTreeMap<&'static str, usize>,
    /// The slowest return of leaders, and when.
    slowest: (Duration, usize),
    /// The slowest return of producers while one broker was away.
    slowest_failover: (Duration, usize),
    /// Rounds after which leaders came back too late.
    late: Vec<String>,
}

impl Rounds {
    /// Starts everything.
    pub(super) fn start(lan: Lan, seed: u64) -> Self {
        report(&format!("seed {seed}"));
        let java = usize::try_from(number("GREGOR_CHAOS_JAVA", 0)).unwrap();
        let cluster = Cluster::start(lan, Version::Installed, java);
        cluster.create(TOPIC, PARTITIONS);
        eventually("all replicas are in sync", SETTLE, || cluster.settled());
        let load = Load::start(cluster.addresses());
        Self {
            seed,
            load,
            cluster,
            verdict: Verdict::new(),
            leader_limit: Duration::from_secs(number("GREGOR_CHAOS_LEADER_SECONDS", 30)),
            topics: Vec::new(),
            deleted: Vec::new(),
            in_sync: true,
            summary: Summary::default(),
        }
    }

    /// Runs so many rounds; panics when something is wrong.
    pub(super) fn run(mut self, count: u64) {
        let count = usize::try_from(count).unwrap();
        for number in 1..=count {
            let round = Round::new(self.seed, number);
            let verdict_due = number % VERDICT_EVERY == 0 || number == count;
            if let Err(why) = self.round(&round, verdict_due) {
                self.wrong(&format!("{round}: {why}"));
            }
        }
        let summary = self.summary(count);
        report(&summary);
        self.load.end();
        assert!(self.summary.late.is_empty(), "{summary}");
    }

    fn round(&mut self, round: &Round, verdict_due: bool) -> Result<(), String> {
        let started = Instant::now();
        let before = self.load.book().acknowledged;
        let standing = self.cluster.standing(PARTITIONS);
        self.wish(round);
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
            let took = self.survived(round, struck_at)?;
            format!(", all acknowledged {:.1} s after it began", took.as_secs_f64())
        } else {
            String::new()
        };
        let done = format!("{harm:?}");
        let held = started.elapsed();
        for harm in harm {
            self.cluster.mend(harm)?;
        }
        self.cluster.ensemble.wait_until_it_serves();
        self.cluster.revive()?;
        let leaders = self.leaders(round)?;
        let progress = self.progress()?;
        let mut line = format!(
            "{round} {done}: {:.1} s{over}, leaders {:.1} s, all acknowledged {:.1} s",
            held.as_secs_f64(),
            leaders.as_secs_f64(),
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
    fn wish(&mut self, round: &Round) {
        let connect = &self.cluster.connect;
        let name = match &round.wish {
            None => return,
            // Like the reference's command: writing over what is under way would take it back half-done.
            Some(Wish::Reassign(_)) if znodes::node(connect, "/admin/reassign_partitions").is_some() => {
                return;
            }
            Some(Wish::Reassign(moves)) => {
                let partitions: Vec<_> = moves
                    .iter()
                    .map(|(partition, replicas)| {
                        serde_json::json!({"topic": TOPIC, "partition": partition, "replicas": replicas})
                    })
                    .collect();
                let wish = serde_json::json!({"version": 1, "partitions": partitions});
                znodes::put(connect, "/admin/reassign_partitions", &wish.to_string());
                "reassignments"
            }
            Some(Wish::Create) => {
                let topic = format!("round-{}", round.number);
                self.cluster.create(&topic, 3);
                self.topics.push(topic);
                "creations"
            }
            Some(Wish::Delete) => {
                let topic = self.topics.pop().unwrap_or_else(|| {
                    let topic = format!("brief-{}", round.number);
                    self.cluster.create(&topic, 3);
                    topic
                });
                self.cluster.topics(&["--delete", "--topic", &topic]);
                self.deleted.push(topic);
                "deletions"
            }
            Some(Wish::Prefer) => {
                let partitions: Vec<_> = (0..PARTITIONS)
                    .map(|partition| serde_json::json!({"topic": TOPIC, "partition": partition}))
                    .collect();
                let wish = serde_json::json!({"version": 1, "partitions": partitions});
                znodes::put(connect, "/admin/preferred_replica_election", &wish.to_string());
                "preferred-replica elections"
            }
        };
        *self.summary.wishes.entry(name).or_default() += 1;
    }

    /// Every partition has a leader again; how long that took.
    fn leaders(&mut self, round: &Round) -> Result<Duration, String> {
        let mended = Instant::now();
        let mut last = String::new();
        let led = within(SETTLE, || match self.cluster.led() {
            Ok(()) => Some(mended.elapsed()),
            Err(state) => {
                last = self.cluster.revive().err().unwrap_or(state);
                None
            }
        });
        let took = led.ok_or_else(|| format!("not within {SETTLE:?}: {last}"))?;
        self.judge(took, round, &last);
        self.summary.slowest = self.summary.slowest.max((took, round.number));
        Ok(took)
    }

    /// Every partition can be written to although nothing is mended; how long that took.
    fn survived(&mut self, round: &Round, struck_at: Instant) -> Result<Duration, String> {
        // Sessions have ended by now: what is acknowledged is acknowledged by those who are left.
        self.progress()?;
        // How long clients take is reported, and bounded by what `progress` waits: the limit is for what is mended.
        let took = struck_at.elapsed();
        self.summary.slowest_failover = self.summary.slowest_failover.max((took, round.number));
        Ok(took)
    }

    fn judge(&mut self, took: Duration, round: &Round, last: &str) {
        if took > self.leader_limit {
            let late = format!("{round}: leaders only after {:.1} s: {last}", took.as_secs_f64());
            report(&late);
            self.summary.late.push(late);
        }
    }

    /// Every producer gets an acknowledgement; how long that took.
    fn progress(&mut self) -> Result<Duration, String> {
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
        gone_on.ok_or_else(|| format!("producers {still:?} get no acknowledgement within {PROGRESS:?}"))
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
        self.deleted.clear();
        settled.ok_or_else(|| format!("not settled within {SETTLE:?}: {last}"))
    }

    fn settled(&self) -> Result<(), String> {
        for topic in &self.deleted {
            if let Some(left) = self.cluster.directories_of(topic).first() {
                return Err(format!("{} is still there", left.display()));
            }
        }
        self.cluster.settled()
    }

    fn wrong(&self, why: &str) -> ! {
        if let Some(at) = std::env::var_os("GREGOR_CHAOS_LEAVE") {
            self.cluster.leave(&PathBuf::from(at));
        }
        panic!("seed {}: {why}", self.seed);
    }

    fn summary(&self, count: usize) -> String {
        let Summary {
            rounds,
            faults,
            wishes,
            slowest: (slowest, at),
            slowest_failover: (failover, failed_over_at),
            late,
        } = &self.summary;
        let book = self.load.book();
        format!(
            "seed {}: {rounds} of {count} rounds, faults {faults:?}, {wishes:?}\n\
             {} messages acknowledged, all of them there and in order; {} requests failed, {} messages are there twice \
             because they were sent twice\nslowest leaders: {:.1} s, in round {at}; producers without one of the brokers: {:.1} s, in \
             round {failed_over_at}; too late: {late:#?}",
            self.seed,
            book.acknowledged,
            book.failed,
            self.verdict.duplicates,
            slowest.as_secs_f64(),
            failover.as_secs_f64(),
        )
    }
}

fn wait(time: Duration) {
    let _ = within(time, || None::<()>);
}
