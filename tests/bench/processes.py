"""The processes that a benchmark starts: ZooKeeper, the brokers, the clients; what they cost."""

import mmap
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from contextlib import contextmanager
from contextlib import suppress
from pathlib import Path

import wire

PROJECT = Path(__file__).resolve().parents[2]
REFERENCE = PROJECT / "tests/reference/kafka"
TICKS = os.sysconf("SC_CLK_TCK")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(what, condition, seconds=60.0, step=0.02):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"not within {seconds} s: {what}")
        time.sleep(step)


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def settle(written):
    """Leaves nothing of what was done before to whoever runs next, which is going to write so many bytes.

    What is not on the disk yet goes there. And where free memory goes back to the host of a virtual machine, the host hands
    it over again: that takes as long as writing it, and whoever is measured first would pay."""
    os.sync()
    available = int(re.search(r"MemAvailable:\s+(\d+)", Path("/proc/meminfo").read_text())[1]) << 10
    fetched = max(min(written, available // 2), mmap.PAGESIZE)
    mmap.mmap(-1, fetched, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE).close()


class Process:
    """A server with its output in a file."""

    def __init__(self, command, log, environment=None):
        self.log = log
        self.started = time.monotonic()
        with open(log, "wb") as output:
            self.child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                          env={**os.environ, **(environment or {})})

    @property
    def pid(self):
        return self.child.pid

    def said(self):
        return self.log.read_text(errors="replace")

    def check(self):
        if self.child.poll() is not None:
            raise RuntimeError(f"{self.child.args[0]} ended:\n{self.said()[-2000:]}")

    def end(self, how=signal.SIGTERM):
        """Ends it; the seconds it took."""
        start = time.monotonic()
        if self.child.poll() is None:
            self.child.send_signal(how)
            try:
                self.child.wait(60)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()
        return time.monotonic() - start

    def cpu(self):
        """Seconds of CPU so far, to the nanosecond: `/proc` counts in hundredths, too coarse for a load of a second."""
        clock = ~self.pid << 3 | 2  # as clock_getcpuclockid(3) makes it
        return time.clock_gettime(clock)

    def memory(self, what="VmRSS"):
        """MiB resident: now, or at most (VmHWM) since `reset_peak`."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(rf"{what}:\s+(\d+)", status)[1]) / 1024

    def reset_peak(self):
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")


class ZooKeeper(Process):
    """The reference's ZooKeeper 3.4.6, for all brokers; each run has a chroot of its own."""

    def __init__(self, folder):
        folder.mkdir()
        self.port = free_port()
        file = folder / "zookeeper.properties"
        file.write_text(f"dataDir={folder}\nclientPort={self.port}\nclientPortAddress=127.0.0.1\nmaxClientCnxns=0\n")
        super().__init__([REFERENCE, "zookeeper", file], folder / "log", {"REFERENCE_HEAP": "512m"})
        wait_until("ZooKeeper listens", lambda: self.check() or listens(self.port))

    def ephemerals(self):
        """The paths of all nodes that go with their sessions."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            connection.sendall(b"dump")
            said = b"".join(iter(lambda: connection.recv(1 << 16), b""))
        return set(said.decode().split())


class Broker:
    """A broker that can be started, measured and stopped again on the same data."""

    name = ""
    #: Whether it can make a consumer wait, and has start-up and idle costs that say something.
    real = True

    def __init__(self, folder):
        self.folder = folder
        self.folder.mkdir()
        self.port = free_port()
        self.process = None
        self.topics = set()

    def command(self):
        raise NotImplementedError

    def environment(self):
        return {}

    def launch(self):
        self.process = Process(self.command(), self.folder / "log", self.environment())

    def start(self):
        """Starts it and waits until it serves; the seconds until its port was open, and until it said that it had started."""
        self.launch()
        times = []
        for what, reached in [("its port is open", lambda: listens(self.port)), ("it has started", self.has_started)]:
            wait_until(f"{self.name}: {what}", lambda: self.process.check() or reached(), 600, 0.001)
            times.append(time.monotonic() - self.process.started)
        return times

    def has_started(self):
        return "], started" in self.process.said()

    def stop(self, how=signal.SIGTERM):
        return self.process.end(how)

    def cpu(self):
        """Seconds of CPU so far, if it runs."""
        return self.process.cpu() if self.process and self.process.child.poll() is None else 0

    def remove(self):
        if self.process:
            self.stop(signal.SIGKILL)
        shutil.rmtree(self.folder)

    def create(self, topic, settings=()):
        """Creates a topic with as many partitions as its name ends in, and waits until all of them are led."""

    def partitions(self, topic):
        return int(re.search(r"\d+$", topic)[0])


def topics(zookeeper, *arguments):
    """The reference's own command, which only deals with ZooKeeper; what it says."""
    command = [REFERENCE, "topics", "--zookeeper", zookeeper, *map(str, arguments)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def create_topic(zookeeper, topic, *arguments):
    topics(zookeeper, "--create", "--topic", topic, *arguments)


class Registered(Broker):
    """A broker that is registered in ZooKeeper."""

    def __init__(self, folder, zookeeper, chroot=None, number=0, **more):
        super().__init__(folder)
        chroot = chroot or folder.name
        self.zookeeper = f"127.0.0.1:{zookeeper.port}/{chroot}"
        self.ephemerals = zookeeper.ephemerals
        self.node = f"/{chroot}/brokers/ids/{number}"
        self.properties = folder / "server.properties"
        settings = {
            "broker.id": number, "port": self.port, "host.name": "127.0.0.1", "advertised.host.name": "127.0.0.1",
            "log.dirs": folder / "data", "zookeeper.connect": self.zookeeper, "log.segment.bytes": 1 << 30,
            "log.retention.hours": 168, "auto.create.topics.enable": "false", **self.own_settings(), **more,
        }
        self.properties.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))

    def own_settings(self):
        return {}

    def kill(self):
        """Kills it, and waits until ZooKeeper has ended its session; when that was."""
        self.stop(signal.SIGKILL)
        wait_until(f"{self.node} is gone", lambda: self.node not in self.ephemerals(), step=0.005)
        return time.monotonic()

    def create(self, topic, settings=()):
        if topic in self.topics:
            return
        configs = [word for pair in settings for word in ("--config", pair)]
        create_topic(self.zookeeper, topic, "--partitions", self.partitions(topic), "--replication-factor", 1, *configs)
        self.wait_until_led(topic)
        self.topics.add(topic)

    def wait_until_led(self, topic, step=0.02):
        partitions = self.partitions(topic)

        def led():
            self.process.check()
            return wire.led(self.port, topic, partitions) == partitions

        wait_until(f"{self.name} leads {topic}", led, 600, step)


