//! The command line: arguments to library calls to printed results. One file per command.
//!
//! Whatever fails ends as a [`Failure`]: lines for a person, and a non-zero exit code.
#![allow(clippy::print_stdout, reason = "this is the program's output")]

mod arguments;
mod banner;
mod brokers;
mod check;
mod console_consumer;
mod console_producer;
mod dev;
mod failure;
mod lines;
mod logging;
mod runtime;
mod serve;
mod server;
mod signals;
mod topics;

use std::ffi::OsString;
use std::process::ExitCode;

use structopt::StructOpt;
use structopt::clap::AppSettings;

pub use self::failure::Failure;

/// The release, and whom it can stand in for.
const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (speaks Kafka 0.8.2)");

/// A message broker that takes the place of Apache Kafka 0.8.2 brokers.
#[derive(Debug, StructOpt)]
#[structopt(
    name = "gregor",
    version = VERSION,
    global_settings = &[AppSettings::VersionlessSubcommands, AppSettings::ColorNever, AppSettings::UnifiedHelpMessage],
    setting = AppSettings::SubcommandRequiredElseHelp,
    after_help = "A first message takes two commands:\n    gregor dev\n    echo hi | gregor console-producer --topic test"
)]
enum Command {
    Server(server::Server),
    Dev(dev::Dev),
    ConsoleProducer(console_producer::ConsoleProducer),
    ConsoleConsumer(console_consumer::ConsoleConsumer),
    Topics(topics::Topics),
    #[structopt(setting = AppSettings::Hidden)]
    RunAsChild(dev::RunAsChild),
}

/// Does what the arguments say; the first of them is the program's name.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let result = match arguments::parse(arguments) {
        Ok(arguments::Parsed::Command(command)) => command.run(),
        Ok(arguments::Parsed::Text(text)) => {
            println!("{text}");
            Ok(ExitCode::SUCCESS)
        }
        Err(failure) => Err(failure),
    };
    result.unwrap_or_else(|failure| {
        eprintln!("{failure}");
        ExitCode::FAILURE
    })
}

impl Command {
    fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Self::Server(command) => command.run(),
            Self::Dev(command) => command.run(),
            Self::ConsoleProducer(command) => command.run(),
            Self::ConsoleConsumer(command) => command.run(),
            Self::Topics(command) => command.run(),
            Self::RunAsChild(command) => command.run(),
        }
    }
}
