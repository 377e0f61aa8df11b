"""kcat as a person would use it at the shell."""

import json
import subprocess


def kcat(*words: str, stdin: str | None = None) -> str:
    done = subprocess.run(["kcat", *words], input=stdin, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, f"kcat {' '.join(words)}: {done.stderr}"
    return done.stdout


def test_what_is_produced_is_consumed(broker, topic):
    lines = [f"line {i}" for i in range(1000)]
    kcat("-b", broker.bootstrap, "-P", "-t", topic, stdin="\n".join(lines) + "\n")
    assert kcat("-b", broker.bootstrap, "-C", "-t", topic, "-o", "beginning", "-e", "-q").splitlines() == lines


def test_keys_headers_and_offsets_come_back(broker, topic):
    kcat("-b", broker.bootstrap, "-P", "-t", topic, "-K:", "-H", "a=1", "-H", "b=2", stdin="k1:v1\nk2:v2\n")
    out = kcat("-b", broker.bootstrap, "-C", "-t", topic, "-e", "-q", "-f", "%o %k %s %h\\n")
    assert out.splitlines() == ["0 k1 v1 a=1,b=2", "1 k2 v2 a=1,b=2"]


def test_metadata_names_the_broker_and_the_topic(broker, topic):
    kcat("-b", broker.bootstrap, "-P", "-t", topic, stdin="x\n")
    listing = json.loads(kcat("-b", broker.bootstrap, "-L", "-J"))
    assert [b["name"] for b in listing["brokers"]] == [f"localhost:{broker.port}"] or \
        [b["name"] for b in listing["brokers"]] == [broker.bootstrap]
    described = {t["topic"]: t for t in listing["topics"]}[topic]
    assert [p["partition"] for p in described["partitions"]] == [0]


def test_offset_by_time(broker, topic):
    kcat("-b", broker.bootstrap, "-P", "-t", topic, stdin="a\nb\nc\n")
    out = kcat("-b", broker.bootstrap, "-Q", "-t", f"{topic}:0:1")
    assert out.strip() == f"{topic} [0] offset 0"


def test_each_codec(broker, topic):
    for codec in ("none", "gzip", "snappy", "lz4", "zstd"):
        kcat("-b", broker.bootstrap, "-P", "-t", topic, "-z", codec, stdin="".join(f"{codec} {i}\n" for i in range(200)))
    lines = kcat("-b", broker.bootstrap, "-C", "-t", topic, "-e", "-q").splitlines()
    assert lines == [f"{codec} {i}" for codec in ("none", "gzip", "snappy", "lz4", "zstd") for i in range(200)]
