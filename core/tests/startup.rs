//! The broker as a process: what it takes from files, the environment and flags, what it says, and how it refuses.

#![allow(clippy::unwrap_used, clippy::type_complexity)]

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fluxmq::cli::Cli;
use fluxmq::config::{BrokerConfig, NoticeLevel, host_and_port};
use rustix::process::{Pid, Signal, kill_process};

/// What Kafka 4.3 ships in its config/server.properties.
const KAFKA_SERVER_PROPERTIES: &str = "\
process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=localhost:9093
listeners=PLAINTEXT://:9092,CONTROLLER://:9093
inter.broker.listener.name=PLAINTEXT
advertised.listeners=PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL
num.network.threads=3
num.io.threads=8
socket.send.buffer.bytes=102400
socket.receive.buffer.bytes=102400
socket.request.max.bytes=104857600
log.dirs=/tmp/kraft-combined-logs
num.partitions=1
num.recovery.threads.per.data.dir=1
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
log.retention.hours=168
log.segment.bytes=1073741824
log.retention.check.interval.ms=300000
";

/// A single node by the apache/kafka image.
const APACHE_CONTAINER: &[(&str, &str)] = &[
    ("CLUSTER_ID", "4L6g3nShT-eMCtK--X86sw"),
    ("KAFKA_NODE_ID", "1"),
    ("KAFKA_PROCESS_ROLES", "broker,controller"),
    (
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP",
        "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,PLAINTEXT_HOST:PLAINTEXT",
    ),
    ("KAFKA_ADVERTISED_LISTENERS", "PLAINTEXT_HOST://localhost:9092,PLAINTEXT://broker:19092"),
    ("KAFKA_CONTROLLER_QUORUM_VOTERS", "1@broker:29093"),
    ("KAFKA_LISTENERS", "CONTROLLER://:29093,PLAINTEXT_HOST://:9092,PLAINTEXT://:19092"),
    ("KAFKA_INTER_BROKER_LISTENER_NAME", "PLAINTEXT"),
    ("KAFKA_CONTROLLER_LISTENER_NAMES", "CONTROLLER"),
    ("KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR", "1"),
    ("KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS", "0"),
    ("KAFKA_TRANSACTION_STATE_LOG_MIN_ISR", "1"),
    ("KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR", "1"),
    ("KAFKA_LOG_DIRS", "/tmp/kraft-combined-logs"),
    ("KAFKA_HEAP_OPTS", "-Xmx1G -Xms1G"),
    ("KAFKA_LOG4J_ROOT_LOGLEVEL", "INFO"),
];

/// A single node by Confluent's image, made for three brokers.
const CONFLUENT_CONTAINER: &[(&str, &str)] = &[
    ("CLUSTER_ID", "MkU3OEVBNTcwNTJENDM2Qk"),
    ("CONFLUENT_METRICS_ENABLE", "false"),
    ("KAFKA_NODE_ID", "1"),
    ("KAFKA_BROKER_ID", "1"),
    ("KAFKA_PROCESS_ROLES", "broker,controller"),
    (
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP",
        "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,PLAINTEXT_HOST:PLAINTEXT",
    ),
    ("KAFKA_ADVERTISED_LISTENERS", "PLAINTEXT://broker:29092,PLAINTEXT_HOST://localhost:9092"),
    ("KAFKA_LISTENERS", "PLAINTEXT://broker:29092,CONTROLLER://broker:29093,PLAINTEXT_HOST://0.0.0.0:9092"),
    ("KAFKA_INTER_BROKER_LISTENER_NAME", "PLAINTEXT"),
    ("KAFKA_CONTROLLER_LISTENER_NAMES", "CONTROLLER"),
    ("KAFKA_CONTROLLER_QUORUM_VOTERS", "1@broker:29093"),
    ("KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR", "3"),
    ("KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR", "3"),
    ("KAFKA_TRANSACTION_STATE_LOG_MIN_ISR", "2"),
    ("KAFKA_CONFLUENT_LICENSE_TOPIC_REPLICATION_FACTOR", "1"),
    ("KAFKA_CONFLUENT_BALANCER_TOPIC_REPLICATION_FACTOR", "1"),
    ("KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS", "0"),
    ("KAFKA_JMX_PORT", "9101"),
    ("KAFKA_JMX_HOSTNAME", "localhost"),
    ("KAFKA_OPTS", "-Djava.security.manager=allow"),
    ("KAFKA_LOG4J_LOGGERS", "kafka.controller=INFO"),
    ("KAFKA_LOG_DIRS", "/tmp/kraft-combined-logs"),
];

fn loaded(cli: &Cli, environment: &[(&str, &str)]) -> BrokerConfig {
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    cli.load(environment).unwrap().config
}

fn addresses(config: &BrokerConfig) -> Vec<String> {
    let shown = config.listeners.iter().map(|listener| {
        let bind = host_and_port(&listener.host, listener.port);
        let told = host_and_port(&listener.advertised_host, listener.advertised_port);
        format!("{} {bind} {told}", listener.name)
    });
    shown.collect()
}

