//! FluxMQ's binary: the command line, the log's output, and the broker.
#![forbid(unsafe_code)]

use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use fluxmq::cli::{self, Cli, Command};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let started = Instant::now();
    let cli = Cli::try_parse().unwrap_or_else(|error| cli::exit(&error));
    if let Some(Command::Log(command)) = &cli.command {
        return fluxmq::log_command::run(command);
    }
    let launch = match cli.load(std::env::vars()) {
        Ok(launch) => launch,
        Err(error) => {
            eprintln!("fluxmq: {error}");
            return ExitCode::from(2);
        }
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
