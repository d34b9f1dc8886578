//! The `gregor` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    gregor::cli::run(std::env::args_os())
}
