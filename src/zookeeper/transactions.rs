//! Many writes in few requests: so many at a time in one transaction, and many transactions under way.

use std::future::Future;

use crate::zookeeper::Error;
use crate::zookeeper::pipeline::pipelined;

/// Writes in one transaction. ZooKeeper refuses requests of 1 MiB (`jute.maxbuffer`); these stay far below with the
/// longest names, and one that fails costs no more than so many single writes.
const WRITES: usize = 64;

/// Writes many nodes, `together` or, where a transaction is refused because of one of them, each `alone`. Results in the
/// order of the nodes.
///
/// A transaction takes effect as a whole or not at all, so those beside a node that was changed or is gone are not lost
/// with it.
pub(super) async fn in_transactions<I, T, M, O>(
    items: &[I],
    together: impl Fn(Vec<I>) -> M,
    alone: impl Fn(I) -> O,
) -> Vec<Result<T, Error>>
where
    I: Clone,
    T: Send + 'static,
    M: Future<Output = Result<Vec<T>, Error>> + Send + 'static,
    O: Future<Output = Result<T, Error>> + Send + 'static,
{
    let transactions = items.chunks(WRITES).map(|items| together(items.to_vec()));
    let written = pipelined(transactions).await;
    let refused = |written: &Result<_, Error>| matches!(written, Err(error) if error.repeated().is_none());
    let singly = items
        .chunks(WRITES)
        .zip(&written)
        .filter(|(_, written)| refused(written));
    let singly = singly.flat_map(|(items, _)| items.iter().cloned()).map(alone);
    let mut singly = pipelined(singly).await.into_iter();
    let mut results = Vec::with_capacity(items.len());
    for (items, written) in items.chunks(WRITES).zip(written) {
        match written {
            Ok(written) => results.extend(written.into_iter().map(Ok)),
            Err(error) => match error.repeated() {
                Some(_) => results.extend(items.iter().filter_map(|_| error.repeated()).map(Err)),
                None => results.extend(singly.by_ref().take(items.len())),
            },
        }
    }
    results
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::Mutex;

    use super::*;

    /// Writes so many nodes; a transaction with one of `refused` in it fails, as that node alone does. Also what was asked
    /// for: the lengths of the transactions, and the nodes written alone.
    async fn written(
        count: usize,
        refused: &'static [usize],
        failure: fn(usize) -> Error,
    ) -> (Vec<Result<usize, Error>>, Vec<usize>, Vec<usize>) {
        let transactions = Arc::new(Mutex::new(Vec::new()));
        let singles = Arc::new(Mutex::new(Vec::new()));
        let items: Vec<usize> = (0..count).collect();
        let together = |items: Vec<usize>| {
            transactions.lock().unwrap().push(items.len());
            async move {
                match items.iter().find(|item| refused.contains(item)) {
                    Some(item) => Err(failure(*item)),
                    None => Ok(items),
                }
            }
        };
        let alone = |item: usize| {
            singles.lock().unwrap().push(item);
            async move {
                if refused.contains(&item) {
                    Err(failure(item))
                } else {
                    Ok(item)
                }
            }
        };
        let results = in_transactions(&items, together, alone).await;
        let transactions = transactions.lock().unwrap().clone();
        let singles = singles.lock().unwrap().clone();
        (results, transactions, singles)
    }

    fn gone(item: usize) -> Error {
        Error::NotFound {
            path: format!("/{item}"),
        }
    }

    #[tokio::test]
    async fn many_are_written_with_few_requests_in_their_order() {
        let count = 2 * WRITES + 1;
        let (results, transactions, singles) = written(count, &[], gone).await;
        let results: Vec<_> = results.into_iter().map(Result::unwrap).collect();
        assert!(results.into_iter().eq(0..count));
        assert_eq!(transactions, [WRITES, WRITES, 1]);
        assert!(singles.is_empty());
        assert!(written(0, &[], gone).await.0.is_empty());
    }

    #[tokio::test]
    async fn one_that_fails_takes_none_with_it() {
        const REFUSED: [usize; 2] = [WRITES + 3, 3 * WRITES];
        let (results, _, singles) = written(4 * WRITES, &REFUSED, gone).await;
        assert_eq!(results.len(), 4 * WRITES);
        for (item, result) in results.into_iter().enumerate() {
            match result {
                Ok(written) => assert!(written == item && !REFUSED.contains(&item), "{written}, {item}"),
                Err(Error::NotFound { path }) => {
                    assert!(
                        REFUSED.contains(&item) && path == format!("/{item}"),
                        "{path}, {item}"
                    );
                }
                Err(error) => panic!("{error}"),
            }
        }
        let theirs = (WRITES..2 * WRITES).chain(3 * WRITES..4 * WRITES);
        assert!(singles.into_iter().eq(theirs), "only those of their transactions");
    }

    #[tokio::test]
    async fn what_concerns_the_whole_session_is_not_asked_again() {
        let failures: [fn(usize) -> Error; 3] = [
            |_| Error::SessionLost,
            |_| Error::Unavailable {
                path: "/p".to_owned(),
            },
            |_| Error::Fenced {
                path: "/p".to_owned(),
            },
        ];
        for failure in failures {
            let (results, _, singles) = written(WRITES, &[7], failure).await;
            assert_eq!(results.len(), WRITES);
            for result in results {
                assert_eq!(result.unwrap_err().to_string(), failure(7).to_string());
            }
            assert!(singles.is_empty());
        }
    }
}