/// The notices above debug.
fn said(config: &BrokerConfig) -> Vec<&str> {
    let loud = config.notices.iter().filter(|notice| notice.level != NoticeLevel::Debug);
    loud.map(|notice| notice.text.as_str()).collect()
}

#[test]
fn kafkas_own_file_is_taken_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("server.properties");
    std::fs::write(&path, KAFKA_SERVER_PROPERTIES).unwrap();
    let config = loaded(&Cli { config: Some(path), ..Cli::default() }, &[]);
    assert_eq!(addresses(&config), ["PLAINTEXT :9092 localhost:9092"]);
    assert_eq!(config.log_dirs, [Path::new("/tmp/kraft-combined-logs")]);
    assert_eq!(config.num_network_threads, 3);
    assert_eq!(config.topic_defaults.segment_bytes, 1 << 30);
    let said = said(&config);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].ends_with("set advertised.listeners"), "{}", said[0]);
}

#[test]
fn the_variables_of_the_apache_image_are_taken_as_they_are() {
    let config = loaded(&Cli::default(), APACHE_CONTAINER);
    assert_eq!(addresses(&config), ["PLAINTEXT_HOST :9092 localhost:9092", "PLAINTEXT :19092 broker:19092"]);
    assert_eq!(config.cluster_id.as_deref(), Some("4L6g3nShT-eMCtK--X86sw"));
    let said = said(&config);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].ends_with("set advertised.listeners"), "{}", said[0]);
}

#[test]
fn the_variables_of_confluents_image_are_taken_as_they_are() {
    let config = loaded(&Cli::default(), CONFLUENT_CONTAINER);
    assert_eq!(
        addresses(&config),
        ["PLAINTEXT broker:29092 broker:29092", "PLAINTEXT_HOST 0.0.0.0:9092 localhost:9092"]
    );
    let said = said(&config);
    assert_eq!(said.len(), 2, "{said:?}");
    assert_eq!(
        said[0],
        "there is one broker; taken as 1: offsets.topic.replication.factor=3, transaction.state.log.min.isr=2, \
         transaction.state.log.replication.factor=3"
    );
}

/// A broker process; killed when a test fails.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts the binary in `dir` without the environment of the tests.
fn start(dir: &Path, args: &[&str], environment: &[(&str, &str)]) -> Process {
    let child = Command::new(env!("CARGO_BIN_EXE_fluxmq"))
        .args(args)
        .current_dir(dir)
        .env_clear()
        .envs(environment.iter().copied())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    Process(child)
}

impl Process {
    /// Standard output up to and with the line that says it is ready.
    fn until_ready(&mut self) -> String {
        let out = self.0.stdout.as_mut().unwrap();
        let mut text = Vec::new();
        let mut byte = [0];
        while out.read(&mut byte).unwrap() == 1 {
            text.push(byte[0]);
            if text.ends_with(b" ms\n") {
                return String::from_utf8(text).unwrap();
            }
        }
        let mut errors = String::new();
        self.0.stderr.as_mut().unwrap().read_to_string(&mut errors).unwrap();
        panic!("not ready: {}{errors}", String::from_utf8_lossy(&text));
    }

    /// The exit code and standard error, within ten seconds.
    fn ended(mut self) -> (i32, String) {
        let deadline = Instant::now() + Duration::from_secs(10);
        let status = loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "the process goes on");
            std::thread::sleep(Duration::from_millis(5));
        };
        let mut errors = String::new();
        self.0.stderr.as_mut().unwrap().read_to_string(&mut errors).unwrap();
        (status.code().unwrap(), errors)
    }

    fn stop(self) -> (i32, String) {
        kill_process(Pid::from_child(&self.0), Signal::TERM).unwrap();
        self.ended()
    }
}

const QUIET: &[&str] = &["--port", "0", "--override", "http.listener="];

#[test]
fn without_settings_it_serves_on_loopback_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let mut process = start(dir.path(), QUIET, &[]);
    let text = process.until_ready();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], concat!("FluxMQ ", env!("CARGO_PKG_VERSION")));
    assert!(lines[1].starts_with("cluster id ") && lines[1].ends_with(", node 1"), "{text}");
    let data = dir.path().canonicalize().unwrap().join("fluxmq-data");
    assert!(lines[2].starts_with("data directory /") && lines[2].ends_with("/fluxmq-data"), "{text}");
    assert!(data.is_dir());
    assert!(lines[3].starts_with("clients connect to PLAINTEXT://localhost:"), "{text}");
    assert!(lines[4].starts_with("ready in "), "{text}");
    let (code, errors) = process.stop();
    assert_eq!(code, 0, "{errors}");
    assert!(!errors.contains("WARN"), "{errors}");
}

