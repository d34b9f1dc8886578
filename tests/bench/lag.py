"""How long followers lag behind their leaders, seen from outside."""

import socket
import struct
import threading
import time
from bisect import bisect_right
from contextlib import contextmanager

import wire

#: Seconds between two looks.
STEP = 0.005


class Looks:
    """When one broker had what, while a load is on."""

    def __init__(self, port, request):
        self.times = []
        self.ends = []
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.look, args=(port, request))

    def look(self, port, request):
        with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
            while not self.over.wait(STEP):
                asked = time.monotonic()
                connection.sendall(request)
                answer = wire.receive(connection, struct.unpack(">i", wire.receive(connection, 4))[0])
                self.times.append((asked + time.monotonic()) / 2)
                self.ends.append(wire.ends(answer))


@contextmanager
def watched(cluster, topic):
    """Looks at all brokers of a cluster meanwhile; the list has the seconds of every lag that was seen afterwards."""
    request = wire.latest_offsets(topic, cluster.partitions(topic), wire.DEBUGGER)
    all_looks = [Looks(broker.port, request) for broker in cluster.brokers]
    for looks in all_looks:
        looks.thread.start()
    lags = []
    try:
        yield lags
    finally:
        for looks in all_looks:
            looks.over.set()
            looks.thread.join()
    for partition, leader in cluster.leaders(topic).items():
        followers = [looks for number, looks in enumerate(all_looks) if number != leader]
        for follower in followers:
            lags += lags_of(partition, all_looks[leader], follower)


def lags_of(partition, leader, follower):
    """For every look at the follower: how long ago the leader had no more than it."""
    times, reached = ends_of(partition, leader)
    for at, end in zip(*ends_of(partition, follower)):
        # The first look at which the leader had more; it had as much in between.
        place = bisect_right(reached, end)
        if place == 0 or place == len(reached):
            continue
        before, after = reached[place - 1], reached[place]
        share = (end - before) / (after - before)
        had = times[place - 1] + share * (times[place] - times[place - 1])
        yield max(0.0, at - had)


def ends_of(partition, looks):
    """When the broker was asked and told where its log ends; a replica that is new there has none at first."""
    told = [(at, ends[partition]) for at, ends in zip(looks.times, looks.ends) if partition in ends]
    return [at for at, _ in told], [end for _, end in told]
