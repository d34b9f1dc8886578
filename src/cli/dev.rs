//! `gregor dev`: a real ZooKeeper as a child process and a broker in this one, for trying things out.
//!
//! Always holds: ZooKeeper outlives the broker, so that the broker stops cleanly; and it does not outlive this process.

mod zookeeper;

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::ExitCode;

use rustix::process::Signal;
use rustix::process::getppid;
use rustix::process::set_parent_process_death_signal;
use structopt::StructOpt;

use self::zookeeper::Installation;
use self::zookeeper::ZooKeeper;
use super::Failure;
use super::banner::banner;
use super::logging;
use super::runtime;
use super::serve;
use super::server::load;
use super::signals::Signals;
use crate::broker::config::Sources;

/// Runs a ZooKeeper and a broker, for trying things out
///
/// ZooKeeper is a real one, from Debian's package or from ZOOKEEPER_HOME. Both listen on this machine only and keep
/// their data in one directory, where a second run finds it. Ctrl-C stops both.
#[derive(Debug, StructOpt)]
pub(super) struct Dev {
    /// Where both keep their data.
    #[structopt(
        long,
        value_name = "directory",
        default_value = "./gregor-dev",
        parse(from_os_str)
    )]
    dir: PathBuf,
    /// The broker's port.
    #[structopt(long, default_value = "9092")]
    port: u16,
    /// ZooKeeper's port.
    #[structopt(long, value_name = "port", default_value = "2181")]
    zookeeper_port: u16,
    /// Change one setting of the broker; may be repeated.
    #[structopt(long = "override", value_name = "key=value", number_of_values = 1)]
    overrides: Vec<String>,
}

impl Dev {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        logging::start(tracing::Level::WARN);
        let installation = Installation::find()?;
        zookeeper::check_port(self.zookeeper_port)?;
        let mut overrides = broker_settings(&self.dir, self.port, self.zookeeper_port);
        overrides.extend(self.overrides);
        // Variables of a production broker have no business here.
        let sources = |overrides| Sources {
            overrides,
            ..Sources::default()
        };
        let loaded = load(sources, &overrides)?;
        runtime::block_on(loaded.config.worker_threads, async move {
            let mut signals = Signals::listen()?;
            let config = serve::prepare(loaded).await?;
            let directory = self.dir.join("zookeeper");
            // Started from this thread, which lives as long as the process: the child is told when it ends.
            let mut zookeeper = ZooKeeper::start(&installation, &directory, self.zookeeper_port)?;
            let ready = |summary: &_| {
                println!("{}", banner(summary));
                println!(
                    "Ctrl-C stops the broker and ZooKeeper; their data stays in {}",
                    self.dir.display()
                );
            };
            let served = Box::pin(serve::serve(config, &mut signals, ready, zookeeper.ended())).await;
            zookeeper.stop().await;
            served.map(|()| ExitCode::SUCCESS)
        })
    }
}

/// Settings of the broker that follow from where things are; whoever runs this may override them.
fn broker_settings(directory: &Path, port: u16, zookeeper_port: u16) -> Vec<String> {
    vec![
        format!("port={port}"),
        "host.name=127.0.0.1".to_owned(),
        "advertised.host.name=localhost".to_owned(),
        "metrics.listen=127.0.0.1:9308".to_owned(),
        format!("log.dirs={}", directory.join("broker").display()),
        format!("zookeeper.connect=localhost:{zookeeper_port}"),
        // It starts at the same time.
        "zookeeper.connection.timeout.ms=30000".to_owned(),
    ]
}

/// Becomes another program that ends when the process that started it does, however that ends
#[derive(Debug, StructOpt)]
pub(super) struct RunAsChild {
    /// The process that started this one.
    parent: i32,
    /// The program and its arguments.
    #[structopt(parse(from_os_str), required = true)]
    command: Vec<OsString>,
}

impl RunAsChild {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        set_parent_process_death_signal(Some(Signal::TERM)).map_err(|error| Failure::of(&error, None))?;
        if getppid().map(|parent| parent.as_raw_nonzero().get()) != Some(self.parent) {
            // It has ended before it could be watched.
            return Ok(ExitCode::FAILURE);
        }
        let mut words = self.command.into_iter();
        let program = words.next().unwrap_or_default();
        // Returns only if it went wrong.
        let error = Command::new(&program).args(words).exec();
        Err(Failure::new(
            format!("run {}: {error}", program.display()),
            "see that it can be executed",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_keep_their_data_in_one_directory_and_listen_on_this_machine_only() {
        let settings = broker_settings(Path::new("/d"), 9, 2);
        let loaded = load(
            |overrides| Sources {
                overrides,
                ..Sources::default()
            },
            &settings,
        )
        .unwrap();
        let config = loaded.config;
        assert_eq!(config.logs.directories, [PathBuf::from("/d/broker")]);
        assert_eq!(config.network.port, 9);
        assert_eq!(config.network.host.as_deref(), Some("127.0.0.1"));
        assert_eq!(config.zookeeper.connect, "localhost:2");
        assert_eq!(loaded.warnings, Vec::<String>::new());
    }
}
