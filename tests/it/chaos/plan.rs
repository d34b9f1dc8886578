//! What is done to the cluster in which round. A seed and the number of the round decide it, and nothing else.

use std::fmt;
use std::time::Duration;

use fastrand::Rng;

/// How many brokers there are.
pub(super) const BROKERS: usize = 4;

/// How many partitions are written to.
pub(super) const PARTITIONS: usize = 6;

/// How many of the brokers have each of them.
pub(super) const REPLICAS: usize = 3;

/// A session of a broker with ZooKeeper.
pub(super) const SESSION: Duration = Duration::from_secs(3);

/// What can be done to a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fault {
    /// kill -9; started again when the round ends.
    Kill,
    /// kill -9; started again at once, while the session of before still lives.
    Bounce,
    /// A clean stop; started again when the round ends.
    Stop,
    /// SIGSTOP for longer than the session, then SIGCONT.
    Freeze,
    /// SIGSTOP for less than the session, then SIGCONT.
    Stall,
    /// No broker hears of it any more, nor it of them; ZooKeeper and the clients do.
    CutFromBrokers,
    /// What it sends to one other broker is lost, not what it gets from there.
    CutOneWay,
    /// ZooKeeper does not hear of it any more for longer than the session; brokers and clients do.
    CutFromZooKeeper,
    /// Only clients reach it.
    CutOff,
    /// The leader of the ensemble is killed, and started again when the round ends.
    ZooKeeperLeader,
    /// The whole ensemble is killed, and started again when the sessions are over.
    ZooKeeperKilled,
    /// The whole ensemble is stopped by SIGSTOP for longer than the sessions.
    ZooKeeperFrozen,
    /// The leader of the ensemble does not hear of the other servers any more, nor they of it; brokers do.
    ZooKeeperSplit,
    /// The controller loses its office, but nothing else.
    Resignation,
}

impl Fault {
    pub(super) const ALL: [Self; 14] = [
        Self::Kill,
        Self::Bounce,
        Self::Stop,
        Self::Freeze,
        Self::Stall,
        Self::CutFromBrokers,
        Self::CutOneWay,
        Self::CutFromZooKeeper,
        Self::CutOff,
        Self::ZooKeeperLeader,
        Self::ZooKeeperKilled,
        Self::ZooKeeperFrozen,
        Self::ZooKeeperSplit,
        Self::Resignation,
    ];

    /// Whether it is done to the ensemble as a whole or in part.
    pub(super) fn is_of_zookeeper(self) -> bool {
        matches!(
            self,
            Self::ZooKeeperLeader | Self::ZooKeeperKilled | Self::ZooKeeperFrozen | Self::ZooKeeperSplit
        )
    }

    /// Whether the broker that it strikes runs on, for something else to befall it.
    fn leaves_it_running(self) -> bool {
        matches!(
            self,
            Self::Stall | Self::CutFromBrokers | Self::CutOneWay | Self::CutFromZooKeeper | Self::CutOff
        )
    }

    /// Whether it ends the session of the broker that it strikes: whatever that one says, it leads nothing any more.
    fn takes_away(self) -> bool {
        matches!(
            self,
            Self::Kill | Self::Stop | Self::Freeze | Self::CutFromZooKeeper | Self::CutOff
        )
    }

    /// Whether the others can do without what it strikes, and know it: the session ends, or it is back at once. Not a
    /// broker that goes on telling ZooKeeper which followers it has lost.
    fn is_survived(self) -> bool {
        let soon_over = matches!(self, Self::Bounce | Self::Stall | Self::Resignation);
        soon_over || self.takes_away() || self == Self::ZooKeeperLeader
    }
}

/// Which broker is struck.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Victim {
    Controller,
    /// The leader of this partition.
    Leader(usize),
    Broker(usize),
    /// Who was struck last, and is not what it was any more.
    Same,
}

/// One fault and whom it strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Blow {
    pub(super) fault: Fault,
    pub(super) victim: Victim,
}

/// What administrators want just before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wish {
    /// These partitions are to be on these brokers.
    Reassign(Vec<(usize, Vec<usize>)>),
    /// A topic is to come; a later round deletes it.
    Create,
    /// A topic is to go.
    Delete,
    /// The preferred replicas are to lead.
    Prefer,
}

/// A round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Round {
    pub(super) number: usize,
    pub(super) wish: Option<Wish>,
    pub(super) blows: Vec<Blow>,
    /// Between two of them.
    pub(super) gap: Duration,
    /// From the last of them until everything is mended.
    pub(super) hold: Duration,
    /// Whether all replicas may get back in sync before the next round.
    pub(super) settle: bool,
}

