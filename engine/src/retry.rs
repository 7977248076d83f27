//! How patient we are, and how often.

use crate::{Clock, Trouble, clock::ms};
use std::time::Duration;

/// Every number of the failure table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Tries in place per step of an event's life, while the event keeps its lane.
    pub tries: u32,
    /// The first pause between two tries in place; five times as long each time.
    pub first_pause: Duration,
    /// No try in place starts later than this after the step first failed.
    pub patience: Duration,
    /// Attempts that count in all, the first and every one through the retry topic.
    pub attempts: u32,
    /// How long the retry topic delays first; twice as long each time.
    pub first_delay: Duration,
    pub longest_delay: Duration,
    /// No attempt starts later than this after the first one.
    pub deadline: Duration,
    /// The same after a failure that does not count: a service was away, or others had to finish
    /// first.
    pub outage: Duration,
    /// So many events given up in a row, after all their retries, mean that it is us: stop.
    pub fuse: u32,
    /// How long a graceful stop waits for effects in hand, where they can still be committed. The
    /// whole program is to be gone two seconds later.
    pub grace: Duration,
    /// How long it waits for a commit that is under way when it begins.
    pub last_commit: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            tries: 3,
            first_pause: Duration::from_millis(200),
            patience: Duration::from_secs(10),
            attempts: 8,
            first_delay: Duration::from_secs(5),
            longest_delay: Duration::from_secs(300),
            deadline: Duration::from_secs(6 * 3600),
            outage: Duration::from_secs(3 * 24 * 3600),
            fuse: 5,
            grace: Duration::from_secs(8),
            last_commit: Duration::from_secs(1),
        }
    }
}

/// What to do about an attempt that failed transiently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Once more, as this attempt, and not before this time (ms since 1970).
    Again {
        attempt: u32,
        not_before_ms: i64,
    },
    GiveUp(Why),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    Attempts,
    Deadline,
}

impl Policy {
    /// The pause before the next try in place, or `None` when it is time to move on.
    /// `tried` counts from 1; `elapsed` is since the step first failed.
    fn pause(&self, tried: u32, elapsed: Duration, asked: Option<Duration>) -> Option<Duration> {
        let grown = self.first_pause.saturating_mul(5u32.saturating_pow(tried - 1));
        let pause = grown.max(asked.unwrap_or_default());
        (tried < self.tries && elapsed + pause <= self.patience).then_some(pause)
    }

    /// After attempt `attempt` (from 1) of an event first attempted at `since_ms`.
    pub(crate) fn next(
        &self,
        attempt: u32,
        since_ms: i64,
        now_ms: i64,
        asked: Option<Duration>,
    ) -> Next {
        if attempt >= self.attempts {
            return Next::GiveUp(Why::Attempts);
        }
        let doubled = self.first_delay.saturating_mul(2u32.saturating_pow(attempt - 1));
        let delay = doubled.min(self.longest_delay).max(asked.unwrap_or_default());
        let not_before_ms = now_ms.saturating_add(ms(delay));
        if not_before_ms - since_ms > ms(self.deadline) {
            return Next::GiveUp(Why::Deadline);
        }
        Next::Again { attempt: attempt + 1, not_before_ms }
    }

    /// The same after a failure that does not count: it waits as long as it has waited before, so
    /// that a service that comes back is not run down, and nobody has to count.
    pub(crate) fn wait_on(
        &self,
        attempt: u32,
        since_ms: i64,
        now_ms: i64,
        asked: Option<Duration>,
    ) -> Next {
        let waited = Duration::from_millis(u64::try_from(now_ms - since_ms).unwrap_or(0));
        let delay = waited.clamp(self.first_delay.min(self.longest_delay), self.longest_delay);
        let not_before_ms = now_ms.saturating_add(ms(delay.max(asked.unwrap_or_default())));
        if not_before_ms - since_ms > ms(self.outage) {
            return Next::GiveUp(Why::Deadline);
        }
        Next::Again { attempt, not_before_ms }
    }
}