#[test]
fn the_usual_command_line_with_kafkas_file_starts() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("server.properties"), KAFKA_SERVER_PROPERTIES).unwrap();
    let data = dir.path().join("data");
    let mut args = vec!["--config", "server.properties", "--data-dir", data.to_str().unwrap()];
    args.extend(["--enable-consumer-groups", "--log-level", "info"]);
    args.extend(QUIET);
    let mut process =
        start(dir.path(), &args, &[("KAFKA_HEAP_OPTS", "-Xmx1G"), ("KAFKA_LOG_RETENTIONS_MS", "5")]);
    let text = process.until_ready();
    assert!(text.contains("clients connect to PLAINTEXT://localhost:"), "{text}");
    let (code, errors) = process.stop();
    assert_eq!(code, 0, "{errors}");
    for line in [
        "unknown key log.retentions.ms (environment variable KAFKA_LOG_RETENTIONS_MS) is ignored; did you mean log.retention.ms?",
        "set advertised.listeners",
    ] {
        assert!(errors.contains(line), "{line}\n{errors}");
    }
    assert!(!errors.contains("--enable-consumer-groups"), "{errors}");
}

#[test]
fn an_ephemeral_directory_goes_at_exit() {
    let dir = tempfile::tempdir().unwrap();
    let temporary = dir.path().to_str().unwrap();
    let mut args = vec!["--ephemeral", "--log-level", "error"];
    args.extend(QUIET);
    let mut process = start(dir.path(), &args, &[("TMPDIR", temporary)]);
    let text = process.until_ready();
    let line = text.lines().find_map(|line| line.strip_prefix("data directory ")).unwrap();
    assert!(Path::new(line).is_dir() && line.starts_with(temporary), "{line}");
    assert_eq!(process.stop().0, 0);
    assert!(!Path::new(line).exists());
    assert!(!dir.path().join("fluxmq-data").exists());
}

#[test]
fn what_is_refused_ends_with_code_2_and_one_line() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("bad.properties"), "node.id=1\nlog.segment.bytes=10\n").unwrap();
    let cases: &[(&[&str], &[(&str, &str)], &str)] = &[
        (
            &["--config", "bad.properties"],
            &[],
            "fluxmq: log.segment.bytes=10 (bad.properties:2): Value must be at least 1048576; allowed: an integer from 1048576 to 2147483647\n",
        ),
        (
            &[],
            &[("FLUXMQ_LOG_FLUSH_POLICY", "sometimes")],
            "fluxmq: log.flush.policy=sometimes (environment variable FLUXMQ_LOG_FLUSH_POLICY): String must be one of: acks, always, interval, never; allowed: one of acks, always, interval, never\n",
        ),
        (&["--override", "x"], &[], "fluxmq: --override x: allowed: key=value\n"),
        (
            &["--port", "70000"],
            &[],
            "fluxmq: invalid value '70000' for '--port <PORT>': 70000 is not in 0..=65535\n",
        ),
        (
            &["--config", "none.properties"],
            &[],
            "fluxmq: --config none.properties: No such file or directory (os error 2)\n",
        ),
        (
            &["--override", "listeners=SSL://:9093"],
            &[],
            "fluxmq: listeners=SSL://:9093 (--override): SSL://:9093 needs SSL, which is not served yet; allowed: listeners whose security protocol is PLAINTEXT\n",
        ),
    ];
    for (args, environment, line) in cases {
        let (code, errors) = start(dir.path(), args, environment).ended();
        assert_eq!((code, errors.as_str()), (2, *line));
    }
    assert!(!dir.path().join("fluxmq-data").exists());
}

#[test]
fn a_data_directory_that_is_taken_or_too_new_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = start(dir.path(), QUIET, &[]);
    first.until_ready();
    let data = dir.path().join("fluxmq-data");
    let (code, errors) = start(dir.path(), QUIET, &[]).ended();
    assert_eq!(code, 2);
    assert!(errors.ends_with("fluxmq-data is in use by another process\n"), "{errors}");
    assert_eq!(errors.lines().count(), 1, "{errors}");
    assert_eq!(first.stop().0, 0);

    let path = data.join("meta.properties");
    let properties = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, properties.replace("version=1", "version=2")).unwrap();
    let (code, errors) = start(dir.path(), QUIET, &[]).ended();
    assert_eq!(code, 2);
    assert!(
        errors.ends_with("meta.properties has format version 2; this broker reads version 1\n"),
        "{errors}"
    );
}

#[test]
fn the_cluster_id_of_the_container_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let id = "4L6g3nShT-eMCtK--X86sw";
    for environment in [&[("CLUSTER_ID", id)][..], &[]] {
        let mut process = start(dir.path(), QUIET, environment);
        let text = process.until_ready();
        assert!(text.contains(&format!("cluster id {id}, node 1\n")), "{text}");
        assert_eq!(process.stop().0, 0);
    }
}

#[test]
fn the_version_is_told() {
    let output = Command::new(env!("CARGO_BIN_EXE_fluxmq")).arg("--version").output().unwrap();
    assert!(output.status.success());
    assert_eq!(
        String::from_utf8(output.stdout).unwrap(),
        concat!("fluxmq ", env!("CARGO_PKG_VERSION"), "\n")
    );
}
