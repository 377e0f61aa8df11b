"""Record batches by hand: right ones, and wrong in exactly one place."""

import gzip
import struct
import time

_POLYNOMIAL = 0x82F63B78
_TABLE = []
for _n in range(256):
    for _ in range(8):
        _n = _n >> 1 ^ (_POLYNOMIAL if _n & 1 else 0)
    _TABLE.append(_n)

CODECS = {"none": 0, "gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def varint(value: int) -> bytes:
    value = value << 1 ^ value >> 63
    out = bytearray()
    while value & ~0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _sized(data: bytes | None) -> bytes:
    return varint(-1) if data is None else varint(len(data)) + data


def record(offset_delta: int, value: bytes | None, *, key: bytes | None = None, timestamp_delta: int = 0,
           headers: list[tuple[str, bytes]] = ()) -> bytes:
    body = b"\0" + varint(timestamp_delta) + varint(offset_delta) + _sized(key) + _sized(value) + varint(len(headers))
    for name, content in headers:
        body += _sized(name.encode()) + _sized(content)
    return varint(len(body)) + body


def batch(values: list[bytes | None] = (b"value",), *, timestamp: int | None = None, producer_id: int = -1,
          producer_epoch: int = -1, base_sequence: int = -1, attributes: int = 0, codec: str = "none",
          base_offset: int = 0, leader_epoch: int = -1, magic: int = 2, crc: int | None = None,
          count: int | None = None, last_offset_delta: int | None = None, length: int | None = None,
          max_timestamp: int | None = None, key: bytes | None = None, payload: bytes | None = None) -> bytes:
    """A batch of `values`; any named field overrides what it would rightly be."""
    timestamp = int(time.time() * 1000) if timestamp is None else timestamp
    if payload is None:
        payload = b"".join(record(i, v, key=key) for i, v in enumerate(values))
        if codec == "gzip":
            payload = gzip.compress(payload, mtime=0)
    tail = struct.pack(">hiqqqhii", attributes | CODECS[codec],
                       len(values) - 1 if last_offset_delta is None else last_offset_delta,
                       timestamp, timestamp if max_timestamp is None else max_timestamp,
                       producer_id, producer_epoch, base_sequence, len(values) if count is None else count) + payload
    head = struct.pack(">ibI", leader_epoch, magic, crc32c(tail) if crc is None else crc)
    size = len(head) + len(tail)
    return struct.pack(">qi", base_offset, size if length is None else length) + head + tail


def headers_of(data: bytes) -> list[dict]:
    """The batch headers in fetched records; what a comparison can hold on to."""
    batches, at = [], 0
    while len(data) - at >= 61:
        base_offset, length, leader_epoch, magic, _crc, attributes, last_delta, first_ts, max_ts, pid, epoch, seq, count = \
            struct.unpack_from(">qiibIhiqqqhii", data, at)
        if len(data) - at < 12 + length:
            break
        batches.append({"BaseOffset": base_offset, "Length": length, "LeaderEpoch": leader_epoch, "Magic": magic,
                        "Attributes": attributes, "LastOffsetDelta": last_delta, "FirstTimestamp": first_ts,
                        "MaxTimestamp": max_ts, "ProducerId": pid, "ProducerEpoch": epoch, "BaseSequence": seq,
                        "Count": count, "Payload": data[at + 61:at + 12 + length]})
        at += 12 + length
    return batches
