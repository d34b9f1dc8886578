"""What is measured of three brokers together: replication, and what becomes of the others when one is killed."""

import time

import lag
import wire
from processes import Client
from processes import settle
from processes import wait_until
from rows import OVERHEAD
from rows import PERCENTILES
from rows import Scaled

#: Bytes of a value, and how many messages of them take seconds.
SIZES = [(100, 2_000_000), (1024, 300_000)]
#: The row of a rate that both hold.
EVEN = "3 replicas, 1024 B, acks=-1, 20,000 messages/s"
#: Of each partition, but where there are many.
REPLICAS = 3
#: Partitions of each topic where there are many.
EACH = 1000


class ClusterBench(Scaled):
    """A cluster under load."""

    def __init__(self, cluster, scale, record):
        super().__init__(scale, record)
        self.cluster = cluster

    def replicated(self):
        """Three replicas; acknowledged by all, or by the leader alone, so that the followers have to keep up by themselves."""
        self.cluster.start()
        self.cluster.create("warm-8")
        self.load(None, "warm-8", 100, self.count(SIZES[0][1]), -1)
        for size, messages in SIZES:
            for acks in (-1, 1):
                topic = f"acks{acks}-{size}-bytes-8"
                self.cluster.create(topic)
                self.load(f"3 replicas, {size} B, acks={acks}", topic, size, self.count(messages), acks)
        self.lag_at_the_same_rate()
        # The reference keeps up with the first of these only.
        for rate, messages in [(100, 3000), (1000, 5000)]:
            self.pace(rate, self.count(messages, 200))

    def load(self, row, topic, size, messages, acks):
        cluster = self.cluster
        settle(REPLICAS * messages * (size + OVERHEAD))
        cluster.reset_peak()
        spent = cluster.cpu()
        with lag.watched(cluster, topic) as lags:
            rate, client = Client.run("produce", cluster.port, topic, cluster.partitions(topic), size, messages, f"acks={acks}")
        cluster.wait_until_copied(topic)
        spent = cluster.cpu() - spent
        if row:
            self.record(row, "messages/s", rate)
            self.record(row, "brokers' CPU µs/message", spent * 1e6 / messages)
            self.record(row, "client CPU µs/message", client)
            self.record_lags(row, lags)
            self.record(row, "brokers' peak memory MiB", cluster.peak_memory())

    def record_lags(self, row, lags):
        lags.sort()
        for share, metric in [(0.5, "follower lag p50 ms"), (0.99, "follower lag p99 ms")]:
            if lags:
                self.record(row, metric, lags[int(len(lags) * share)] * 1000)

    def lag_at_the_same_rate(self):
        """At full rate, what the producer may have under way (100,000 messages) waits where the bottleneck is: before a slow
        leader, or behind a fast one. So also at a rate that both hold, 100 requests/s."""
        topic, rate, size = "even-1", 20_000, 1024
        messages = self.count(5 * rate, rate)
        self.cluster.create(topic)
        settle(REPLICAS * messages * (size + OVERHEAD))
        with lag.watched(self.cluster, topic) as lags:
            Client.run("pace", self.cluster.port, topic, rate, size, messages, "acks=-1", "linger.ms=10")
        self.record_lags(EVEN, lags)

    def pace(self, rate, messages):
        """One message a request; the consumer gets what all replicas have."""
        topic = f"pace{rate}-1"
        self.cluster.create(topic)
        settle(REPLICAS * messages * (100 + OVERHEAD))
        found = Client.run("pace", self.cluster.port, topic, rate, 100, messages, "acks=-1", "read=true")
        for row, values in [("acknowledged", found[:3]), ("end to end", found[3:])]:
            for metric, value in zip(PERCENTILES, values):
                self.record(f"3 replicas, {row}, {rate:,} requests/s", metric, value)

    def failover(self):
        """All partitions are led by the one that is killed."""
        self.killed(1000, [(2, 0, 1), (2, 1, 0)], "")

    def failover2000(self):
        """Each broker leads a third: as `failover10000`, at a size that the reference can hold."""
        self.thirds(2_000)

    def failover10000(self):
        """Each broker leads a third."""
        self.thirds(10_000)

    def thirds(self, partitions):
        """Two replicas only: each takes two descriptors, and 20,000 is a common limit."""
        self.killed(partitions, [(0, 1), (1, 2), (2, 0)], "a third of ")

    def killed(self, partitions, orders, share):
        """Kills a leader, and then the controller when the leader is back."""
        partitions = self.count(partitions, 30)
        cluster = self.cluster
        cluster.start()
        topics = [f"led{first}-{min(EACH, partitions - first)}" for first in range(0, partitions, EACH)]
        for topic in topics:
            cluster.create(topic, orders)
        gone = cluster.brokers[2].kill()
        self.record(f"killed: leader of {share}{partitions:,} partitions", "without leaders ms", (self.served(topics, 1) - gone) * 1000)
        cluster.brokers[2].start()
        cluster.wait_until_in_sync()
        gone = cluster.brokers[0].kill()
        self.record(f"killed: controller of {partitions:,} partitions", "without leaders ms",
                    (self.served(topics, 1) - gone) * 1000)

    def served(self, topics, told_by):
        """Waits until every partition accepts a message where a broker says that its leader is; when that was."""
        port = self.cluster.brokers[told_by].port
        missing = {(topic, partition) for topic in topics for partition in range(self.cluster.partitions(topic))}

        def served():
            ports, leaders = wire.leaders(wire.ask(port, wire.metadata(topics)))
            for leader, broker in ports.items():
                asked = {}
                for topic, partition in missing:
                    if leaders.get((topic, partition)) == leader:
                        asked.setdefault(topic, []).append(partition)
                if asked:
                    missing.difference_update(produced(broker, asked))
            return not missing

        wait_until(f"{self.cluster.name}: every partition is led", served, 600, 0.01)
        return time.monotonic()


def produced(port, partitions):
    """Which of the partitions accept a message."""
    try:
        return wire.accepted(wire.ask(port, wire.produce_each(partitions, bytes(1))))
    except ConnectionError:
        return set()
