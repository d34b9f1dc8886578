//! `gregor topics`: create, list, describe, change and delete topics, with the options and the words of 0.8.2.2.
//!
//! Other than there a command that failed ends with 1, not with 0, unless GREGOR_EXIT_LIKE_KAFKA is set.

mod values;

use std::process::ExitCode;

use structopt::StructOpt;

use super::Failure;
use super::logging;
use super::runtime;
use crate::admin::filter::BadExpression;
use crate::admin::filter::TopicFilter;
use crate::admin::topics;
use crate::admin::topics::Description;
use crate::shutdown::Trigger;
use crate::types::BrokerId;
use crate::zookeeper;
use crate::zookeeper::Config;
use crate::zookeeper::Sessions;
use crate::zookeeper::Store;
use values::by_hand;
use values::number;
use values::settings;
use values::single;

/// Set for scripts that stop at exit codes which 0.8.2.2 doesn't have.
const EXIT_LIKE_KAFKA: &str = "GREGOR_EXIT_LIKE_KAFKA";

/// Creates, lists, describes, changes or deletes topics
// Values are taken as texts, and each as often as it was given: what is wrong with them is said in the reference's words.
#[derive(Debug, StructOpt)]
pub(super) struct Topics {
    /// Where ZooKeeper is: host:port,host:port/chroot
    #[structopt(long, number_of_values = 1)]
    zookeeper: Vec<String>,
    /// Create a topic.
    #[structopt(long)]
    create: bool,
    /// List topics.
    #[structopt(long)]
    list: bool,
    /// Tell settings, replicas and leaders of topics.
    #[structopt(long)]
    describe: bool,
    /// Change settings of topics, or give them more partitions.
    #[structopt(long)]
    alter: bool,
    /// Mark topics for deletion.
    #[structopt(long)]
    delete: bool,
    /// The topic; a regular expression for every action but --create
    #[structopt(long, number_of_values = 1)]
    topic: Vec<String>,
    /// How many partitions; with --alter how many in all.
    #[structopt(long, number_of_values = 1)]
    partitions: Vec<String>,
    /// How many replicas each partition has.
    #[structopt(long, number_of_values = 1)]
    replication_factor: Vec<String>,
    /// Which brokers have the replicas: 1:2,2:3 is two partitions, led by 1 and 2
    #[structopt(long, number_of_values = 1)]
    replica_assignment: Vec<String>,
    /// A setting, as name=value; may be repeated
    #[structopt(long, number_of_values = 1)]
    config: Vec<String>,
    /// A setting that is dropped; may be repeated
    #[structopt(long, number_of_values = 1)]
    delete_config: Vec<String>,
    /// Describe only partitions that lack replicas in sync.
    #[structopt(long)]
    under_replicated_partitions: bool,
    /// Describe only partitions without a live leader.
    #[structopt(long)]
    unavailable_partitions: bool,
    /// Describe only topics that have settings of their own.
    #[structopt(long)]
    topics_with_overrides: bool,
}

