//! Gregor: a message broker that takes the place of Apache Kafka 0.8.2 brokers.
//!
//! # The map
//!
//! A module imports from lower floors only; `tests/tidy.rs` keeps it so.
//!
//! | floor | module | what it is for |
//! |---|---|---|
//! | 6 | `cli` | arguments -> library call -> output |
//! | 5 | `broker` | the parts put together: configuration, one handler per API, registration, offsets of groups |
//! | 4 | `replication` | partitions, their roles, how far they have come |
//! | 4 | `controller` | who leads what: events, pure plans, one loop |
//! | 4 | `client` | producing and consuming, for the commands and the tests |
//! | 4 | `admin` | changing the cluster through ZooKeeper |
//! | 3 | `net` | frames between sockets and whoever answers them |
//! | 2 | `protocol` | bytes <-> requests and responses; the only place with wire constants |
//! | 2 | `log` | append-only logs on disk, byte for byte those of 0.8.2.2 |
//! | 2 | `zookeeper` | everything kept in ZooKeeper, typed; the only place with paths and JSON |
//! | 1 | `message` | what a message is, and a set of them; the codecs |
//! | 0 | `types`, `shutdown`, `metrics`, `blocking` | what everybody uses |
//!
//! # How a produce request travels
//!
//! `net/connection` reads the frame and splits it off its buffer; `protocol/produce` finds the message sets in it
//! without copying them; `broker/handlers/produce` asks `replication/partition` of each partition to append;
//! `message/set` checks every message and writes the offsets over the received bytes; `log/append` writes those bytes
//! to the segment's file. Then the handler answers, or, if replicas are to be waited for, returns a future that watches
//! the partition's `Progress`; the connection reads on meanwhile, until so much waits that followers would only fall behind,
//! and keeps its answers in the order of the requests.
//!
//! # How a fetch travels
//!
//! Down the same way, but what comes back up are places in files. `net/sendfile` moves the bytes from the page cache to
//! the socket; no message enters this process. A fetch that finds too little waits for the `Progress` of its partitions.
//!
//! # How a partition gets its leader
//!
//! `controller/watch` sees the topic in ZooKeeper, `controller/plan` decides, `controller/apply` writes the partition's
//! state, `controller/channel` sends `LeaderAndIsr` and `UpdateMetadata` over a socket, to this very process like to any
//! other; `replication/partitions` takes the role. Controller and partitions meet nowhere else.
//!
//! # How a follower follows
//!
//! `replication/fetcher` asks the leader for all partitions at once, from where each of them is known to be the leader's;
//! `partition/follow` compares what comes with what is there (`reconcile`), cuts at the first difference and appends. Its
//! next fetch tells the leader how far it is: `partition/lead` notes it, which may move the high watermark and wake
//! waiting producers. Who keeps up is in sync: `isr` decides, `isr_change` writes it to ZooKeeper.
//!
//! # What is not obvious
//!
//! - The high watermark and the log end offset are published together, under the lock that orders appends of one
//!   partition; a reader that takes them one by one may see them apart.
//! - A waiting append belongs to one leadership. When that ends it fails, even if this broker leads again: the message
//!   may have been truncated in between. The next leader epoch with the same leader goes on with it, a gap does not.
//! - A follower never truncates because of an order, only because of what its leader sent. 0.8.2.2 cuts to the high
//!   watermark first, which lags behind what is committed.
//! - Orders of a controller are taken only on the connection that it has opened last. What it gave up on an earlier one
//!   may arrive after what it has sent again, and after much else.
//! - A leadership answers followers only on connections opened since it began. A follower that asked all the while, and did
//!   not notice that its leader lost the lead and got it back, may have messages that were truncated at the leader; on a
//!   new connection it compares first.
//! - The lock of a data directory is a POSIX record lock, because Java takes that kind. It is lost when *any* descriptor
//!   of the file is closed in this process: nobody may open `.lock` a second time.
//! - ZooKeeper 3.4 knows no `create2`, no persistent watches, and the client library's `multi` can't create there.
//!   `zookeeper/` keeps to what 3.4.6 can do.
//! - On the first start the controller is elected before the broker is registered, as in 0.8.2.2; in later sessions it is
//!   the other way round, so that a controller never takes its own broker for dead.
//! - An index file is as long as it may become while its segment is written to, and is cut to its entries at the end.
//!   0.8.2.2 believes the length: without the clean-shutdown marker it is not to be trusted.
//! - The file of a long segment has room on the disk behind its end (`log/preallocation`). Setting a length gives it back,
//!   and makes the file young, by which retention would keep it longer: its time is set again.
//!
//! # Where the shape differs from what one might expect
//!
//! `log` is split by moment (append, read, flush, recovery, removal, truncation), because each changes for a reason of its
//! own. `broker/config` is a folder of its own: the properties syntax, the table of keys, the checks between keys and
//! the typed result are four things.

pub mod admin;
pub mod blocking;
pub mod broker;
pub mod cli;
pub mod client;
pub mod controller;
pub mod log;
pub mod message;
pub mod metrics;
pub mod net;
pub mod protocol;
pub mod replication;
pub mod shutdown;
pub mod types;
pub mod zookeeper;
