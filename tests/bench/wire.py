"""Requests of the 0.8 protocol, as far as the benchmark asks the brokers itself."""

import socket
import struct
import zlib

PRODUCE, FETCH, OFFSETS, METADATA = 0, 1, 2, 3
LATEST = -1
#: As whom offsets are asked for: a consumer is told by leaders alone, how far everybody has the messages; who debugs is
#: told by every broker what it has itself.
CONSUMER, DEBUGGER = -1, -2


def string(text):
    raw = text.encode()
    return struct.pack(">h", len(raw)) + raw


def frame(api, body):
    request = struct.pack(">hhi", api, 0, 1) + string("bench") + body
    return struct.pack(">i", len(request)) + request


def latest_offsets(topic, partitions, reader=CONSUMER):
    asked = b"".join(struct.pack(">iqi", partition, LATEST, 1) for partition in range(partitions))
    return frame(OFFSETS, struct.pack(">ii", reader, 1) + string(topic) + struct.pack(">i", partitions) + asked)


def produce(topic, partition, value):
    """One message, to be acknowledged by the leader."""
    return produce_each({topic: [partition]}, value)


def produce_each(partitions, value):
    """One message to each of these partitions, by topic, to be acknowledged by the leader."""
    message = struct.pack(">bbii", 0, 0, -1, len(value)) + value
    message = struct.pack(">I", zlib.crc32(message)) + message
    entry = struct.pack(">qi", 0, len(message)) + message
    body = struct.pack(">hii", 1, 10_000, len(partitions))
    for topic, numbers in partitions.items():
        sets = b"".join(struct.pack(">ii", number, len(entry)) + entry for number in numbers)
        body += string(topic) + struct.pack(">i", len(numbers)) + sets
    return frame(PRODUCE, body)


def metadata(topics):
    return frame(METADATA, struct.pack(">i", len(topics)) + b"".join(map(string, topics)))


def waiting_fetch(topic, partition, offset, wait_ms):
    """A fetch that is answered when there is a message, or when the time is over."""
    body = struct.pack(">iiii", -1, wait_ms, 1, 1) + string(topic)
    return frame(FETCH, body + struct.pack(">iiqi", 1, partition, offset, 1 << 20))


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


class Answer:
    """An answer, read from front to back."""

    def __init__(self, raw):
        self.raw = raw
        self.at = 4  # after the number of the request

    def take(self, layout):
        values = struct.unpack_from(layout, self.raw, self.at)
        self.at += struct.calcsize(layout)
        return values

    def count(self):
        return self.take(">i")[0]

    def string(self):
        (length,) = self.take(">h")
        self.at += length
        return self.raw[self.at - length:self.at].decode()


def ends(raw):
    """In an answer to `latest_offsets`: the offset by partition, of those without an error."""
    answer, found = Answer(raw), {}
    for _ in range(answer.count()):
        answer.string()
        for _ in range(answer.count()):
            partition, error, offsets = answer.take(">ihi")
            offsets = answer.take(f">{offsets}q")
            if error == 0 and offsets:
                found[partition] = offsets[0]
    return found


def leaders(raw):
    """In an answer to `metadata`: the port of each broker by its id, and the leader's id by topic and partition."""
    answer, ports, found = Answer(raw), {}, {}
    for _ in range(answer.count()):
        broker = answer.count()
        answer.string()
        ports[broker] = answer.count()
    for _ in range(answer.count()):
        answer.take(">h")
        topic = answer.string()
        for _ in range(answer.count()):
            _, partition, leader, replicas = answer.take(">hiii")
            answer.take(f">{replicas}i")
            answer.take(f">{answer.count()}i")
            found[topic, partition] = leader
    return ports, found


def accepted(raw):
    """In an answer to `produce_each`: topic and number of the partitions without an error."""
    answer, found = Answer(raw), set()
    for _ in range(answer.count()):
        topic = answer.string()
        for _ in range(answer.count()):
            partition, error, _ = answer.take(">ihq")
            if error == 0:
                found.add((topic, partition))
    return found


def led(port, topic, partitions):
    """How many partitions of a topic the broker leads and answers for."""
    return len(ends(ask(port, latest_offsets(topic, partitions))))
