"""What is measured: groups of rows, each run against one broker, each giving numbers by metric."""

import time
from statistics import fmean

import wire
from processes import Client
from processes import confined
from processes import settle

#: Unit and whether more of it is better, by metric.
METRICS = {
    "messages/s": True,
    "MB/s": True,
    "requests/s": True,
    "broker CPU µs/message": False,
    "client CPU µs/message": False,
    "peak memory MiB": False,
    "memory MiB": False,
    "p50 µs": False,
    "p99 µs": False,
    "p99.9 µs": False,
    "port open ms": False,
    "started ms": False,
    "serving ms": False,
    "stopped ms": False,
    "CPU %": False,
    "GiB/s": True,
    "MiB": False,
    "brokers' CPU µs/message": False,
    "brokers' peak memory MiB": False,
    "follower lag p50 ms": False,
    "follower lag p99 ms": False,
    "without leaders ms": False,
}
#: What each partition holds before a start.
MESSAGES_AT_REST = 1000
#: Bytes of a value, and how many messages of them take seconds.
SIZES = [(100, 5_000_000), (1024, 1_500_000)]
#: What a message takes besides its value, and what else a broker writes for it, at most.
OVERHEAD = 40
#: Requests per second, and how many of them: of fewer, the slowest thousandth is a matter of luck.
PACES = [(1000, 20_000), (10_000, 100_000)]
PERCENTILES = ["p50 µs", "p99 µs", "p99.9 µs"]


def many(size, partitions):
    """The row of a topic with many partitions."""
    return f"produce {size} B, {partitions:,} partitions"


def beside(size, partitions):
    """The row that it is compared with."""
    return f"produce {size} B, 8 partitions beside {partitions:,}"


def on_one(row):
    """The row with the broker and its client on one processor."""
    return f"{row}, on 1 processor"


class Scaled:
    """`record(row, metric, value)` takes what was found; counts are multiplied by `scale`."""

    def __init__(self, scale, record):
        self.scale = scale
        self.record = record

    def count(self, messages, least=30_000):
        """As many as are asked for, scaled; less than the least is over before it can be measured."""
        return max(least, int(messages * self.scale))

    def seconds(self, seconds):
        return max(0.3, seconds * min(1, self.scale))


