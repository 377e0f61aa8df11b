//! The process around a broker: signals, and how it ends.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::config::BrokerConfig;
use crate::fail_point;
use crate::server::{self, StartError};
use crate::startup;

/// The exit code of a configuration that is refused, and of anything else that keeps the broker from starting.
const EXIT_START: u8 = 2;
/// The exit code of a stop that came to no end: it took too long, a thread panicked, or a second signal came.
const EXIT_UNCLEAN: u8 = 1;
/// Signals this close to the first are not a second one.
const SAME_SIGNAL: Duration = Duration::from_millis(200);

/// Runs a broker until SIGTERM or SIGINT, and stops it: cleanly after the first signal, at once after a second.
/// `started` is when the process began, for the line that says how long the start took.
#[must_use]
pub fn run(config: BrokerConfig, started: Instant) -> ExitCode {
    let _armed = fail_point::arm();
    startup::log_notices(&config.notices);
    // Only signals are waited for here; the broker has its own threads.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_io().build() {
        Ok(runtime) => runtime,
        Err(error) => return refuse(&StartError::Io { what: "the runtime cannot be built", error }),
    };
    runtime.block_on(until_stopped(config, started))
}

/// Told on standard error whatever the log level, like a configuration that is refused.
fn refuse(error: &StartError) -> ExitCode {
    eprintln!("fluxmq: {error}");
    ExitCode::from(EXIT_START)
}

async fn until_stopped(config: BrokerConfig, started: Instant) -> ExitCode {
    let (mut terminate, mut interrupt) =
        match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
            (Ok(terminate), Ok(interrupt)) => (terminate, interrupt),
            (Err(error), _) | (_, Err(error)) => {
                return refuse(&StartError::Io { what: "signals cannot be waited for", error });
            }
        };
    // Apart, since a recovery may take long and a signal ends it at once.
    let start = tokio::task::spawn_blocking(move || server::start(config));
    let handle = tokio::select! {
        started = start => match started {
            Ok(Ok(handle)) => handle,
            Ok(Err(error)) => return refuse(&error),
            Err(_) => return ExitCode::from(EXIT_START),
        },
        _ = terminate.recv() => exit_now(),
        _ = interrupt.recv() => exit_now(),
    };
    startup::print_ready(handle.broker(), started);
    tokio::select! {
        _ = terminate.recv() => tracing::info!("SIGTERM: stopping"),
        _ = interrupt.recv() => tracing::info!("SIGINT: stopping"),
    }
    let (done, stopped) = tokio::sync::oneshot::channel();
    let stopping = std::thread::Builder::new().name("stop".into()).spawn(move || {
        let _ = done.send(handle.shutdown());
    });
    if let Err(error) = stopping {
        tracing::error!(%error, "the broker cannot be stopped in order");
        return ExitCode::from(EXIT_UNCLEAN);
    }
    tokio::select! {
        result = stopped => match result {
            Ok(Ok(())) => {
                tracing::info!("stopped");
                ExitCode::SUCCESS
            }
            Ok(Err(error)) => {
                tracing::error!("{error}");
                exit_now()
            }
            Err(_) => ExitCode::from(EXIT_UNCLEAN),
        },
        () = again(&mut terminate, &mut interrupt) => exit_now(),
    }
}

/// Waits for a further signal. One that comes along with the first is the same: `timeout` sends its signal to the
/// process and to its group.
async fn again(terminate: &mut Signal, interrupt: &mut Signal) {
    let first = Instant::now();
    loop {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        if first.elapsed() > SAME_SIGNAL {
            return;
        }
    }
}

/// Ends without waiting for threads that are still at work.
fn exit_now() -> ! {
    tracing::warn!("ends without a clean shutdown: logs are recovered at the next start");
    std::process::exit(i32::from(EXIT_UNCLEAN))
}
