//! What is said at start: the version, the cluster, the data directory, the addresses that clients are told, and what
//! is to be known about the configuration.

use std::io::Write;
use std::time::Instant;

use crate::broker::Broker;
use crate::config::{Notice, NoticeLevel, host_and_port};

/// Logs the lines about the configuration that were kept until the log was open.
pub fn log_notices(notices: &[Notice]) {
    for notice in notices {
        match notice.level {
            NoticeLevel::Warn => tracing::warn!("{}", notice.text),
            NoticeLevel::Info => tracing::info!("{}", notice.text),
            NoticeLevel::Debug => tracing::debug!("{}", notice.text),
        }
    }
}

/// Prints what people and scripts wait for, whatever the log level: the broker takes connections now. `started` is when
/// the process began.
pub fn print_ready(broker: &Broker, started: Instant) {
    let text = format!("{}ready in {} ms\n", description(broker), started.elapsed().as_millis());
    // A closed standard output is no reason not to serve.
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes());
    let _ = out.flush();
}

fn description(broker: &Broker) -> String {
    let dirs: Vec<String> =
        broker.partitions.dirs().iter().map(|dir| dir.log_dir().path().display().to_string()).collect();
    let what = if dirs.len() == 1 { "data directory" } else { "data directories" };
    let mut text = format!(
        "FluxMQ {}\ncluster id {}, node {}\n{what} {}\n",
        env!("CARGO_PKG_VERSION"),
        broker.cluster_id,
        broker.config.node_id,
        dirs.join(", ")
    );
    for listener in &broker.listeners {
        let bound: Vec<String> = listener.bound.iter().map(ToString::to_string).collect();
        let told = host_and_port(&listener.advertised_host, listener.advertised_port);
        text +=
            &format!("clients connect to {}://{told} (listening on {})\n", listener.name, bound.join(", "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::BrokerConfig;

    #[test]
    fn the_description_names_the_port_that_was_bound() {
        let dir = tempfile::tempdir().unwrap();
        let handle = crate::server::start(BrokerConfig::for_tests(dir.path())).unwrap();
        let text = description(handle.broker());
        let port = handle.addr().port();
        assert!(text.starts_with(concat!("FluxMQ ", env!("CARGO_PKG_VERSION"), "\ncluster id ")), "{text}");
        let line =
            format!("clients connect to PLAINTEXT://127.0.0.1:{port} (listening on 127.0.0.1:{port})\n");
        assert!(text.ends_with(&line), "{text}");
        assert!(text.contains(&format!("data directory {}\n", dir.path().display())), "{text}");
        handle.shutdown().unwrap();
    }
}
