"""Three brokers of one kind that copy from each other."""

import shutil

import wire
from processes import create_topic
from processes import topics
from processes import wait_until

SIZE = 3


class Cluster:
    """Brokers 0 to 2; broker 0 starts first, so that it is controller."""

    def __init__(self, kind, folder, zookeeper):
        self.name = kind.name
        self.folder = folder
        self.replicas = {}
        folder.mkdir()
        # A leader without the messages is none, however soon it is there.
        settings = {"unclean.leader.election.enable": "false"}
        self.brokers = [kind(folder / str(number), zookeeper, folder.name, number, **settings) for number in range(SIZE)]

    def start(self):
        for broker in self.brokers:
            broker.start()

    def remove(self):
        for broker in self.brokers:
            broker.remove()
        shutil.rmtree(self.folder)

    @property
    def port(self):
        """Of one that knows the others."""
        return self.brokers[0].port

    def cpu(self):
        """Seconds of CPU so far, of those that run."""
        return sum(broker.cpu() for broker in self.brokers)

    def peak_memory(self):
        """MiB since `reset_peak`, of all together."""
        return sum(broker.process.memory("VmHWM") for broker in self.brokers)

    def reset_peak(self):
        for broker in self.brokers:
            broker.process.reset_peak()

    def partitions(self, topic):
        """As many as its name ends in."""
        return self.brokers[0].partitions(topic)

    def create(self, topic, orders=None):
        """Creates a topic with three replicas of each partition, or with these in turn, and waits until all of them are there
        and led."""
        partitions = self.partitions(topic)
        if orders is None:
            arguments = ["--partitions", partitions, "--replication-factor", SIZE]
        else:
            each = (orders[number % len(orders)] for number in range(partitions))
            arguments = ["--replica-assignment", ",".join(":".join(map(str, order)) for order in each)]
        create_topic(self.brokers[0].zookeeper, topic, *arguments)
        self.replicas[topic] = len(orders[0]) if orders else SIZE

        def led():
            return sum(wire.led(broker.port, topic, partitions) for broker in self.brokers) == partitions

        wait_until(f"{self.name}: {topic} is led", led, 600)
        self.wait_until_copied(topic)

    def leaders(self, topic):
        """The leader's id by partition."""
        _, leaders = wire.leaders(wire.ask(self.port, wire.metadata([topic])))
        return {partition: leader for (_, partition), leader in leaders.items()}

    def ends(self, topic):
        """How far each broker has each partition."""
        request = wire.latest_offsets(topic, self.partitions(topic), wire.DEBUGGER)
        return [wire.ends(wire.ask(broker.port, request)) for broker in self.brokers]

    def wait_until_copied(self, topic):
        """Until all replicas are there and equal."""
        partitions = self.partitions(topic)

        def copied():
            found = [end for ends in self.ends(topic) for end in ends.items()]
            return len(found) == partitions * self.replicas[topic] and len(set(found)) == partitions

        wait_until(f"{self.name}: all replicas of {topic} are equal", copied, 600, 0.005)

    def wait_until_in_sync(self):
        """Until the in-sync replicas of every partition are all that it has."""
        asked = ["--describe", "--under-replicated-partitions"]
        wait_until(f"{self.name}: all replicas are in sync", lambda: not topics(self.brokers[0].zookeeper, *asked), 600)
