"""Requests of the 0.8 protocol, as far as the benchmark asks the brokers itself."""

import socket
import struct
import zlib

PRODUCE, FETCH, OFFSETS = 0, 1, 2
LATEST = -1


def string(text):
    raw = text.encode()
    return struct.pack(">h", len(raw)) + raw


def frame(api, body):
    request = struct.pack(">hhi", api, 0, 1) + string("bench") + body
    return struct.pack(">i", len(request)) + request


def latest_offsets(topic, partitions):
    asked = b"".join(struct.pack(">iqi", partition, LATEST, 1) for partition in range(partitions))
    return frame(OFFSETS, struct.pack(">ii", -1, 1) + string(topic) + struct.pack(">i", partitions) + asked)


def produce(topic, partition, value):
    """One message, to be acknowledged by the leader."""
    message = struct.pack(">bbii", 0, 0, -1, len(value)) + value
    message = struct.pack(">I", zlib.crc32(message)) + message
    entry = struct.pack(">qi", 0, len(message)) + message
    body = struct.pack(">hii", 1, 10_000, 1) + string(topic) + struct.pack(">iii", 1, partition, len(entry)) + entry
    return frame(PRODUCE, body)


def waiting_fetch(topic, partition, offset, wait_ms):
    """A fetch that is answered when there is a message, or when the time is over."""
    body = struct.pack(">iiii", -1, wait_ms, 1, 1) + string(topic)
    return frame(FETCH, body + struct.pack(">iiqi", 1, partition, offset, 1 << 20))


def produce_error(answer):
    """The error code of the one partition in an answer to `produce`."""
    (length,) = struct.unpack_from(">h", answer, 8)
    return struct.unpack_from(">h", answer, 8 + 2 + length + 4 + 4)[0]


def ask(port, request):
    """Sends a request over a connection of its own; the answer without its length."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(request)
        return receive(connection, struct.unpack(">i", receive(connection, 4))[0])


def receive(connection, size):
    got = bytearray()
    while len(got) < size:
        part = connection.recv(size - len(got))
        if not part:
            raise ConnectionError("the broker closed the connection")
        got += part
    return bytes(got)


def led(port, topic, partitions):
    """How many partitions of a topic the broker leads and answers for."""
    answer = ask(port, latest_offsets(topic, partitions))
    at = 4 + 4 + 2 + len(topic.encode())
    (count,) = struct.unpack_from(">i", answer, at)
    at += 4
    sound = 0
    for _ in range(count):
        error, offsets = struct.unpack_from(">hi", answer, at + 4)
        sound += error == 0
        at += 10 + 8 * offsets
    return sound
