//! The command line, and how it, the environment and the file become one configuration: the defaults, then the
//! file, then the environment, then the flags.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand};
use tempfile::TempDir;

use crate::config::{BrokerConfig, ConfigFault, Origin, Settings};
use crate::config::{environment, listeners, properties};
use crate::log_command::LogCommand;

/// A Kafka-wire-compatible log broker.
#[derive(Debug, Default, Parser)]
#[command(name = "fluxmq", version, about, max_term_width = 100)]
#[command(args_conflicts_with_subcommands = true, disable_help_subcommand = true)]
pub struct Cli {
    /// What to do instead of serving.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// Port of the first listener [default: 9092].
    #[arg(long, value_name = "PORT")]
    pub port: Option<u16>,

    /// Host name or address of the first listener; 0.0.0.0 or :: for every address [default: localhost].
    #[arg(long, value_name = "HOST")]
    pub host: Option<String>,

    /// Addresses that clients are told: NAME://host:port, separated by commas.
    #[arg(long, value_name = "LIST")]
    pub advertised_listeners: Option<String>,

    /// Directory for topics and records [default: ./fluxmq-data].
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,

    /// File with settings, in the form and with the keys of Kafka's server.properties.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// One setting; may be given several times.
    #[arg(long = "override", value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,

    /// Keep the data in a temporary directory that is removed at exit, and sync nothing.
    #[arg(long, conflicts_with = "data_dir")]
    pub ephemeral: bool,

    /// error, warn, info, debug, trace, or a filter such as info,fluxmq::net=debug [default: info].
    #[arg(long, value_name = "LEVEL")]
    pub log_level: Option<String>,

    /// Accepted for compatibility; consumer groups are always served.
    #[arg(long)]
    pub enable_consumer_groups: bool,

    /// Longest time a stop may take, in seconds, or with a unit: 500ms, 30s, 2m [default: 30s].
    #[arg(long, value_name = "TIME", value_parser = parse_milliseconds)]
    pub shutdown_timeout: Option<u64>,
}

/// What the binary does besides serving.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Look at the files of logs, without changing them.
    #[command(subcommand)]
    Log(LogCommand),

    /// Make the data directory of a cleanly stopped Apache Kafka 4 node one that FluxMQ opens.
    ///
    /// The node is broker and controller of a cluster of one, with one log directory. Its logs and offsets stay as they
    /// are; what the cluster knows of topics, groups and producers is copied from its metadata log. What can't be
    /// adopted is left as it is, with exit status 2.
    Adopt {
        /// The directory: log.dirs of Kafka's server.properties.
        #[arg(value_name = "DIR")]
        dir: PathBuf,
    },
}

/// What the broker is to be started with.
#[derive(Debug)]
pub struct Launch {
    /// The configuration.
    pub config: BrokerConfig,
    /// The temporary data directory of `--ephemeral`; it is removed when this is dropped.
    pub temporary: Option<TempDir>,
}

/// Why there is nothing to start with.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// The configuration is refused.
    #[error(transparent)]
    Config(#[from] ConfigFault),
    /// The temporary directory cannot be made.
    #[error("--ephemeral: the temporary directory cannot be made: {0}")]
    Temporary(std::io::Error),
}