class Reference(Registered):
    """Apache Kafka 0.8.2.2 with its default settings and heap."""

    name = "reference"

    def command(self):
        return [REFERENCE, "server", self.properties]

    def environment(self):
        return {"REFERENCE_HEAP": "1g"}


class Gregor(Registered):
    """The broker under test."""

    name = "Gregor"
    binary = None

    def own_settings(self):
        return {"metrics.listen": "127.0.0.1:0"}

    def command(self):
        return [self.binary, "server", self.properties]


class Null(Broker):
    """The ceiling: no broker, but answers like one."""

    name = "null"
    real = False
    binary = None

    def __init__(self, folder, _zookeeper):
        super().__init__(folder)
        (folder / "data").mkdir()

    def command(self):
        return [self.binary, str(self.port), self.folder / "data"]

    def has_started(self):
        return True


@contextmanager
def confined(pid, processor):
    """A broker, and what is started meanwhile, on one processor."""
    everywhere = os.sched_getaffinity(0)

    def confine(processors):
        os.sched_setaffinity(0, processors)
        done = set()
        # A thread that is not confined yet may start another one.
        while threads := {int(thread.name) for thread in Path(f"/proc/{pid}/task").iterdir()} - done:
            for thread in threads:
                with suppress(ProcessLookupError):  # it ended meanwhile
                    os.sched_setaffinity(thread, processors)
            done |= threads

    try:
        confine({processor})
        yield
    finally:
        confine(everywhere)


class Client:
    """The programs that put the load on a broker."""

    folder = None

    @classmethod
    def run(cls, command, port, *arguments):
        """Runs librdkafka; the numbers it prints."""
        arguments = [str(argument) for argument in arguments]
        done = subprocess.run([cls.folder / "rdk", command, f"127.0.0.1:{port}", *arguments],
                              check=True, stdout=subprocess.PIPE, text=True)
        return [float(word) for word in done.stdout.split()]

    @classmethod
    def pauses(cls, seconds):
        """For how long the machine takes its processors away: ms a second, and the longest in ms, by processor."""
        said = subprocess.run([cls.folder / "pauses", str(seconds)], check=True, stdout=subprocess.PIPE, text=True).stdout
        found = (line.split() for line in said.splitlines())
        return {int(processor): (float(taken), float(longest)) for processor, taken, longest in found}

    @classmethod
    @contextmanager
    def connected(cls, port, count, seconds, requests):
        """Raw connections that are there for a while."""
        command = [cls.folder / "connections", str(port), str(count), str(seconds)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as client:
            client.stdin.write(requests)
            client.stdin.close()
            yield
        if client.returncode:
            raise RuntimeError("the connections did not last")

    @classmethod
    def connections(cls, port, count, seconds, requests):
        """Runs raw connections; requests/s, the percentiles in µs, the first answer."""
        done = subprocess.run([cls.folder / "connections", str(port), str(count), str(seconds)], input=requests,
                              check=True, stdout=subprocess.PIPE)
        *numbers, answer = done.stdout.decode().split(" ")
        return [float(number) for number in numbers], bytes.fromhex(answer.strip())
