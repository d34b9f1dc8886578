//! `gregor server`: a broker in this process.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;

use structopt::StructOpt;
use tracing::Level;

use super::Failure;
use super::banner::banner;
use super::check;
use super::logging;
use super::runtime;
use super::serve;
use super::signals::Signals;
use crate::broker::config::BrokerConfig;
use crate::broker::config::Loaded;
use crate::broker::config::Sources;
use crate::broker::config::parse_override;

/// Runs a broker
///
/// Settings come from the file, from KAFKA_* variables (KAFKA_LOG_DIRS is log.dirs) and from overrides; the latter win.
/// Without any of them it is broker 0 on port 9092, with ZooKeeper at localhost:2181 and its data in ./gregor-data.
/// SIGTERM and SIGINT stop it cleanly within 10 seconds, with exit code 0; a second one stops it at once.
#[derive(Debug, StructOpt)]
pub(super) struct Server {
    /// A server.properties of Kafka 0.8.2.
    #[structopt(value_name = "server.properties", parse(from_os_str))]
    file: Option<PathBuf>,
    /// Change one setting; may be repeated.
    #[structopt(long = "override", value_name = "key=value", number_of_values = 1)]
    overrides: Vec<String>,
    /// Find out what would keep it from starting, without starting it.
    #[structopt(long)]
    check: bool,
}

impl Server {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        logging::start(if self.check { Level::ERROR } else { Level::INFO });
        let loaded = load(
            |overrides| Sources::of_process(self.file, overrides),
            &self.overrides,
        )?;
        let threads = loaded.config.worker_threads;
        if self.check {
            return runtime::block_on(threads, check::check(loaded));
        }
        runtime::block_on(threads, async move {
            let mut signals = Signals::listen()?;
            let config = serve::prepare(loaded).await?;
            let ready = |summary: &_| {
                if std::io::stdout().is_terminal() {
                    println!("{}", banner(summary));
                }
            };
            serve::serve(config, &mut signals, ready, std::future::pending()).await?;
            Ok(ExitCode::SUCCESS)
        })
    }
}

/// Reads a configuration with the overrides of the command line.
pub(super) fn load(
    sources: impl FnOnce(Vec<(String, String)>) -> Sources,
    overrides: &[String],
) -> Result<Loaded, Failure> {
    let overrides: Result<Vec<_>, _> = overrides.iter().map(|text| parse_override(text)).collect();
    let overrides =
        overrides.map_err(|error| Failure::new(error.to_string(), "for example --override port=9093"))?;
    Ok(BrokerConfig::load(sources(overrides))?)
}
