//! The broker as a process of its own: its log lines and its memory can be looked at.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A broker that is killed when it is dropped.
pub(crate) struct ChildBroker {
    pub(crate) address: SocketAddr,
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    _data: TempDir,
}

impl ChildBroker {
    /// Starts a broker on an empty data directory, with `--override` for each of `settings`.
    pub(crate) fn start(settings: &[&str]) -> Self {
        let data = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_fluxmq"));
        // The system chooses the port: one that is looked for beforehand may be another test's by the time it is bound.
        command.args(["--host", "127.0.0.1", "--port", "0", "--data-dir"]).arg(data.path());
        for setting in settings {
            command.args(["--override", setting]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = Arc::new(Mutex::new(Vec::new()));
        collect(child.stdout.take().unwrap(), &lines);
        collect(child.stderr.take().unwrap(), &lines);
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut broker = Self { address, child, lines, _data: data };
        let deadline = Instant::now() + Duration::from_secs(20);
        while !broker.lines_with("").iter().any(|line| line.starts_with("ready in ")) {
            assert!(Instant::now() < deadline, "not ready: {:#?}", broker.lines_with(""));
            thread::sleep(Duration::from_millis(10));
        }
        let told = &broker.lines_with("clients connect to PLAINTEXT://")[0];
        let (_, bound) = told.rsplit_once("listening on ").unwrap();
        broker.address = bound.trim_end_matches(')').parse().unwrap();
        broker
    }

    /// The lines printed so far that contain `text`.
    pub(crate) fn lines_with(&self, text: &str) -> Vec<String> {
        self.lines.lock().unwrap().iter().filter(|line| line.contains(text)).cloned().collect()
    }

    /// Number of lines so far.
    pub(crate) fn line_count(&self) -> usize {
        self.lines.lock().unwrap().len()
    }

    /// The lines that contain `text`, but for the first `before` of all lines, once there is one; none after ten seconds.
    pub(crate) fn await_lines_with(&self, text: &str, before: usize) -> Vec<String> {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let lines: Vec<String> = self.lines.lock().unwrap()[before..]
                .iter()
                .filter(|line| line.contains(text))
                .cloned()
                .collect();
            if !lines.is_empty() || Instant::now() > deadline {
                return lines;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Memory that isn't backed by files, in KiB.
    pub(crate) fn anonymous_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

impl Drop for ChildBroker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn collect(output: impl Read + Send + 'static, lines: &Arc<Mutex<Vec<String>>>) {
    let lines = Arc::clone(lines);
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            lines.lock().unwrap().push(line);
        }
    });
}
