//! What may block on a thread that serves others: the disk, long computations.

use tokio::runtime::Handle;
use tokio::runtime::RuntimeFlavor;

/// Does what may take long, while other threads serve whom this one served. On a thread that serves nobody it just does
/// it. Handing over costs a switch of threads: not for what happens with every request.
pub fn in_place<T>(work: impl FnOnce() -> T) -> T {
    // A runtime of a single thread has nobody to hand over to, and panics if it is asked to.
    let others = Handle::try_current().is_ok_and(|it| it.runtime_flavor() == RuntimeFlavor::MultiThread);
    if others {
        tokio::task::block_in_place(work)
    } else {
        work()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_works_without_a_runtime() {
        assert_eq!(in_place(|| 1), 1);
    }

    #[tokio::test]
    async fn it_works_on_a_single_thread() {
        assert_eq!(in_place(|| 1), 1);
    }

    /// One worker, which would never come to the other task if it waited for it itself.
    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn others_go_on_meanwhile() {
        let task = tokio::spawn(async {
            let (sender, receiver) = std::sync::mpsc::channel();
            tokio::spawn(async move { sender.send(1) });
            in_place(|| receiver.recv_timeout(std::time::Duration::from_secs(60)))
        });
        assert_eq!(task.await.unwrap(), Ok(1));
    }
}
