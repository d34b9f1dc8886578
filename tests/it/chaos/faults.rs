//! Doing harm, and undoing it.

use std::time::Duration;

use rustix::process::Signal;

use super::cluster::Cluster;
use super::cluster::TOPIC;
use super::plan::BROKERS;
use super::plan::Blow;
use super::plan::Fault;
use super::plan::SESSION;
use super::plan::Victim;
use crate::support::eventually::within;
use crate::support::znodes;

/// How long a clean stop may take after everything is mended.
const STOP: Duration = Duration::from_secs(30);

/// Who was what before the first blow fell.
pub(super) struct Standing {
    controller: Option<usize>,
    leaders: Vec<Option<usize>>,
}

/// What is to be undone.
#[derive(Debug)]
pub(super) enum Harm {
    /// Killed.
    Down(usize),
    /// Told to stop.
    Stopping(usize),
    Frozen(usize),
    /// Nothing that the first sends reaches the second.
    Cut(Vec<(usize, usize)>),
    ServersDown(Vec<usize>),
    ServersFrozen,
    /// It is over already.
    Nothing,
}

impl Cluster {
    /// Who is what now.
    pub(super) fn standing(&self, partitions: usize) -> Standing {
        Standing {
            controller: self.controller(),
            leaders: (0..partitions)
                .map(|partition| self.leader(TOPIC, partition))
                .collect(),
        }
    }

    /// Strikes. A broker that was struck in this round already is spared, another one is taken for it.
    pub(super) fn strike(&mut self, blow: Blow, standing: &Standing, struck: &mut Vec<usize>) -> Harm {
        match blow.fault {
            Fault::ZooKeeperLeader => {
                let leader = self.ensemble.leader().unwrap_or(0);
                self.ensemble.kill(leader);
                return Harm::ServersDown(vec![leader]);
            }
            Fault::ZooKeeperKilled => {
                let all: Vec<usize> = (0..self.ensemble.len()).collect();
                all.iter().for_each(|number| self.ensemble.kill(*number));
                return Harm::ServersDown(all);
            }
            Fault::ZooKeeperFrozen => {
                (0..self.ensemble.len()).for_each(|number| self.ensemble.freeze(number));
                return Harm::ServersFrozen;
            }
            Fault::ZooKeeperSplit => {
                let leader = self.ensemble.leader().unwrap_or(0) + BROKERS;
                let others = Self::servers().filter(|server| *server != leader);
                let cuts = others
                    .flat_map(|other| [(leader, other), (other, leader)])
                    .collect();
                return self.cut(cuts);
            }
            Fault::Resignation => {
                // Nobody may be controller at this moment, or ZooKeeper be away.
                znodes::try_delete(&self.connect, "/controller");
                return Harm::Nothing;
            }
            _ => {}
        }
        let meant = match blow.victim {
            Victim::Controller => standing.controller,
            Victim::Leader(partition) => standing.leaders[partition],
            Victim::Broker(id) => Some(id),
            Victim::Same => None,
        };
        let first = meant.unwrap_or(0);
        let mut candidates = (first..first + BROKERS).map(|id| id % BROKERS);
        let same = struck.last().copied().filter(|_| blow.victim == Victim::Same);
        let Some(victim) = same.or_else(|| candidates.find(|id| !struck.contains(id))) else {
            return Harm::Nothing;
        };
        struck.push(victim);
        self.strike_broker(blow.fault, victim)
    }

    fn strike_broker(&mut self, fault: Fault, victim: usize) -> Harm {
        let others = || (0..BROKERS).filter(move |id| *id != victim);
        let both_ways = |with: &mut dyn Iterator<Item = usize>| {
            with.flat_map(|other| [(victim, other), (other, victim)])
                .collect::<Vec<_>>()
        };
        let cuts = match fault {
            Fault::Kill => {
                self.brokers[victim].kill();
                return Harm::Down(victim);
            }
            Fault::Bounce => {
                self.brokers[victim].kill();
                self.brokers[victim].launch_again();
                return Harm::Nothing;
            }
            Fault::Stop => {
                self.brokers[victim].signal(Signal::TERM);
                return Harm::Stopping(victim);
            }
            Fault::Freeze => {
                self.brokers[victim].signal(Signal::STOP);
                return Harm::Frozen(victim);
            }
            Fault::Stall => {
                self.brokers[victim].signal(Signal::STOP);
                // It is over before the session is.
                let _ = within(SESSION / 2, || None::<()>);
                self.brokers[victim].signal(Signal::CONT);
                return Harm::Nothing;
            }
            Fault::CutFromBrokers => both_ways(&mut others()),
            Fault::CutOneWay => vec![(victim, (victim + 1) % BROKERS)],
            Fault::CutFromZooKeeper => both_ways(&mut Self::servers()),
            Fault::CutOff => both_ways(&mut others().chain(Self::servers())),
            Fault::ZooKeeperLeader
            | Fault::ZooKeeperKilled
            | Fault::ZooKeeperFrozen
            | Fault::ZooKeeperSplit
            | Fault::Resignation => unreachable!("not of a broker"),
        };
        self.cut(cuts)
    }

    fn cut(&mut self, cuts: Vec<(usize, usize)>) -> Harm {
        // Another fault may have cut some of these already.
        let cuts: Vec<_> = cuts.into_iter().filter(|cut| self.cuts.insert(*cut)).collect();
        for (from, to) in &cuts {
            self.lan.cut(*from, *to);
        }
        Harm::Cut(cuts)
    }

    /// Undoes it.
    pub(super) fn mend(&mut self, harm: Harm) -> Result<(), String> {
        match harm {
            Harm::Down(id) => self.brokers[id].launch_again(),
            Harm::Stopping(id) => {
                let broker = &mut self.brokers[id];
                let status = within(STOP, || broker.exited());
                let status = status.ok_or_else(|| format!("broker {id} does not stop within {STOP:?}"))?;
                if !status.success() {
                    return Err(format!("broker {id} did not stop cleanly: {status}"));
                }
                broker.forget();
                broker.launch_again();
            }
            Harm::Frozen(id) => self.brokers[id].signal(Signal::CONT),
            Harm::Cut(cuts) => {
                for (from, to) in cuts {
                    self.cuts.remove(&(from, to));
                    self.lan.mend(from, to);
                }
            }
            Harm::ServersDown(servers) => servers
                .iter()
                .for_each(|number| self.ensemble.start_again(*number)),
            Harm::ServersFrozen => (0..self.ensemble.len()).for_each(|number| self.ensemble.thaw(number)),
            Harm::Nothing => {}
        }
        Ok(())
    }

    /// Starts brokers again whose start failed for want of ZooKeeper, as whoever supervises them would. What is wrong if
    /// one has ended for another reason.
    pub(super) fn revive(&mut self) -> Result<(), String> {
        for (id, broker) in self.brokers.iter_mut().enumerate() {
            let Some(status) = broker.exited() else { continue };
            let output = broker.output();
            let (_, last_run) = output.rsplit_once("], starting").unwrap_or_default();
            let error = last_run.lines().find(|line| line.starts_with("error: "));
            let failed_to_start =
                !last_run.contains("], started") && error.is_some_and(|error| error.contains("ZooKeeper"));
            if !failed_to_start {
                return Err(format!("broker {id} ended by itself: {status}"));
            }
            broker.forget();
            broker.launch_again();
        }
        Ok(())
    }
}