/// Takes a step, and takes it again while the world is to blame and patience lasts.
pub(crate) async fn insist<T, F>(
    clock: &dyn Clock,
    policy: &Policy,
    step: impl Fn() -> F + Send + Sync,
) -> Result<T, Trouble>
where
    F: Future<Output = Result<T, Trouble>> + Send,
{
    let mut tried = 1;
    let mut first_failure_ms = None;
    loop {
        let trouble = match step().await {
            Err(trouble @ Trouble::Transient { .. }) => trouble,
            other => return other,
        };
        let asked = match &trouble {
            Trouble::Transient { after, .. } => *after,
            Trouble::Refused(_) | Trouble::Fatal(_) => None,
        };
        let now = clock.now_ms();
        let elapsed = now - *first_failure_ms.get_or_insert(now);
        let elapsed = Duration::from_millis(u64::try_from(elapsed).unwrap_or(0));
        match policy.pause(tried, elapsed, asked) {
            Some(pause) => clock.sleep(pause).await,
            None => return Err(trouble),
        }
        tried += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TestClock;
    use std::sync::atomic::{AtomicU32, Ordering};

    const SECOND: i64 = 1_000;

    fn delays(policy: &Policy) -> Vec<i64> {
        (1..)
            .map_while(|attempt| match policy.next(attempt, 0, 0, None) {
                Next::Again { not_before_ms, .. } => Some(not_before_ms / SECOND),
                Next::GiveUp(_) => None,
            })
            .collect()
    }

    #[test]
    fn the_delay_grows_from_five_seconds_to_five_minutes_over_eight_attempts() {
        assert_eq!(delays(&Policy::default()), [5, 10, 20, 40, 80, 160, 300]);
    }

    #[test]
    fn the_world_may_ask_for_a_longer_delay() {
        let asked = Some(Duration::from_secs(1000));
        let next = Policy::default().next(1, 0, 7, asked);
        assert_eq!(next, Next::Again { attempt: 2, not_before_ms: 1_000_007 });
    }

    #[test]
    fn no_attempt_starts_after_the_deadline() {
        let six_hours = 6 * 3600 * SECOND;
        let policy = Policy::default();
        let last = policy.next(1, 0, six_hours - 5 * SECOND, None);
        assert_eq!(last, Next::Again { attempt: 2, not_before_ms: six_hours });
        let late = policy.next(1, 0, six_hours - 5 * SECOND + 1, None);
        assert_eq!(late, Next::GiveUp(Why::Deadline));
    }

    #[test]
    fn an_outage_is_waited_for_without_counting_until_three_days_are_over() {
        let policy = Policy::default();
        let (mut now, mut waits, mut tries) = (0, Vec::new(), 0);
        while let Next::Again { attempt, not_before_ms } = policy.wait_on(3, 0, now, None) {
            assert_eq!(attempt, 3);
            waits.push((not_before_ms - now) / SECOND);
            (now, tries) = (not_before_ms, tries + 1);
        }
        assert_eq!(waits[..8], [5, 5, 10, 20, 40, 80, 160, 300]);
        assert_eq!(waits.iter().max(), Some(&300));
        let three_days = 3 * 24 * 3600 * SECOND;
        assert!(now <= three_days && now > three_days - 300 * SECOND, "gave up at {now} ms");
        let asked = policy.wait_on(1, 0, 7, Some(Duration::from_secs(1000)));
        assert_eq!(asked, Next::Again { attempt: 1, not_before_ms: 1_000_007 });
    }

    async fn tries(clock: &TestClock, after: Option<Duration>) -> u32 {
        let tries = AtomicU32::new(0);
        let result: Result<(), _> =
            insist(clock, &Policy::default(), || {
                tries.fetch_add(1, Ordering::SeqCst);
                let detail = String::new();
                async move {
                    Err(Trouble::Transient { reason: "throttled", detail, after, counted: true })
                }
            })
            .await;
        assert!(result.is_err());
        tries.into_inner()
    }

    #[tokio::test]
    async fn three_tries_in_place_with_growing_pauses() {
        let clock = TestClock::jumping(0);
        assert_eq!(tries(&clock, None).await, 3);
        assert_eq!(clock.naps(), [Duration::from_millis(200), Duration::from_secs(1)]);
    }

    #[tokio::test]
    async fn a_wish_within_patience_is_honoured_in_place() {
        let clock = TestClock::jumping(0);
        assert_eq!(tries(&clock, Some(Duration::from_secs(4))).await, 3);
        assert_eq!(clock.naps(), [Duration::from_secs(4), Duration::from_secs(4)]);
    }

    #[tokio::test]
    async fn a_wish_beyond_patience_is_not_waited_for_in_place() {
        let clock = TestClock::jumping(0);
        assert_eq!(tries(&clock, Some(Duration::from_secs(6))).await, 2);
        assert_eq!(tries(&clock, Some(Duration::from_secs(11))).await, 1);
    }
}
