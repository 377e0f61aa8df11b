//! The broker, or this program again as a bare loop.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fluxmq_benches::figures::BrokerProcess;
use fluxmq_benches::wire::frame;
use fluxmq_protocol::messages::ApiVersionsRequest;

use crate::Options;

/// The broker, or this program again as a bare loop.
pub(crate) struct Server {
    process: Child,
    port: u16,
    /// Whether it is the broker.
    pub(crate) is_broker: bool,
}

impl Server {
    /// Starts the broker, or the bare loop that is named.
    pub(crate) fn start(options: &Options, bare: Option<&str>) -> Server {
        let is_broker = bare.is_none();
        let port = options.port + u16::from(is_broker);
        let mut command = if let Some(role) = bare {
            let mut command = Command::new(std::env::current_exe().expect("it runs"));
            command.arg(format!("role={role}")).arg(format!("dir={}", options.dir.display()));
            command.arg(format!("port={port}")).arg(format!("gb={}", options.bytes / 1_000_000_000));
            command
        } else {
            let mut command = Command::new(&options.broker);
            command.arg("--data-dir").arg(options.dir.join("data")).args(["--port", &port.to_string()]);
            command.args(["--override", "http.listener=", "--log-level", "warn"]);
            command
        };
        let process = command.stdout(Stdio::null()).spawn().expect("a server that can be started");
        Server { process, port, is_broker }
    }

    /// A connection, as soon as it listens.
    pub(crate) fn connect(&self) -> TcpStream {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            if let Ok(stream) = TcpStream::connect(("127.0.0.1", self.port)) {
                stream.set_nodelay(true).expect("a socket option");
                return stream;
            }
            assert!(Instant::now() < deadline, "the server does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// CPU time of the process so far, to the system's 10 ms.
    pub(crate) fn cpu_us(&self) -> f64 {
        BrokerProcess::of(&self.process).cpu_s() * 1e6
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().expect("it runs");
        self.process.wait().expect("it ends");
    }
}

/// Reads one response to its end and gives its length.
pub(crate) fn receive(stream: &mut TcpStream, buffer: &mut [u8]) -> usize {
    let mut prefix = [0; 4];
    stream.read_exact(&mut prefix).expect("an answer");
    let length = u32::from_be_bytes(prefix) as usize;
    let mut left = length;
    while left > 0 {
        let room = left.min(buffer.len());
        let received = stream.read(&mut buffer[..room]).expect("an answer");
        assert!(received > 0, "the server closed the connection");
        left -= received;
    }
    length
}

/// Waits until the server has seen everything that was sent before on the connection.
pub(crate) fn settle(stream: &mut TcpStream) {
    stream.write_all(&frame(0, &ApiVersionsRequest::default())).expect("a server");
    receive(stream, &mut [0; 4096]);
}
