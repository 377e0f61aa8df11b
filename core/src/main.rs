//! FluxMQ's binary: the command line, the log's output, and the broker, or what is to be done instead of one.
#![forbid(unsafe_code)]

use std::fmt::Display;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use fluxmq::adopt;
use fluxmq::cli::{self, Cli, Command};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let started = Instant::now();
    let cli = Cli::try_parse().unwrap_or_else(|error| cli::exit(&error));
    match &cli.command {
        Some(Command::Log(command)) => return fluxmq::log_command::run(command),
        Some(Command::Adopt { dir }) => return adopt_dir(dir),
        None => {}
    }
    let launch = match cli.load(std::env::vars()) {
        Ok(launch) => launch,
        Err(error) => return refuse(&error),
    };
    let filter = EnvFilter::try_new(&launch.config.log_level).unwrap_or_else(|_| EnvFilter::new("info"));
    let stderr = std::io::stderr;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(stderr().is_terminal())
        .with_writer(stderr)
        .init();
    // The temporary directory of --ephemeral lives as long as the broker.
    let _temporary = launch.temporary;
    fluxmq::run::run(launch.config, started)
}

fn adopt_dir(dir: &Path) -> ExitCode {
    match adopt::adopt(dir) {
        Ok(report) => {
            // It is done, whether someone reads that or not.
            let _ = write!(std::io::stdout(), "{report}");
            ExitCode::SUCCESS
        }
        Err(error) => refuse(&error),
    }
}

fn refuse(error: &dyn Display) -> ExitCode {
    eprintln!("fluxmq: {error}");
    ExitCode::from(2)
}
