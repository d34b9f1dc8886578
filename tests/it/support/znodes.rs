//! Looking at ZooKeeper through kazoo, which shares nothing with the code under test.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::clients::Release;
use super::eventually::eventually;
use super::process::run;
use super::process::try_run;
use super::project;

const DEADLINE: Duration = Duration::from_secs(30);

/// One node, as kazoo sees it.
#[derive(Debug, Clone)]
pub(crate) struct Znode {
    pub(crate) path: String,
    /// `None` for a node without data, which is not the same as empty data.
    pub(crate) data: Option<String>,
    pub(crate) ephemeral: bool,
    pub(crate) version: i64,
    /// The transaction that created it: nodes in the order of their creation.
    pub(crate) created: i64,
    pub(crate) acl: String,
}

/// Every node below the connect string's chroot, in the order of creation.
pub(crate) fn tree(connect: &str) -> Vec<Znode> {
    read_tree(&kazoo(&["tree", connect]))
}

/// What ZooKeeper says about each partition, by topic and number as in its path: `topic/partitions/0`.
pub(crate) fn partition_states(connect: &str) -> BTreeMap<String, Value> {
    let state = |node: Znode| {
        let partition = node
            .path
            .strip_prefix("/brokers/topics/")?
            .strip_suffix("/state")?;
        Some((partition.to_owned(), serde_json::from_str(&node.data?).ok()?))
    };
    tree(connect).into_iter().filter_map(state).collect()
}

/// As [`tree`], where ZooKeeper may go away meanwhile.
pub(crate) fn try_tree(connect: &str) -> Result<Vec<Znode>, String> {
    try_kazoo(&["tree", connect]).map(|output| read_tree(&output))
}

fn read_tree(output: &str) -> Vec<Znode> {
    let mut nodes: Vec<Znode> = output
        .lines()
        .map(|line| {
            let node: Value = serde_json::from_str(line).expect("a line of JSON per node");
            Znode {
                path: node["path"].as_str().unwrap().to_owned(),
                data: node["data"].as_str().map(str::to_owned),
                ephemeral: node["ephemeral"].as_bool().unwrap(),
                version: node["version"].as_i64().unwrap(),
                created: node["created"].as_i64().unwrap(),
                acl: node["acl"].as_str().unwrap().to_owned(),
            }
        })
        .collect();
    nodes.sort_by_key(|node| node.created);
    nodes
}

/// The node at a path below the chroot.
pub(crate) fn node(connect: &str, path: &str) -> Option<Znode> {
    tree(connect).into_iter().find(|node| node.path == path)
}

/// Waits until there is no such node any more.
#[track_caller]
pub(crate) fn wait_until_gone(connect: &str, path: &str) {
    eventually("the node is gone", DEADLINE, || match node(connect, path) {
        None => Ok(()),
        Some(node) => Err(format!("{node:?}")),
    });
}

/// Creates a persistent node that nobody may change or create anything below.
pub(crate) fn create_read_only(connect: &str, path: &str) {
    kazoo(&["create-read-only", connect, path]);
}

/// Writes nodes; creates those that are missing.
pub(crate) fn set(connect: &str, nodes: &[(&str, &[u8])]) {
    let hex = |data: &[u8]| data.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let pairs: Vec<_> = nodes
        .iter()
        .flat_map(|(path, data)| [(*path).to_owned(), hex(data)])
        .collect();
    let mut arguments = vec!["set", connect];
    arguments.extend(pairs.iter().map(String::as_str));
    kazoo(&arguments);
}

/// Deletes nodes and all below them.
pub(crate) fn delete(connect: &str, paths: &[&str]) {
    kazoo(&[&["delete", connect], paths].concat());
}

/// As [`delete`], whether or not it is there.
pub(crate) fn try_delete(connect: &str, path: &str) {
    // Who looks whether it is there before may be overtaken.
    let _ = try_kazoo(&["delete", connect, path]);
}

/// Lets nodes of all kinds come, change and go for so many seconds; how often.
pub(crate) fn flicker(connect: &str, seconds: &str) -> usize {
    kazoo(&["flicker", connect, seconds]).trim().parse().unwrap()
}

/// Gives a persistent node these data, created or changed.
pub(crate) fn put(connect: &str, path: &str, data: &str) {
    kazoo(&["put", connect, path, data]);
}

/// As [`put`], where ZooKeeper may go away meanwhile.
pub(crate) fn try_put(connect: &str, path: &str, data: &str) -> Result<(), String> {
    try_kazoo(&["put", connect, path, data]).map(drop)
}

fn kazoo(arguments: &[&str]) -> String {
    run(command(arguments), b"", DEADLINE).succeeded().text()
}

fn try_kazoo(arguments: &[&str]) -> Result<String, String> {
    try_run(command(arguments), b"", DEADLINE)
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(Release::Kafka20.python());
    command
        .arg(project().join("tests/clients/znodes.py"))
        .args(arguments);
    command
}
