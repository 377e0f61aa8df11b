"""What an idle broker costs: time to start, memory, processor, connections."""

import re
import socket
import time

from harness.broker import Broker
from harness.process import cpu_seconds, status_kib


def test_ready_in_a_blink_and_small(data_dir):
    with Broker(data_dir).start() as broker:
        ready_ms = int(re.search(r"ready in (\d+) ms", broker.log.read_text())[1])
        anonymous_mib = status_kib(broker.pid, "RssAnon") / 1024
        before = cpu_seconds(broker.pid)
        time.sleep(5)
        idle = (cpu_seconds(broker.pid) - before) / 5
        print(f"ready in {ready_ms} ms, RssAnon {anonymous_mib:.1f} MiB, idle {100 * idle:.2f} % of a core")
        assert ready_ms < 300
        assert anonymous_mib < 30
        assert idle < 0.01


def test_a_thousand_idle_connections(data_dir):
    with Broker(data_dir).start() as broker:
        before = status_kib(broker.pid, "VmRSS")
        # ApiVersions v0, so that each connection has been used once.
        ask = bytes.fromhex("0000000a" "0012" "0000" "00000001" "ffff")
        connections = []
        for _ in range(1000):
            connection = socket.create_connection(("127.0.0.1", broker.port))
            connection.sendall(ask)
            assert connection.recv(4096)
            connections.append(connection)
        time.sleep(1)
        grown_kib = status_kib(broker.pid, "VmRSS") - before
        print(f"1,000 idle connections: {grown_kib} KiB")
        assert grown_kib < 10 * 1024
        for connection in connections:
            connection.close()
