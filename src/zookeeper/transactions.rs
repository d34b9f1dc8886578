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
    let transactions = pipelined(transactions).await;
    let mut results = Vec::with_capacity(items.len());
    for (items, written) in items.chunks(WRITES).zip(transactions) {
        match written {
            Ok(written) => results.extend(written.into_iter().map(Ok)),
            Err(error) if error.repeated().is_some() => {
                results.extend(items.iter().filter_map(|_| error.repeated()).map(Err));
            }
            Err(_) => results.extend(pipelined(items.iter().cloned().map(&alone)).await),
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
        let (results, _, singles) = written(3 * WRITES, &[WRITES + 3], gone).await;
        for (item, result) in results.into_iter().enumerate() {
            match result {
                Ok(written) => assert_eq!(written, item),
                Err(Error::NotFound { path }) => assert_eq!(path, format!("/{}", WRITES + 3)),
                Err(error) => panic!("{error}"),
            }
        }
        assert!(
            singles.into_iter().eq(WRITES..2 * WRITES),
            "only those of its transaction"
        );
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