/// Why a command did not do its work.
#[derive(Debug, thiserror::Error)]
enum Error {
    /// The options don't go together; nothing was tried.
    #[error("{0}")]
    Usage(String),
    #[error("{0}")]
    Value(String),
    #[error(transparent)]
    Expression(#[from] BadExpression),
    #[error(transparent)]
    Topics(#[from] topics::Error),
}

impl From<zookeeper::Error> for Error {
    fn from(error: zookeeper::Error) -> Self {
        Self::Topics(error.into())
    }
}

impl Topics {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        if let Err(reason) = self.check() {
            eprintln!("{reason}\ngregor topics --help lists its options");
            return Ok(ExitCode::FAILURE);
        }
        logging::start(tracing::Level::WARN);
        runtime::block_on(Some(1), self.connected())
    }

    async fn connected(self) -> Result<ExitCode, Failure> {
        let connect = self.zookeeper.first().map(String::as_str).unwrap_or_default();
        // Nobody but this function uses the session.
        let never = Trigger::new();
        let config = Config {
            create_chroot: false,
            ..Config::new(connect)
        };
        let sessions = Sessions::start(config, never.signal()).await?;
        let done = self.act(&sessions.current()?).await;
        sessions.close().await;
        match done {
            Ok(()) => Ok(ExitCode::SUCCESS),
            Err(Error::Usage(reason)) => {
                eprintln!("{reason}\ngregor topics --help lists its options");
                Ok(ExitCode::FAILURE)
            }
            Err(error) => {
                println!("Error while executing topic command {error}");
                if std::env::var_os(EXIT_LIKE_KAFKA).is_some() {
                    return Ok(ExitCode::SUCCESS);
                }
                Ok(ExitCode::FAILURE)
            }
        }
    }

    /// Which options go together.
    fn check(&self) -> Result<(), String> {
        let actions = [
            ("alter", self.alter),
            ("create", self.create),
            ("delete", self.delete),
            ("describe", self.describe),
            ("list", self.list),
        ];
        if actions.iter().filter(|(_, chosen)| *chosen).count() != 1 {
            let reason =
                "Command must include exactly one action: --list, --describe, --create, --alter or --delete";
            return Err(reason.to_owned());
        }
        let required = |name: &str, values: &[String]| {
            if values.is_empty() {
                return Err(format!("Missing required argument \"[{name}]\""));
            }
            Ok(())
        };
        required("zookeeper", &self.zookeeper)?;
        if !self.list && !self.describe {
            required("topic", &self.topic)?;
        }
        let valued = [
            ("config", &self.config, &["alter", "create"][..]),
            ("delete-config", &self.delete_config, &["alter"]),
            ("partitions", &self.partitions, &["alter", "create"]),
            ("replication-factor", &self.replication_factor, &["create"]),
            (
                "replica-assignment",
                &self.replica_assignment,
                &["alter", "create"],
            ),
        ];
        let given = valued.map(|(name, values, with)| (name, !values.is_empty(), with));
        let filters = [
            ("under-replicated-partitions", self.under_replicated_partitions),
            ("unavailable-partitions", self.unavailable_partitions),
            ("topics-with-overrides", self.topics_with_overrides),
        ];
        let filtering = filters.map(|(name, given)| (name, given, &["describe"][..]));
        let refuse = |option: &str, other: &str| {
            Err(format!(
                "Option \"[{option}]\" can't be used with option\"[{other}]\""
            ))
        };
        for (option, _, with) in given.into_iter().chain(filtering).filter(|(_, given, _)| *given) {
            let chosen = actions
                .iter()
                .find(|(name, chosen)| *chosen && !with.contains(name));
            if let Some((action, _)) = chosen {
                return refuse(option, action);
            }
        }
        let by_hand = !self.replica_assignment.is_empty();
        if by_hand && !self.partitions.is_empty() {
            return refuse("replica-assignment", "partitions");
        }
        if by_hand && !self.replication_factor.is_empty() {
            return refuse("replica-assignment", "replication-factor");
        }
        let mut chosen = filters.iter().filter(|(_, chosen)| *chosen);
        match (chosen.next(), chosen.next()) {
            (Some((one, _)), Some((other, _))) => refuse(one, other),
            _ => Ok(()),
        }
    }

    async fn act(&self, store: &Store) -> Result<(), Error> {
        if self.create {
            self.create(store).await
        } else if self.alter {
            self.alter(store).await
        } else if self.list {
            self.list(store).await
        } else if self.describe {
            self.describe(store).await
        } else {
            self.delete(store).await
        }
    }

    async fn create(&self, store: &Store) -> Result<(), Error> {
        let topic = single("topic", &self.topic)?.unwrap_or_default();
        let config = settings(&self.config)?;
        if let Some(assignment) = single("replica-assignment", &self.replica_assignment)? {
            let assignment = by_hand(assignment)?;
            topics::create_assigned(store, topic, &assignment, &config).await?;
        } else {
            let missing = |name: &str| Error::Usage(format!("Missing required argument \"[{name}]\""));
            let partitions = number("partitions", &self.partitions)?.ok_or_else(|| missing("partitions"))?;
            let replicas = number("replication-factor", &self.replication_factor)?
                .ok_or_else(|| missing("replication-factor"))?;
            topics::create(store, topic, partitions, replicas, &config).await?;
        }
        println!("Created topic \"{topic}\".");
        Ok(())
    }

    async fn alter(&self, store: &Store) -> Result<(), Error> {
        for topic in self.chosen(store).await? {
            if !self.config.is_empty() || !self.delete_config.is_empty() {
                let set = settings(&self.config)?;
                topics::change_config(store, &topic, &set, &self.delete_config).await?;
                println!("Updated config for topic \"{topic}\".");
            }
            if let Some(partitions) = number("partitions", &self.partitions)? {
                topics::may_grow(&topic)?;
                println!(
                    "WARNING: If partitions are increased for a topic that has a key, the partition logic or ordering of the messages will be affected"
                );
                topics::add_partitions(store, &topic, partitions).await?;
                println!("Adding partitions succeeded!");
            }
        }
        Ok(())
    }

    async fn list(&self, store: &Store) -> Result<(), Error> {
        let doomed = topics::doomed(store).await?;
        for topic in self.chosen(store).await? {
            if doomed.contains(&topic) {
                println!("{topic} - marked for deletion");
            } else {
                println!("{topic}");
            }
        }
        Ok(())
    }

    async fn delete(&self, store: &Store) -> Result<(), Error> {
        let chosen = self.chosen(store).await?;
        if chosen.is_empty() {
            println!("Topic {} does not exist", self.topic.concat());
        }
        for topic in chosen {
            if topics::delete(store, &topic).await? {
                println!("Topic {topic} is marked for deletion.");
                println!("Note: This will have no impact if delete.topic.enable is not set to true.");
            } else {
                println!("Topic {topic} is already marked for deletion.");
            }
        }
        Ok(())
    }

    async fn describe(&self, store: &Store) -> Result<(), Error> {
        let chosen = self.chosen(store).await?;
        let live = topics::brokers(store).await?;
        for description in topics::describe(store, &chosen).await? {
            let some_partitions = self.unavailable_partitions || self.under_replicated_partitions;
            let no_overrides = self.topics_with_overrides && description.config.is_empty();
            if !some_partitions && !no_overrides {
                println!("{}", header(&description));
            }
            if !self.topics_with_overrides {
                self.describe_partitions(&description, &live);
            }
        }
        Ok(())
    }

    fn describe_partitions(&self, description: &Description, live: &[BrokerId]) {
        for (partition, replicas) in &description.assignment {
            let state = description.states.get(partition);
            let isr = state.map(|state| state.isr.as_slice()).unwrap_or_default();
            let led = state
                .and_then(|state| state.leader)
                .is_some_and(|leader| live.contains(&leader));
            let everything = !self.unavailable_partitions && !self.under_replicated_partitions;
            let short = self.under_replicated_partitions && isr.len() < replicas.len();
            let unavailable = self.unavailable_partitions && !led;
            if everything || short || unavailable {
                // A node that says there is no leader is not the same as no node.
                let leader = match state.map(|state| state.leader) {
                    None => "none".to_owned(),
                    Some(None) => "-1".to_owned(),
                    Some(Some(leader)) => leader.to_string(),
                };
                println!(
                    "\tTopic: {}\tPartition: {partition}\tLeader: {leader}\tReplicas: {}\tIsr: {}",
                    description.topic,
                    ids(replicas),
                    ids(isr)
                );
            }
        }
    }

    /// The topics that are meant.
    async fn chosen(&self, store: &Store) -> Result<Vec<String>, Error> {
        let filter = match single("topic", &self.topic)? {
            Some(expression) => TopicFilter::new(expression)?,
            None => TopicFilter::all(),
        };
        Ok(topics::list(store, &filter).await?)
    }
}

fn header(description: &Description) -> String {
    let settings: Vec<String> = description
        .config
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let (_, first) = description.assignment.first_key_value().unzip();
    format!(
        "Topic:{}\tPartitionCount:{}\tReplicationFactor:{}\tConfigs:{}",
        description.topic,
        description.assignment.len(),
        first.map_or(0, Vec::len),
        settings.join(",")
    )
}

fn ids(brokers: &[BrokerId]) -> String {
    let ids: Vec<String> = brokers.iter().map(ToString::to_string).collect();
    ids.join(",")
}