impl Round {
    /// The plan for round `number`, counted from 1.
    pub(super) fn new(seed: u64, number: usize) -> Self {
        let mut order = Fault::ALL;
        Rng::with_seed(seed).shuffle(&mut order);
        let mut random = Rng::with_seed(seed.rotate_left(32) ^ number as u64);
        // Every kind comes first in turn; what comes with it is chance.
        let mut faults = vec![order[(number - 1) % order.len()]];
        for chance in [0.45, 0.15] {
            if random.f64() < chance {
                let other = Fault::ALL[random.usize(..Fault::ALL.len())];
                // The ensemble is broken in one way at a time.
                if !(other.is_of_zookeeper() && faults.iter().any(|fault| fault.is_of_zookeeper())) {
                    faults.push(other);
                }
            }
        }
        // Taking an office away takes an ensemble.
        faults.sort_by_key(|fault| *fault != Fault::Resignation);
        let mut blows: Vec<Blow> = Vec::new();
        for fault in faults {
            let same = blows.last().is_some_and(|blow| blow.fault.leaves_it_running());
            let victim = if same && random.bool() {
                Victim::Same
            } else {
                victim(&mut random)
            };
            blows.push(Blow { fault, victim });
        }
        // Long enough for the others to notice before it gets worse.
        let gap = if blows.iter().any(|blow| blow.victim == Victim::Same) {
            random.u64(1500..4000)
        } else {
            random.u64(0..700)
        };
        Self {
            number,
            wish: (random.f64() < 0.6).then(|| wish(&mut random)),
            blows,
            gap: Duration::from_millis(gap),
            hold: SESSION + Duration::from_millis(random.u64(700..2200)),
            settle: random.f64() < 0.6,
        }
    }
}

impl Round {
    /// Whether every partition that had all its replicas in sync has to have a leader before anything is mended: at most
    /// one broker of them is away, so that `min.insync.replicas` are there, and so is a majority of the ensemble.
    pub(super) fn is_survived(&self) -> bool {
        let brokers = self
            .blows
            .iter()
            .filter(|blow| blow.fault != Fault::Resignation && !blow.fault.is_of_zookeeper());
        brokers.count() <= 1 && self.blows.iter().all(|blow| blow.fault.is_survived())
    }

    /// Whether it takes a broker away until it is mended.
    pub(super) fn takes_away(&self) -> bool {
        self.blows.iter().any(|blow| blow.fault.takes_away())
    }
}

fn victim(random: &mut Rng) -> Victim {
    match random.u8(0..10) {
        0..4 => Victim::Leader(random.usize(..PARTITIONS)),
        4..7 => Victim::Controller,
        _ => Victim::Broker(random.usize(..BROKERS)),
    }
}

fn wish(random: &mut Rng) -> Wish {
    match random.u8(0..10) {
        0..5 => {
            let count = random.usize(1..4);
            let partitions = random.choose_multiple(0..PARTITIONS, count);
            let moves = partitions.into_iter().map(|partition| {
                let mut brokers: Vec<usize> = (0..BROKERS).collect();
                random.shuffle(&mut brokers);
                brokers.truncate(REPLICAS);
                (partition, brokers)
            });
            Wish::Reassign(moves.collect())
        }
        5..7 => Wish::Create,
        7..9 => Wish::Delete,
        _ => Wish::Prefer,
    }
}

impl fmt::Display for Blow {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.fault.is_of_zookeeper() || self.fault == Fault::Resignation {
            return write!(formatter, "{:?}", self.fault);
        }
        write!(formatter, "{:?} {:?}", self.fault, self.victim)
    }
}

impl fmt::Display for Round {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "round {}: ", self.number)?;
        for (number, blow) in self.blows.iter().enumerate() {
            let comma = if number == 0 { "" } else { ", " };
            write!(formatter, "{comma}{blow}")?;
        }
        match &self.wish {
            None => Ok(()),
            Some(Wish::Reassign(moves)) => {
                write!(formatter, "; reassigning")?;
                for (partition, brokers) in moves {
                    write!(formatter, " {partition} to {brokers:?}")?;
                }
                Ok(())
            }
            Some(Wish::Create) => write!(formatter, "; creating"),
            Some(Wish::Delete) => write!(formatter, "; deleting"),
            Some(Wish::Prefer) => write!(formatter, "; preferring"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_seed_decides_everything_and_nothing_is_left_out() {
        for seed in [1, 822] {
            let rounds = || -> Vec<Round> {
                (1..=Fault::ALL.len())
                    .map(|number| Round::new(seed, number))
                    .collect()
            };
            assert_eq!(rounds(), rounds());
            let blows = rounds().into_iter().flat_map(|round| round.blows);
            let faults: BTreeSet<Fault> = blows.map(|blow| blow.fault).collect();
            assert!(
                Fault::ALL.iter().all(|fault| faults.contains(fault)),
                "{faults:?}"
            );
        }
        assert_ne!(Round::new(1, 5), Round::new(2, 5));
    }
}
