//! How often and how long something is tried.

use std::future::Future;
use std::time::Duration;

use tracing::debug;

use super::Error;

/// How often and how long something is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// Attempts after the first one.
    pub retries: u32,
    /// Pause before each of them.
    pub backoff: Duration,
}

impl Retry {
    /// Tries until it goes well, fails for good, or has been tried often enough.
    pub(super) async fn run<T, F>(&self, mut attempt: impl FnMut() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let mut left = self.retries;
        loop {
            match attempt().await {
                Err(error) if left > 0 && error.is_retriable() => {
                    debug!("trying again, at most {left} times: {error}");
                    left -= 1;
                    tokio::time::sleep(self.backoff).await;
                }
                result => return result,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::ErrorCode;

    async fn attempts(retries: u32, code: ErrorCode) -> u32 {
        let retry = Retry {
            retries,
            backoff: Duration::ZERO,
        };
        let mut count = 0;
        let failed: Result<(), Error> = retry
            .run(|| {
                count += 1;
                async move {
                    Err(Error::Topic {
                        topic: "t".to_owned(),
                        code,
                    })
                }
            })
            .await;
        assert!(failed.is_err());
        count
    }

    #[tokio::test]
    async fn only_what_may_pass_is_tried_again_and_only_so_often() {
        assert_eq!(attempts(3, ErrorCode::LeaderNotAvailable).await, 4);
        assert_eq!(attempts(0, ErrorCode::LeaderNotAvailable).await, 1);
        assert_eq!(attempts(3, ErrorCode::InvalidTopic).await, 1);
    }
}
