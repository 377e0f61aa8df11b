//! FluxMQ's binary: the command line, the log's output, and the broker.
#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser;
use fluxmq::cli::Cli;
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let launch = match Cli::parse().load(std::env::vars()) {
        Ok(launch) => launch,
        Err(error) => {
            eprintln!("fluxmq: {error}");
            return ExitCode::from(2);
        }
    };
    let filter = EnvFilter::try_new(&launch.config.log_level).unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    // The temporary directory of --ephemeral lives as long as the broker.
    let _temporary = launch.temporary;
    fluxmq::run::run(launch.config)
}
