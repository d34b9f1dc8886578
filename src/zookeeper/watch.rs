//! "The value now, and after every change" as a stream.
//!
//! ZooKeeper's watches fire once. Each is armed by the very read whose value is handed out, so no change falls between
//! them; several changes in a row may be seen as one.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use tokio::sync::oneshot;
use zookeeper_client::OneshotWatcher;

use crate::zookeeper::Error;
use crate::zookeeper::Node;
use crate::zookeeper::Retry;
use crate::zookeeper::SessionId;
use crate::zookeeper::Store;
use crate::zookeeper::found;

/// Completes when something that was read is no longer so.
pub(super) type Change = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What is watched, and how its content is understood.
enum Subject<T> {
    /// What the node holds; `None` while there is no such node.
    Content(fn(&str, Option<Node>) -> Result<T, Error>),
    /// Names of the node's children; none while there is no such node.
    Children(fn(Vec<String>) -> T),
}

/// A value in ZooKeeper that is followed for as long as the session lasts.
pub struct Watched<T> {
    store: Store,
    path: String,
    subject: Subject<T>,
    /// Completes when the value that was handed out last is outdated.
    change: Option<Change>,
}

impl<T> Watched<T> {
    pub(super) fn content(
        store: &Store,
        path: String,
        parse: fn(&str, Option<Node>) -> Result<T, Error>,
    ) -> Self {
        Self::new(store, path, Subject::Content(parse))
    }

    pub(super) fn children(store: &Store, path: String, parse: fn(Vec<String>) -> T) -> Self {
        Self::new(store, path, Subject::Children(parse))
    }

    fn new(store: &Store, path: String, subject: Subject<T>) -> Self {
        Self {
            store: store.clone(),
            path,
            subject,
            change: None,
        }
    }

    /// The value now when called first, later the value after the next change. Waits through the times when ZooKeeper
    /// is away. After [`Error::Corrupt`] it can be called again; after [`Error::SessionLost`] it is of no more use.
    ///
    /// Nothing is lost when the future is dropped before it completes.
    pub async fn next(&mut self) -> Result<T, Error> {
        if let Some(change) = &mut self.change {
            tokio::select! {
                () = change => {}
                () = self.store.ended() => return Err(Error::SessionLost),
            }
            self.change = None;
        }
        loop {
            match self.read().await {
                Err(Error::Unavailable { .. }) => {}
                result => return result,
            }
        }
    }

    async fn read(&mut self) -> Result<T, Error> {
        match self.subject {
            Subject::Content(parse) => {
                let (node, change) = self.store.read_and_watch(&self.path).await?;
                self.change = Some(change);
                parse(&self.path, node)
            }
            Subject::Children(parse) => {
                let (children, change) = self.store.children_and_watch(&self.path).await?;
                self.change = Some(change);
                Ok(parse(children))
            }
        }
    }
}

impl<T> fmt::Debug for Watched<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// What the node holds, if there is one, and what completes when that has changed.
    pub(super) async fn read_and_watch(&self, path: &str) -> Result<(Option<Node>, Change), Error> {
        loop {
            let read = self
                .call(path, Retry::Safe, |client| async move {
                    client.get_and_watch_data(path).await
                })
                .await;
            if let Some((data, stat, watcher)) = found(read)? {
                let node = Node {
                    data,
                    version: stat.version,
                    owner: SessionId(stat.ephemeral_owner),
                };
                return Ok((Some(node), change(watcher)));
            }
            if let Some(change) = self.watch_absence(path).await? {
                return Ok((None, change));
            }
        }
    }

    async fn children_and_watch(&self, path: &str) -> Result<(Vec<String>, Change), Error> {
        loop {
            let read = self
                .call(path, Retry::Safe, |client| async move {
                    client.list_and_watch_children(path).await
                })
                .await;
            if let Some((children, watcher)) = found(read)? {
                return Ok((children, change(watcher)));
            }
            if let Some(change) = self.watch_absence(path).await? {
                return Ok((Vec::new(), change));
            }
        }
    }

    /// Watches for the creation of a node; `None` if it is there already.
    async fn watch_absence(&self, path: &str) -> Result<Option<Change>, Error> {
        let (stat, watcher) = self
            .call(path, Retry::Safe, |client| async move {
                client.check_and_watch_stat(path).await
            })
            .await?;
        let change = change(watcher);
        Ok(stat.is_none().then_some(change))
    }
}

/// Waits for a watch in a task of its own, which ends when it fires or with the session, and not before: dropping a
/// watcher makes the client send a request that servers of 3.4 don't know, and they close the connection over it.
fn change(watcher: OneshotWatcher) -> Change {
    let (changed, change) = oneshot::channel();
    tokio::spawn(async move {
        watcher.changed().await;
        // Nobody may be interested any more.
        let _ = changed.send(());
    });
    Box::pin(async move {
        // An error means that the runtime is going down.
        let _ = change.await;
    })
}
