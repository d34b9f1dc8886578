"""Looks at ZooKeeper through kazoo, an implementation that shares nothing with the broker's.

znodes.py tree HOST:PORT[/CHROOT]                  one line of JSON per node below the chroot
znodes.py create-read-only HOST:PORT[/CHROOT] PATH a node that nobody may change or create anything below
znodes.py put HOST:PORT[/CHROOT] PATH DATA         a node with these data, created or changed
znodes.py delete HOST:PORT[/CHROOT] PATH           no such node, nor anything below it
"""

import json
import sys

from kazoo.client import KazooClient
from kazoo.exceptions import NodeExistsError
from kazoo.exceptions import NoNodeError
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
        "data": None if data is None else data.decode(),
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


def main():
    command, connect = sys.argv[1:3]
    zk = KazooClient(hosts=connect, timeout=10)
    zk.start(timeout=20)
    try:
        if command == "tree":
            tree(zk, "/")
        elif command == "create-read-only":
            zk.create(sys.argv[3], acl=[make_acl("world", "anyone", read=True)])
        elif command == "put":
            try:
                zk.create(sys.argv[3], sys.argv[4].encode(), makepath=True)
            except NodeExistsError:
                zk.set(sys.argv[3], sys.argv[4].encode())
        elif command == "delete":
            zk.delete(sys.argv[3], recursive=True)
        else:
            sys.exit(__doc__)
    finally:
        zk.stop()
        zk.close()


main()
