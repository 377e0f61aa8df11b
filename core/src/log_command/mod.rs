//! `fluxmq log`: what the files of logs hold, and what is wrong with them, for people.
//!
//! Only reads: it takes no lock and writes nothing, so it may be run beside a running broker or on a copy.

mod arguments;
mod dump;
mod text;
mod verify;

pub use arguments::{DumpArguments, LogCommand, VerifyArguments};

use std::process::ExitCode;

/// The exit code of paths that can't be read. Clap has the same for a command line that can't be.
const EXIT_UNREADABLE: u8 = 2;

/// Runs one of the commands; what it prints goes to standard output.
#[must_use]
pub fn run(command: &LogCommand) -> ExitCode {
    match command {
        LogCommand::Dump(arguments) => dump::run(arguments),
        LogCommand::Verify(arguments) => verify::run(arguments),
    }
}