impl Cli {
    /// Puts the configuration together.
    ///
    /// # Errors
    /// See [`LaunchError`].
    pub fn load(
        &self,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Launch, LaunchError> {
        let mut settings = Settings::default();
        if let Some(path) = &self.config {
            properties::read_file(path, &mut settings)?;
        }
        environment::read(environment, &mut settings);
        let temporary = match self.ephemeral {
            true => {
                Some(tempfile::Builder::new().prefix("fluxmq-").tempdir().map_err(LaunchError::Temporary)?)
            }
            false => None,
        };
        if let Some(dir) = &temporary {
            settings.set("log.dirs", dir.path().to_string_lossy(), Origin::Flag("--ephemeral"));
            settings.set("log.flush.policy", "never", Origin::Flag("--ephemeral"));
        }
        self.add_flags(&mut settings)?;
        Ok(Launch { config: BrokerConfig::from_settings(settings)?, temporary })
    }

    fn add_flags(&self, settings: &mut Settings) -> Result<(), ConfigFault> {
        if let Some(dir) = &self.data_dir {
            settings.set("log.dirs", dir.to_string_lossy(), Origin::Flag("--data-dir"));
        }
        if let Some(level) = &self.log_level {
            settings.set("log.level", level, Origin::Flag("--log-level"));
        }
        if let Some(timeout_ms) = self.shutdown_timeout {
            settings.set("shutdown.timeout.ms", timeout_ms.to_string(), Origin::Flag("--shutdown-timeout"));
        }
        if let Some(advertised) = &self.advertised_listeners {
            settings.set("advertised.listeners", advertised, Origin::Flag("--advertised-listeners"));
        }
        for text in &self.overrides {
            match text.split_once('=').map(|(key, value)| (key.trim(), value.trim())) {
                Some((key, value)) if !key.is_empty() => {
                    settings.set(key, value, Origin::Flag("--override"));
                }
                _ => return Err(ConfigFault::Override(text.clone())),
            }
        }
        let host = self.host.as_deref().map(|host| host.trim_matches(['[', ']']));
        // Every IPv6 and IPv4 address, as an empty host means in Kafka.
        let host = host.map(|host| if host == IpAddr::from([0u16; 8]).to_string() { "" } else { host });
        listeners::complete(settings, host, self.port);
        Ok(())
    }
}

/// Ends the process over a command line that cannot be read, or that asked for help or the version. A wrong value is
/// told in one line, like every wrong setting.
pub fn exit(error: &clap::Error) -> ! {
    if error.kind() == clap::error::ErrorKind::ValueValidation {
        let text = error.to_string();
        let line = text.lines().next().unwrap_or_default();
        eprintln!("fluxmq: {}", line.trim_start_matches("error: "));
        std::process::exit(error.exit_code());
    }
    error.exit()
}

fn parse_milliseconds(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit_ms = match &text[digits.len()..] {
        "ms" => 1,
        "" | "s" => 1000,
        "m" => 60_000,
        _ => return Err("allowed: a whole number of seconds, or with a unit: 500ms, 30s, 2m".into()),
    };
    let number: Option<u64> = digits.parse().ok();
    number
        .and_then(|number| number.checked_mul(unit_ms))
        .filter(|millis| i64::try_from(*millis).is_ok())
        .ok_or_else(|| "allowed: a whole number of seconds, or with a unit: 500ms, 30s, 2m".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{FlushPolicy, host_and_port};

    fn launch(args: &[&str], environment: &[(&str, &str)]) -> Result<Launch, LaunchError> {
        let cli = Cli::try_parse_from(std::iter::once("fluxmq").chain(args.iter().copied())).unwrap();
        cli.load(environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    }

    fn addresses(args: &[&str], environment: &[(&str, &str)]) -> Vec<String> {
        let listeners = launch(args, environment).unwrap().config.listeners;
        let shown = listeners.iter().map(|listener| {
            let bind = host_and_port(&listener.host, listener.port);
            format!("{bind} {}", host_and_port(&listener.advertised_host, listener.advertised_port))
        });
        shown.collect()
    }

    #[test]
    fn the_usual_command_line() {
        let args = ["--port", "9092", "--enable-consumer-groups", "--log-level", "info"];
        let config = launch(&args, &[]).unwrap().config;
        assert_eq!(config.listeners[0].port, 9092);
        assert_eq!(config.notices, []);
    }

    #[test]
    fn commands_stand_alone() {
        let parse =
            |args: &[&str]| Cli::try_parse_from(std::iter::once("fluxmq").chain(args.iter().copied()));
        assert!(parse(&[]).unwrap().command.is_none());
        let verify = parse(&["log", "verify", "a", "b"]).unwrap().command;
        assert!(matches!(verify, Some(Command::Log(LogCommand::Verify(v))) if v.paths.len() == 2));
        for args in [&["--port", "1", "log", "verify", "a"][..], &["log"], &["log", "dump"], &["x"]] {
            assert_eq!(parse(args).unwrap_err().exit_code(), 2, "{args:?}");
        }
    }

    #[test]
    fn a_directory_is_adopted_by_its_name_alone() {
        let parse =
            |args: &[&str]| Cli::try_parse_from(std::iter::once("fluxmq").chain(args.iter().copied()));
        let cli = parse(&["adopt", "/data"]).unwrap();
        assert!(matches!(cli.command, Some(Command::Adopt { dir }) if dir == *"/data"));
        assert!(parse(&["--port", "9092"]).unwrap().command.is_none());
        for refused in [
            &["adopt"][..],
            &["adopt", "/data", "--port", "1"],
            &["--port", "1", "adopt", "/data"],
            &["help"],
        ] {
            assert!(parse(refused).is_err(), "{refused:?}");
        }
    }

    #[test]
    fn flags_win_over_environment_over_file_over_defaults() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("server.properties");
        std::fs::write(&path, "num.partitions=2\nfetch.max.bytes=2000\nmessage.max.bytes=2\n").unwrap();
        let file = path.to_str().unwrap();
        let environment = [
            ("KAFKA_NUM_PARTITIONS", "3"),
            ("KAFKA_FETCH_MAX_BYTES", "3000"),
            ("FLUXMQ_NUM_PARTITIONS", "4"),
        ];
        let config =
            launch(&["--config", file, "--override", "num.partitions=5"], &environment).unwrap().config;
        assert_eq!(config.num_partitions, 5);
        assert_eq!(config.fetch_max_bytes, 3000);
        assert_eq!(config.topic_defaults.max_message_bytes, 2);
        let config = launch(&["--config", file], &environment).unwrap().config;
        assert_eq!(config.num_partitions, 4);
        assert_eq!(config.max_connections, i32::MAX);
    }

    #[test]
    fn host_and_port_change_the_first_listener() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("server.properties");
        let stock = "listeners=CONTROLLER://:9093,PLAINTEXT://:9092\ncontroller.listener.names=CONTROLLER\n\
                     advertised.listeners=PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093\n";
        std::fs::write(&path, stock).unwrap();
        let file = path.to_str().unwrap();
        let cases: &[(&[&str], &[&str])] = &[
            (&[], &["localhost:9092 localhost:9092"]),
            (&["--port", "1"], &["localhost:1 localhost:1"]),
            (&["--host", "::1", "--port", "1"], &["[::1]:1 [::1]:1"]),
            (&["--host", "[::1]"], &["[::1]:9092 [::1]:9092"]),
            (&["--config", file, "--port", "1"], &[":1 localhost:1"]),
            (&["--config", file, "--host", "127.0.0.1"], &["127.0.0.1:9092 localhost:9092"]),
            (
                &["--config", file, "--port", "1", "--advertised-listeners", "PLAINTEXT://x:9092"],
                &[":1 x:9092"],
            ),
            (&["--host", "0.0.0.0", "--advertised-listeners", "PLAINTEXT://x:7"], &["0.0.0.0:7 x:7"]),
            (&["--host", "::", "--advertised-listeners", "PLAINTEXT://x:7"], &[":7 x:7"]),
            (&["--advertised-listeners", "PLAINTEXT://x:7"], &[":7 x:7"]),
            (&["--advertised-listeners", "PLAINTEXT://localhost:7"], &["localhost:7 localhost:7"]),
        ];
        for (args, expected) in cases {
            assert_eq!(addresses(args, &[]), *expected, "{args:?}");
        }
        // In a container the port is published to the host, whose clients are told "localhost".
        let advertised = [("KAFKA_ADVERTISED_LISTENERS", "PLAINTEXT://localhost:9092")];
        assert_eq!(addresses(&[], &advertised), [":9092 localhost:9092"]);
    }

    #[test]
    fn ephemeral_data_goes_with_the_launch_and_is_not_synced() {
        let launch = launch(&["--ephemeral"], &[("FLUXMQ_LOG_FLUSH_POLICY", "always")]).unwrap();
        let dir = launch.config.log_dirs[0].clone();
        assert!(dir.is_dir());
        assert_eq!(launch.config.log_flush_policy, FlushPolicy::Never);
        drop(launch);
        assert!(!dir.exists());
        let kept =
            super::tests::launch(&["--ephemeral", "--override", "log.flush.policy=acks"], &[]).unwrap();
        assert_eq!(kept.config.log_flush_policy, FlushPolicy::Acks);
    }

    #[test]
    fn faults_name_the_source() {
        let line =
            |args: &[&str], environment: &[(&str, &str)]| launch(args, environment).unwrap_err().to_string();
        assert_eq!(
            line(&[], &[("KAFKA_NUM_PARTITIONS", "x")]),
            "num.partitions=x (environment variable KAFKA_NUM_PARTITIONS): Not a number of type INT; allowed: an integer from 1 to 2147483647"
        );
        assert_eq!(
            line(&["--override", "num.partitions"], &[]),
            "--override num.partitions: allowed: key=value"
        );
        assert_eq!(
            line(&["--log-level", "loud"], &[]),
            "log.level=loud (--log-level): no such level; allowed: off, error, warn, info, debug, trace, or a filter such as info,fluxmq::net=debug"
        );
    }

    #[test]
    fn shutdown_timeouts() {
        for (text, millis) in [("30", 30_000), ("30s", 30_000), ("500ms", 500), ("2m", 120_000), ("0", 0)] {
            assert_eq!(parse_milliseconds(text), Ok(millis));
        }
        for text in ["", "s", "-1", "1h", "99999999999999999999", "9223372036854775807"] {
            assert!(parse_milliseconds(text).is_err(), "{text}");
        }
    }
}
