//! Time, so that tests need not wait for it.

use async_trait::async_trait;
use std::{
    fmt::Debug,
    sync::Mutex,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::sync::watch;

/// Tells the time and waits.
#[async_trait]
pub trait Clock: Debug + Send + Sync {
    /// Milliseconds since 1970.
    fn now_ms(&self) -> i64;

    async fn sleep(&self, delay: Duration);

    /// Waits for the end of the time that something may take, and usually does not.
    async fn limit(&self, time: Duration) {
        self.sleep(time).await;
    }
}

/// The clock of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    fn now_ms(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    }

    async fn sleep(&self, delay: Duration) {
        tokio::time::sleep(delay).await;
    }
}

/// A clock that stands still until a test moves it, or that jumps over every sleep.
#[derive(Debug)]
pub struct TestClock {
    now: watch::Sender<i64>,
    jumps: bool,
    naps: Mutex<Vec<Duration>>,
}

impl TestClock {
    /// Stands at `now_ms`; sleepers wait for [`TestClock::advance`].
    #[must_use]
    pub fn manual(now_ms: i64) -> Self {
        Self { now: watch::Sender::new(now_ms), jumps: false, naps: Mutex::default() }
    }

    /// Starts at `now_ms` and moves itself forward by every sleep asked for.
    #[must_use]
    pub fn jumping(now_ms: i64) -> Self {
        Self { jumps: true, ..Self::manual(now_ms) }
    }

    pub fn advance(&self, by: Duration) {
        self.now.send_modify(|now| *now += ms(by));
    }

    /// Every sleep asked for, in order.
    #[must_use]
    pub fn naps(&self) -> Vec<Duration> {
        self.naps.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl Clock for TestClock {
    fn now_ms(&self) -> i64 {
        *self.now.borrow()
    }

    async fn sleep(&self, delay: Duration) {
        self.naps.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(delay);
        let until = self.now_ms() + ms(delay);
        if self.jumps {
            tokio::task::yield_now().await;
            self.now.send_modify(|now| *now = until.max(*now));
            return;
        }
        // The sender is ours, so the wait can only end with the time.
        let _ended = self.now.subscribe().wait_for(|now| *now >= until).await.is_ok();
    }

    /// A clock that jumps over every sleep would be at the end of every limit at once.
    async fn limit(&self, time: Duration) {
        if self.jumps {
            std::future::pending::<()>().await;
        }
        self.sleep(time).await;
    }
}

/// Whole milliseconds of a duration.
pub(crate) fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[tokio::test]
    async fn a_sleeper_wakes_only_when_the_clock_is_moved_far_enough() {
        let clock = Arc::new(TestClock::manual(1_000));
        let sleeper = tokio::spawn({
            let clock = clock.clone();
            async move { clock.sleep(Duration::from_secs(2)).await }
        });
        while clock.naps().is_empty() {
            tokio::task::yield_now().await;
        }
        clock.advance(Duration::from_millis(1_999));
        tokio::task::yield_now().await;
        assert!(!sleeper.is_finished());
        clock.advance(Duration::from_millis(1));
        sleeper.await.unwrap();
        assert_eq!(clock.now_ms(), 3_000);
    }
}
