"""Drives kafka-python, an unmodified client, for the tests.

client.py serve BOOTSTRAP                          reads commands, answers each with one line; both are JSON
client.py load BOOTSTRAP TOPIC SENDER ACKS         sends numbered messages until it is killed; prints "<number> <offset>"
                                                   for each that was acknowledged
client.py steady BOOTSTRAP TOPIC SENDER            sends numbered messages to all partitions in turn, a few hundred per
                                                   second, whatever happens to brokers, until its input ends; prints
                                                   "<partition> <offset> <message>" for each that was acknowledged, and
                                                   at the end to standard error the longest pause in a partition
client.py follow BOOTSTRAP TOPIC ...               consumes until it is killed; prints "<topic> <partition> <offset> <message>"
"""

import json
import logging
import sys
import threading
import time
import traceback

try:
    import kafka
except ImportError:
    # Releases before 2.0.3 bring a copy of six along whose lazy modules Python 3.12 does not find any more.
    import six
    sys.modules["kafka.vendor.six.moves"] = six.moves
    import kafka

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.structs import OffsetAndMetadata

VERSION = (0, 8, 2)
PATIENCE = 30
# Which of the two APIs kafka-python commits with follows from the release it believes to talk to.
STORAGE = {"kafka": (0, 8, 2), "zookeeper": (0, 8, 1)}


def acks(text):
    return "all" if text == "-1" else int(text)


def decode(text):
    return None if text is None else bytes.fromhex(text)


def encode(data):
    return None if data is None else data.hex()


class Client:
    def __init__(self, bootstrap):
        self.bootstrap = bootstrap
        self.producers = {}
        self.consumers = {}

    def producer(self, codec, level):
        key = codec, level
        if key not in self.producers:
            self.producers[key] = KafkaProducer(
                bootstrap_servers=self.bootstrap, api_version=VERSION, acks=acks(level), linger_ms=50,
                compression_type=None if codec == "none" else codec, max_request_size=100 << 20,
            )
        return self.producers[key]

    def consumer(self, group=None, storage="kafka"):
        key = group, storage
        if key not in self.consumers:
            self.consumers[key] = KafkaConsumer(
                bootstrap_servers=self.bootstrap, api_version=STORAGE[storage], group_id=group,
                enable_auto_commit=False, auto_offset_reset="none", max_partition_fetch_bytes=8 << 20,
            )
        return self.consumers[key]

    def produce(self, topic, codec, acks, records):
        producer = self.producer(codec, acks)
        futures = [producer.send(topic, key=decode(k), value=decode(v), partition=0) for k, v in records]
        producer.flush(PATIENCE)
        outcomes = []
        for future in futures:
            try:
                outcomes.append(future.get(PATIENCE).offset)
            except kafka.errors.KafkaError as error:
                outcomes.append(type(error).__name__)
        return outcomes

    def bounds(self, topic, partition):
        at, consumer = TopicPartition(topic, partition), self.consumer()
        return consumer.beginning_offsets([at])[at], consumer.end_offsets([at])[at]

    def consume(self, topic, partition, offset):
        at, consumer = TopicPartition(topic, partition), self.consumer()
        consumer.assign([at])
        end = consumer.end_offsets([at])[at]
        consumer.seek(at, offset)
        seen, deadline = [], time.time() + PATIENCE
        while consumer.position(at) < end:
            if time.time() > deadline:
                raise TimeoutError("at offset %d of %d" % (consumer.position(at), end))
            for record in consumer.poll(500).get(at, []):
                seen.append([record.offset, encode(record.key), encode(record.value)])
        return seen

    def commit(self, storage, group, topic, offset):
        consumer = self.consumer(group, storage)
        # Later releases have a third field, the leader epoch.
        rest = [-1] if len(OffsetAndMetadata._fields) > 2 else []
        consumer.commit({TopicPartition(topic, 0): OffsetAndMetadata(offset, "", *rest)})

    def committed(self, storage, group, topic):
        return self.consumer(group, storage).committed(TopicPartition(topic, 0))


def serve(bootstrap):
    client = Client(bootstrap)
    for line in sys.stdin:
        command = json.loads(line)
        try:
            answer = {"answer": getattr(client, command.pop("do"))(**command)}
        except Exception:
            answer = {"error": traceback.format_exc()}
        print(json.dumps(answer), flush=True)


def load(bootstrap, topic, sender, level):
    producer = KafkaProducer(
        bootstrap_servers=bootstrap, api_version=VERSION, acks=acks(level), linger_ms=5, retries=0, max_block_ms=1000,
    )

    def note(number):
        def written(metadata):
            sys.stdout.write("%d %d\n" % (number, metadata.offset))
            sys.stdout.flush()
        return written

    number = 0
    while True:
        try:
            future = producer.send(topic, key=sender.encode(), value=b"%s %06d" % (sender.encode(), number), partition=0)
            future.add_callback(note(number))
        except kafka.errors.KafkaError:
            # The broker is away: what could not be sent was not acknowledged.
            pass
        number += 1
        if number % 100 == 0:
            # Leaves the other processes of the test some of the machine.
            time.sleep(0.01)


def partitions(look, topic):
    """Waits for a topic that was created a moment ago."""
    while not (found := look(topic)):
        time.sleep(0.1)
    return sorted(found)


def steady(bootstrap, topic, sender):
    # One request at a time to each broker keeps the order when one is sent again.
    producer = KafkaProducer(
        bootstrap_servers=bootstrap.split(","), api_version=VERSION, acks="all", linger_ms=2, retries=1_000_000,
        max_in_flight_requests_per_connection=1, retry_backoff_ms=50, request_timeout_ms=120_000, max_block_ms=120_000,
    )

    last, pauses = {}, [0.0]

    def note(message):
        def written(metadata):
            now = time.monotonic()
            pauses.append(now - last.get(metadata.partition, now))
            last[metadata.partition] = now
            sys.stdout.write("%d %d %s\n" % (metadata.partition, metadata.offset, message))
            sys.stdout.flush()
        return written

    numbers, ended = partitions(producer.partitions_for, topic), threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    number = 0
    while not ended.is_set():
        for partition in numbers:
            message = "%s %06d" % (sender, number)
            future = producer.send(topic, value=message.encode(), partition=partition)
            future.add_callback(note(message))
            number += 1
        time.sleep(0.01)
    producer.flush(PATIENCE)
    print("%.1f s" % max(pauses), file=sys.stderr)


def follow(bootstrap, *topics):
    consumer = KafkaConsumer(
        bootstrap_servers=bootstrap.split(","), api_version=VERSION, auto_offset_reset="earliest", retry_backoff_ms=50,
    )
    consumer.assign([TopicPartition(topic, number) for topic in topics for number in partitions(consumer.partitions_for_topic, topic)])
    while True:
        for at, records in consumer.poll(200).items():
            for record in records:
                print(at.topic, at.partition, record.offset, record.value.decode())
        sys.stdout.flush()


logging.basicConfig(level=logging.CRITICAL)
{"serve": serve, "load": load, "steady": steady, "follow": follow}[sys.argv[1]](*sys.argv[2:])
