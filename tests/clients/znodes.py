"""Looks at ZooKeeper through kazoo, an implementation that shares nothing with the broker's.

znodes.py tree HOST:PORT[/CHROOT]                  one line of JSON per node below the chroot
znodes.py create-read-only HOST:PORT[/CHROOT] PATH a node that nobody may change or create anything below
znodes.py set HOST:PORT[/CHROOT] [PATH HEX ...]    writes nodes, and creates those that are missing
znodes.py delete HOST:PORT[/CHROOT] [PATH ...]     deletes nodes and all below them
znodes.py flicker HOST:PORT[/CHROOT] SECONDS       nodes of all kinds come, change and go, as fast as can be; at last all
                                                   of them are deleted
znodes.py put HOST:PORT[/CHROOT] PATH DATA         a node with these data, created or changed
"""

import json
import re
import sys
import time

from kazoo.client import KazooClient
from kazoo.exceptions import KazooException, NoNodeError
from kazoo.security import make_acl

LETTERS = [(1, "r"), (2, "w"), (4, "c"), (8, "d"), (16, "a")]


def tree(zk, path):
    try:
        data, stat = zk.get(path)
        acls, _ = zk.get_acls(path)
        children = zk.get_children(path)
    except NoNodeError:
        return
    print(json.dumps({
        "path": path,
        "data": None if data is None else data.decode(errors="replace"),
        "ephemeral": stat.ephemeralOwner != 0,
        "version": stat.version,
        "created": stat.czxid,
        "acl": " ".join(
            "%s:%s:%s" % (acl.id.scheme, acl.id.id, "".join(letter for bit, letter in LETTERS if acl.perms & bit))
            for acl in acls
        ),
    }))
    for child in sorted(children):
        tree(zk, path.rstrip("/") + "/" + child)


def put(zk, path, data):
    try:
        zk.set(path, data)
    except NoNodeError:
        zk.create(path, data, makepath=True)


def flicker(zk, seconds):
    end, number = time.time() + seconds, 0
    paths = [
        "/brokers/ids/7",
        "/brokers/topics/flicker",
        "/brokers/topics/flicker-0/partitions/0/state",
        "/config/topics/flicker",
        "/config/changes/config_change_%010d",
        "/consumers/flicker/offsets/flicker/0",
        "/admin/reassign_partitions",
        "/admin/preferred_replica_election",
        "/admin/delete_topics/flicker",
        "/brokers/live/flicker/7",
    ]
    contents = [
        b"", b"{", b"\xff\xfe", b"[]", b'"flicker"', b'{"version":1,"partitions":{"0":[0]}}',
        b'{"jmx_port":-1,"timestamp":"1","host":"127.0.0.1","version":1,"port":1}', b'{"version":1,"config":{}}',
        b'{"version":1,"partitions":[{"topic":"flicker","partition":0,"replicas":[0]}]}',
    ]
    while time.time() < end:
        changed = [path % (1000 + number) if "%" in path else path for path in paths]
        # An election takes longer than everything else.
        if number % 50 == 0:
            changed.append("/controller")
        # Without waiting for each, so that many changes fall between two reads.
        pending = [zk.create_async(path, contents[number % len(contents)], makepath=True) for path in changed]
        pending += [zk.set_async(path, contents[(number + 3) % len(contents)]) for path in changed]
        pending += [zk.delete_async(path) for path in changed]
        for result in pending:
            try:
                result.get(10)
            except KazooException:
                pass
        number += 1
    for path in paths:
        # The highest node that is no one else's.
        root = re.match(r"(.*?/flicker(-0)?)(/|$)", path)
        try:
            zk.delete(root.group(1) if root else path, recursive=True)
        except NoNodeError:
            pass
    print(number)


def main():
    command, connect = sys.argv[1:3]
    zk = KazooClient(hosts=connect, timeout=10)
    zk.start(timeout=20)
    try:
        if command == "tree":
            tree(zk, "/")
        elif command == "create-read-only":
            zk.create(sys.argv[3], acl=[make_acl("world", "anyone", read=True)])
        elif command == "set":
            for path, data in zip(sys.argv[3::2], sys.argv[4::2]):
                put(zk, path, bytes.fromhex(data))
        elif command == "delete":
            for path in sys.argv[3:]:
                zk.delete(path, recursive=True)
        elif command == "flicker":
            flicker(zk, float(sys.argv[3]))
        elif command == "put":
            put(zk, sys.argv[3], sys.argv[4].encode())
        else:
            sys.exit(__doc__)
    finally:
        zk.stop()
        zk.close()


main()
