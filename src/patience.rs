//! Waiting for services that are away when a part of a deployment starts.

use crate::failure::Failure;
use backon::{ExponentialBuilder, Retryable};
use std::time::Duration;

/// Between two attempts: at first, and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));

/// Tries again, ever more rarely, what fails because a service is away, and says so each time; after
/// `at_most_s` seconds of waiting the failure stands. Other failures stand at once.
pub async fn patiently<T, Trying>(
    at_most_s: u64,
    attempt: impl FnMut() -> Trying,
) -> Result<T, Failure>
where
    Trying: Future<Output = Result<T, Failure>>,
{
    attempt
        .retry(pauses(at_most_s))
        .sleep(tokio::time::sleep)
        .when(Failure::may_pass)
        .notify(|failure, pause| {
            tracing::warn!("{failure}; trying again in {} ms", pause.as_millis());
        })
        .await
}

fn pauses(at_most_s: u64) -> ExponentialBuilder {
    ExponentialBuilder::default()
        .with_min_delay(PAUSE.0)
        .with_max_delay(PAUSE.1)
        .without_max_times()
        .with_total_delay(Some(Duration::from_secs(at_most_s)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use backon::BackoffBuilder;
    use engine::Trouble;
    use std::cell::Cell;

    async fn attempts(at_most_s: u64, trouble: Trouble, away_for: u32) -> (u32, bool) {
        let made = Cell::new(0);
        let result = patiently(at_most_s, async || {
            made.set(made.get() + 1);
            if made.get() <= away_for {
                return Err(Failure::outside("kafka", "there", "--kafka", &trouble));
            }
            Ok(())
        });
        let there = result.await.is_ok();
        (made.get(), there)
    }

    fn away() -> Trouble {
        Trouble::away("away", "refused")
    }

    #[tokio::test]
    async fn only_a_service_that_is_away_is_waited_for() {
        assert_eq!(attempts(60, away(), 0).await, (1, true));
        assert_eq!(attempts(60, away(), 2).await, (3, true));
        assert_eq!(attempts(0, away(), 2).await, (1, false));
        assert_eq!(attempts(60, Trouble::fatal("wrong keys"), 2).await, (1, false));
    }

    #[test]
    fn nobody_waits_longer_than_told() {
        for at_most_s in [0, 1, 60] {
            let pauses: Vec<_> = pauses(at_most_s).build().collect();
            let all = pauses.iter().sum::<Duration>();
            let told = Duration::from_secs(at_most_s);
            assert!(all <= told && all + PAUSE.1 > told, "{pauses:?}");
            assert!(pauses.iter().all(|pause| (PAUSE.0..=PAUSE.1).contains(pause)), "{pauses:?}");
        }
    }
}
