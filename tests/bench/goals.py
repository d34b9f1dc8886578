"""What Gregor has to reach, and whether it did.

A goal is met when the worst of all rounds still reaches 90 % of it. Absolute figures depend on the machine (these were set on two
virtual CPUs of a Xeon of 2023); where a goal names a ratio, it is formed within one round.
"""

from dataclasses import dataclass

from cluster_rows import EVEN
from rows import beside
from rows import many
from rows import on_one

SLACK = 0.9


@dataclass
class Goal:
    """`metric` of `row` is at least or at most this; or this many times what the broker `than` has, or the row `than_row`."""

    name: str
    row: str
    metric: str
    least: float = None
    most: float = None
    than: str = None
    than_row: str = None

    def values(self, results):
        """One per round; none if the row was not run."""
        own = results.get(self.row, {}).get(self.metric, {}).get("Gregor", [])
        if self.than is None and self.than_row is None:
            return own
        other = results.get(self.than_row or self.row, {}).get(self.metric, {}).get(self.than or "Gregor", [])
        return [one / two for one, two in zip(own, other) if two]

    def worst(self, values):
        return min(values) if self.most is None else max(values)

    def met(self, values):
        worst = self.worst(values)
        return worst >= self.least * SLACK if self.most is None else worst <= self.most / SLACK

    def text(self):
        relation, limit = ("≥", self.least) if self.most is None else ("≤", self.most)
        if self.than_row:
            return f"{relation} {limit:g} × that of “{self.than_row}”"
        return f"{relation} {limit:.2g} × {self.than}" if self.than else f"{relation} {limit:,}"


SMALL, LARGE = "produce 100 B, 8 partitions", "produce 1024 B, 8 partitions"
RATE, CPU, MEMORY = "messages/s", "broker CPU µs/message", "memory MiB"
SLOW, FAST = "acknowledged, 1,000 requests/s", "acknowledged, 10,000 requests/s"
READ = "end to end, 1,000 requests/s"
THOUSAND = "start, 1,000 clean partitions"
WITHOUT_LEADERS = "without leaders ms"


def many_partitions():
    for partitions, least in [(1000, 0.9), (10_000, 0.7)]:
        for size in (100, 1024):
            yield Goal("P12", many(size, partitions), RATE, least=least, than_row=beside(size, partitions))


def replicated():
    """Of three brokers beside three of the reference."""
    for row in [f"3 replicas, {size} B, acks={acks}" for size in (100, 1024) for acks in (-1, 1)]:
        yield Goal("P15", row, RATE, least=2, than="reference")
        yield Goal("P15", row, "brokers' CPU µs/message", most=1 / 3, than="reference")
        yield Goal("P15", row, "follower lag p99 ms", most=1, than="reference")
    yield Goal("P15", EVEN, "follower lag p99 ms", most=1, than="reference")
    for rate in ("100", "1,000"):
        yield Goal("P15", f"3 replicas, end to end, {rate} requests/s", "p99 µs", most=1, than="reference")


GOALS = [
    Goal("P1", SMALL, RATE, least=1_400_000),
    Goal("P1", SMALL, RATE, least=0.85, than="null"),
    Goal("P2", LARGE, RATE, least=360_000),
    Goal("P2", LARGE, RATE, least=0.85, than="null"),
    Goal("P3", "consume 100 B, 8 partitions", RATE, least=1_600_000),
    Goal("P3", "consume 1024 B, 8 partitions", RATE, least=660_000),
    Goal("P4", SMALL, CPU, most=0.15),
    Goal("P4", SMALL, CPU, most=0.2, than="reference"),
    Goal("P4", LARGE, CPU, most=0.9),
    Goal("P4", LARGE, CPU, most=0.2, than="reference"),
    Goal("P5", "consume 100 B, 8 partitions", CPU, most=0.15),
    Goal("P5", "consume 100 B, 8 partitions", CPU, most=1 / 3, than="reference"),
    Goal("P5", "consume 1024 B, 8 partitions", CPU, most=0.8),
    Goal("P5", "consume 1024 B, 8 partitions", CPU, most=1 / 3, than="reference"),
    Goal("P6", SLOW, "p50 µs", most=250),
    Goal("P6", SLOW, "p99 µs", most=1.5, than="null"),
    Goal("P6", SLOW, "p99.9 µs", most=1.5, than="null"),
    Goal("P6", on_one(SLOW), "p99.9 µs", most=1.5, than="null"),
    Goal("P7", READ, "p50 µs", most=250),
    Goal("P7", READ, "p99 µs", most=1, than="reference"),
    Goal("P7", READ, "p99.9 µs", most=1, than="reference"),
    Goal("P8", FAST, "p50 µs", most=150),
    Goal("P8", FAST, "p99 µs", most=1.5, than="null"),
    Goal("P8", on_one(FAST), "p99 µs", most=1.5, than="null"),
    Goal("P9", "64 connections, 1 request in flight each", "requests/s", least=100_000),
    Goal("P10", "produce 100 B, gzip, equal values", RATE, least=800_000),
    Goal("P10", "produce 100 B, gzip, log lines", RATE, least=2, than="reference"),
    Goal("P11", "produce 100 B, snappy, equal values", RATE, least=1_400_000),
    *many_partitions(),
    Goal("P13", "start, 1 empty partition", MEMORY, most=10),
    Goal("P13", THOUSAND, MEMORY, most=24),
    Goal("P13", SMALL, "peak memory MiB", most=64),
    Goal("P14", "start, 1 empty partition", "serving ms", most=50),
    Goal("P14", THOUSAND, "serving ms", most=500),
    Goal("P14", "start, 10 GiB unclean", "GiB/s", least=2),
    *replicated(),
    Goal("P16", "killed: leader of 1,000 partitions", WITHOUT_LEADERS, most=1000),
    Goal("P16", "killed: leader of 1,000 partitions", WITHOUT_LEADERS, most=1, than="reference"),
    Goal("P17", "killed: controller of 1,000 partitions", WITHOUT_LEADERS, most=1, than="reference"),
    Goal("P17", "killed: controller of 2,000 partitions", WITHOUT_LEADERS, most=1, than="reference"),
    Goal("P17", "killed: leader of a third of 2,000 partitions", WITHOUT_LEADERS, most=1, than="reference"),
    Goal("P17", "killed: controller of 10,000 partitions", WITHOUT_LEADERS, most=2000),
    Goal("P17", "killed: leader of a third of 10,000 partitions", WITHOUT_LEADERS, most=2000),
    Goal("P18", "1,000 consumers waiting at 1,000 partitions", "CPU %", most=0.5),
    Goal("P19", "flushed, 1 connection, 1 message a request", "requests/s", least=2500),
    Goal("P19", "flushed, 64 connections to 1 partition", "requests/s", least=50_000),
    Goal("P20", "program", "MiB", most=6),
]