class Bench(Scaled):
    """A broker under load; no topic gets more than `most` partitions, and `quiet` is the processor with the fewest pauses."""

    def __init__(self, broker, scale, record, most, quiet):
        super().__init__(scale, record)
        self.broker = broker
        self.most = most
        self.quiet = quiet
        self.filled = set()

    def record_all(self, row, found):
        for metric, value in found.items():
            self.record(row, metric, value)

    def load(self, row, command, topic, size, messages, *settings):
        """A client that goes as fast as it can; what it found, by metric, which is recorded if there is a row."""
        self.broker.create(topic)
        partitions, process = self.broker.partitions(topic), self.broker.process
        settle(messages * (size + OVERHEAD) if command == "produce" else 0)
        process.reset_peak()
        spent = process.cpu()
        rate, client = Client.run(command, self.broker.port, topic, partitions, size, messages, *settings)
        spent = process.cpu() - spent
        found = {
            "messages/s": rate,
            "MB/s": rate * size / 1e6,
            "broker CPU µs/message": spent * 1e6 / messages,
            "client CPU µs/message": client,
            "peak memory MiB": process.memory("VmHWM"),
        }
        if row:
            self.record_all(row, found)
        return found

    def warm_up(self):
        """The reference is slow until its code is compiled."""
        self.load(None, "produce", "warm-8", 100, self.count(2_000_000))
        self.load(None, "consume", "warm-8", 100, self.count(2_000_000))

    def produce(self):
        for size, messages in SIZES:
            topic = f"of-{size}-bytes-8"
            self.load(f"produce {size} B, 8 partitions", "produce", topic, size, self.count(messages))
            self.filled.add(topic)

    def consume(self):
        for size, messages in SIZES:
            topic = f"of-{size}-bytes-8"
            if topic not in self.filled:
                self.load(None, "produce", topic, size, self.count(messages))
            self.load(f"consume {size} B, 8 partitions", "consume", topic, size, self.count(messages))

    def codecs(self):
        for codec, messages in [("gzip", 2_000_000), ("snappy", 4_000_000), ("lz4", 4_000_000)]:
            compressed = f"compression.codec={codec}"
            self.load(f"produce 100 B, {codec}, equal values", "produce", f"{codec}-8", 100, self.count(messages),
                      compressed)
            self.load(f"produce 100 B, {codec}, log lines", "produce", f"{codec}-log-8", 100,
                      self.count(messages // 2), compressed, "values=log")

    def latency(self):
        """One message a request; the rates that one connection is offered. On one processor also: the slowest thousandth says
        more of the machine than of a broker where that takes a processor away for milliseconds."""
        for rate, messages in [*PACES, (30_000, 150_000)]:
            self.pace(f"acknowledged, {rate:,} requests/s", "pace-1", rate, messages)
        with confined(self.broker.process.pid, self.quiet):
            for rate, messages in PACES:
                self.pace(on_one(f"acknowledged, {rate:,} requests/s"), "pace-1", rate, messages)
        if self.broker.real:
            for rate, messages in PACES:
                self.pace(f"end to end, {rate:,} requests/s", "read-1", rate, messages, "read=true")

    def pace(self, row, topic, rate, messages, *settings):
        self.broker.create(topic)
        messages = self.count(messages, 200)
        settle(messages * (100 + OVERHEAD))
        spent = self.broker.process.cpu()
        found = Client.run("pace", self.broker.port, topic, rate, 100, messages, *settings)
        spent = self.broker.process.cpu() - spent
        for metric, value in zip(PERCENTILES, found[-3:]):
            self.record(row, metric, value)
        self.record(row, "broker CPU µs/message", spent * 1e6 / messages)

    def connections(self):
        topic = "many-connections-8"
        self.broker.create(topic)
        requests = b"".join(wire.produce(topic, partition, bytes(100)) for partition in range(8))
        self.ask(64, 4, requests, "64 connections, 1 request in flight each")

    def ask(self, connections, seconds, requests, row):
        process, seconds = self.broker.process, self.seconds(seconds)
        settle(256 << 20)
        spent = process.cpu()
        (rate, *percentiles), answer = Client.connections(self.broker.port, connections, seconds, requests)
        spent = process.cpu() - spent
        if not wire.accepted(answer):
            raise RuntimeError(f"{row}: refused: {answer.hex()}")
        self.record(row, "requests/s", rate)
        for metric, value in zip(PERCENTILES, percentiles):
            self.record(row, metric, value)
        self.record(row, "broker CPU µs/message", spent * 1e6 / (rate * seconds))

    def flush(self):
        """Every message is on disk before it is acknowledged."""
        if not self.broker.real:
            return
        for row, topic, connections in [("flushed, 1 connection, 1 message a request", "flush-1", 1),
                                        ("flushed, 64 connections to 1 partition", "flush-group-1", 64)]:
            self.broker.create(topic, ["flush.messages=1"])
            self.ask(connections, 3, wire.produce(topic, 0, bytes(100)), row)
        self.broker.create("flush-batches-1", ["flush.messages=1"])
        self.load("flushed, librdkafka's batches", "produce", "flush-batches-1", 100, self.count(500_000))

    def partitions(self):
        for partitions in sorted({min(number, self.most) for number in (256, 1000)}):
            self.many_partitions(partitions)

    def partitions10000(self):
        self.many_partitions(min(10_000, self.most))

    def many_partitions(self, partitions):
        """Beside a topic of 8 on the same broker at the same time: what new memory costs the kernel depends on what the
        machine did before. The means of two loads each, so that none has the advantage of its place."""
        topic, other = f"many-{partitions}", f"beside-{partitions}-8"
        for each in (topic, other):
            self.load(None, "produce", each, 100, self.broker.partitions(each) * 1000)  # until then, it has no files
        for size, messages in SIZES:
            found = {topic: [], other: []}
            for each in (other, topic, topic, other):
                found[each].append(self.load(None, "produce", each, size, self.count(messages)))
            for row, loads in [(many(size, partitions), found[topic]), (beside(size, partitions), found[other])]:
                self.record_all(row, {metric: fmean(load[metric] for load in loads) for metric in loads[0]})

    # What follows starts the broker itself.

    def start(self):
        """With an empty partition, then with many, then at rest with as many consumers that wait."""
        broker, row = self.broker, "start, 1 empty partition"
        broker.start()  # the first start also creates what all brokers share in ZooKeeper
        broker.create("empty-1")
        broker.stop()
        self.timed_start(row, "empty-1")
        self.rest()
        self.record(row, "memory MiB", broker.process.memory())
        partitions = min(1000, self.most)
        topic = f"rest-{partitions}"
        broker.create(topic)
        self.load(None, "produce", topic, 100, partitions * MESSAGES_AT_REST)
        broker.stop()
        row = f"start, {partitions:,} clean partitions"
        self.timed_start(row, topic)
        self.rest()
        self.record(row, "memory MiB", broker.process.memory())
        self.waiting_consumers(topic, partitions)
        self.record(row, "stopped ms", broker.stop() * 1000)

    def rest(self):
        time.sleep(self.seconds(3))

    def timed_start(self, row, topic):
        """Until it serves all partitions of a topic."""
        broker = self.broker
        port, started = broker.start()
        broker.wait_until_led(topic, 0.001)
        serving = time.monotonic() - broker.process.started
        for metric, seconds in [("port open ms", port), ("started ms", started), ("serving ms", serving)]:
            self.record(row, metric, seconds * 1000)
        return serving

    def waiting_consumers(self, topic, partitions):
        """Their waits are long (10 s), so that what is measured is mostly waiting."""
        process, seconds = self.broker.process, self.seconds(10)
        requests = b"".join(wire.waiting_fetch(topic, partition, MESSAGES_AT_REST, 10_000)
                            for partition in range(partitions))
        settling = self.seconds(5)
        with Client.connected(self.broker.port, partitions, settling + seconds + 1, requests):
            time.sleep(settling)
            spent, begun = process.cpu(), time.monotonic()
            time.sleep(seconds)
            share = (process.cpu() - spent) / (time.monotonic() - begun)
        self.record(f"{partitions:,} consumers waiting at {partitions:,} partitions", "CPU %", share * 100)

    def unclean(self):
        """Started on 10 GiB of logs that nobody closed."""
        broker, topic, message = self.broker, "unclean-8", 1024 + 26
        broker.start()
        broker.create(topic, ["segment.bytes=2000000000"])
        self.load(None, "produce", topic, 1024, self.count(10 * (1 << 30) / message))
        broker.kill()  # waiting for the end of its session is not recovery
        settle(0)  # neither is what was left to be written
        # What was flushed in time would not be checked.
        (broker.folder / "data/recovery-point-offset-checkpoint").unlink(missing_ok=True)
        size = sum(file.stat().st_size for file in broker.folder.glob(f"data/{topic}-*/*.log"))
        row = "start, 10 GiB unclean"
        self.record(row, "GiB/s", size / (1 << 30) / self.timed_start(row, topic))
