"""Gregor beside the reference: `scripts/bench.sh` builds what this needs and runs it."""

import argparse
import json
import os
import platform
import resource
import shutil
import sys
import time
from pathlib import Path
from statistics import median

import report
from cluster import Cluster
from cluster_rows import ClusterBench
from processes import TICKS
from processes import Client
from processes import Gregor
from processes import Null
from processes import Reference
from processes import ZooKeeper
from rows import Bench

#: What runs one after the other on a broker that was started and warmed up, and whether it runs unless asked for.
UNDER_LOAD = {"produce": True, "consume": True, "codecs": True, "latency": True, "connections": True, "flush": True,
              "partitions": True, "partitions10000": False}
#: What starts the broker itself.
STARTING = {"start": True, "unclean": False}
#: What starts three brokers.
CLUSTERS = {"replicated": True, "failover": True, "failover2000": False, "failover10000": False}
#: Only for Gregor: the reference would take its heap and many minutes.
ONLY_GREGOR = {"partitions10000", "failover10000"}
KINDS = (Reference, Gregor, Null)
#: For how long the machine is watched before anything runs.
PAUSES_SECONDS = 10
#: What comes with a row that only Gregor runs, so that there is a ratio of the same run.
BESIDE = {"failover10000": "failover2000"}


def arguments():
    rows = {**UNDER_LOAD, **STARTING, **CLUSTERS, "size": True}
    parser = argparse.ArgumentParser(prog="scripts/bench.sh", usage="%(prog)s [ROW ...]",
                                     description="Measures Gregor beside Kafka 0.8.2.2 and a null broker.")
    parser.add_argument("rows", nargs="*", metavar="ROW",
                        help=f"all, or of {', '.join(rows)}; without any, all but the longest")
    parser.add_argument("--only-check", action="store_true", help="whether the arguments are right")
    parser.add_argument("--gregor", type=Path, required=True, help="the program to measure")
    parser.add_argument("--tools", type=Path, required=True, help="the folder with rdk, connections, pauses and null_broker")
    parser.add_argument("--folder", type=Path, required=True, help="where data and results go")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1, help="of all counts and times")
    parser.add_argument("--partitions", type=int, default=10_000, help="the most that a topic of one broker gets")
    parser.add_argument("--brokers", type=lambda names: names.split(","), default="reference,Gregor,null",
                        help="which of them")
    given = parser.parse_args()
    brokers = [kind.name for kind in KINDS]
    for what, names, known in [("row", given.rows, [*rows, "all"]), ("broker", given.brokers, brokers)]:
        if unknown := sorted(set(names) - set(known)):
            parser.error(f"no such {what}: {', '.join(unknown)}; there are {', '.join(known)}")
    if not given.rows or "all" in given.rows:
        given.rows = [row for row, usual in rows.items() if usual or given.rows]
    given.rows += [BESIDE[row] for row in given.rows if row in BESIDE and BESIDE[row] not in given.rows]
    return given


def machine():
    cpu = next((line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                if line.startswith("model name")), platform.machine())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    return f"{os.cpu_count()} CPUs ({cpu}), {memory:.0f} GiB, {platform.system()} {platform.release()}"


def busy():
    """CPU seconds of the whole machine in user mode so far."""
    user, nice = Path("/proc/stat").read_text().split()[1:3]
    return (int(user) + int(nice)) / TICKS


class Run:
    """Rounds of all rows over all brokers."""

    def __init__(self, given):
        self.given = given
        self.results = {}
        self.others = []
        self.folder = given.folder / "data"
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        # Before anything else runs.
        self.pauses = Client.pauses(max(1, PAUSES_SECONDS * min(1, given.scale)))
        self.quiet = min(self.pauses, key=self.pauses.get)
        self.zookeeper = ZooKeeper(self.folder / "zookeeper")
        self.kinds = [kind for kind in KINDS if kind.name in given.brokers]

    def all(self):
        if "size" in self.given.rows:
            self.record("Gregor")("program", "MiB", self.given.gregor.stat().st_size / (1 << 20))
        for number in range(self.given.rounds):
            for row in [*STARTING, *CLUSTERS]:
                self.turn(number, [row], [kind for kind in self.kinds if kind.real])
            self.turn(number, list(UNDER_LOAD), self.kinds)

    def turn(self, number, rows, kinds):
        """The brokers one after the other; which goes first changes from round to round."""
        rows = [row for row in rows if row in self.given.rows]
        first = number % len(kinds) if kinds else 0
        for kind in kinds[first:] + kinds[:first]:
            if own := [row for row in rows if row not in ONLY_GREGOR or kind is Gregor]:
                self.one(number, own, kind)

    def one(self, number, rows, kind):
        folder, record = self.folder / f"{kind.name}-{number}-{rows[0]}", self.record(kind.name)
        if rows[0] in CLUSTERS:
            tested = Cluster(kind, folder, self.zookeeper)
            bench = ClusterBench(tested, self.given.scale, record)
        else:
            tested = kind(folder, self.zookeeper)
            bench = Bench(tested, self.given.scale, record, self.given.partitions, self.quiet)
        try:
            if rows[0] in UNDER_LOAD:
                tested.start()
                bench.warm_up()
            for row in rows:
                self.measured(f"round {number + 1}: {row}, {kind.name}", getattr(bench, row), tested)
        finally:
            tested.remove()

    def measured(self, name, row, tested):
        """Runs one group of rows, and notes how much else the machine did meanwhile."""

        def own():
            return resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime + tested.cpu()

        before, start, spent = busy(), time.monotonic(), own()
        row()
        seconds, spent = time.monotonic() - start, own() - spent
        others = max(0.0, busy() - before - spent) / seconds
        self.others.append(others)
        print(f"{name}: {seconds:.0f} s, others {others:.0%}", file=sys.stderr, flush=True)

    def record(self, broker):
        def take(row, metric, value):
            self.results.setdefault(row, {}).setdefault(metric, {}).setdefault(broker, []).append(value)

        return take

    def found(self):
        return {
            "machine": machine(), "pauses": self.pauses, "rounds": self.given.rounds, "scale": self.given.scale,
            "others": median(self.others or [0]), "others_most": max(self.others or [0]),
            "results": self.results, "goals": list(report.judged(self.results)),
        }

    def close(self):
        self.zookeeper.end()
        shutil.rmtree(self.folder)


def main():
    given = arguments()
    if given.only_check:
        return
    Gregor.binary, Null.binary, Client.folder = given.gregor.resolve(), given.tools / "null_broker", given.tools
    run = Run(given)
    try:
        run.all()
        found = run.found()
    finally:
        run.close()
    text = report.markdown(found)
    (given.folder / "result.md").write_text(text)
    (given.folder / "result.json").write_text(json.dumps(found, indent=1) + "\n")
    (given.folder / "result.svg").write_text(report.picture(found))
    print(text)


if __name__ == "__main__":
    main()
