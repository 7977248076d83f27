//! A process of the mill: it lives, freezes, and has a clock of its own.

use crate::{plan::Weather, timeline::Timeline};
use async_trait::async_trait;
use engine::Clock;
use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

/// When every world begins, ms since 1970.
pub(crate) const EPOCH_MS: i64 = 1_780_000_000_000;

/// One life of a process, from its start to its end.
#[derive(Debug)]
pub(crate) struct Process {
    /// Which of the world's processes.
    pub(crate) number: usize,
    /// Which of its lives.
    pub(crate) life: u32,
    pub(crate) timeline: Timeline,
    pub(crate) weather: Arc<Weather>,
    frozen_until: AtomicI64,
    skew_ms: AtomicI64,
    /// The latest time this process has seen on its clock.
    seen_ms: AtomicI64,
}

impl Process {
    pub(crate) fn new(
        number: usize,
        life: u32,
        skew_ms: i64,
        timeline: &Timeline,
        weather: &Arc<Weather>,
    ) -> Arc<Self> {
        Arc::new(Self {
            number,
            life,
            timeline: timeline.clone(),
            weather: weather.clone(),
            frozen_until: AtomicI64::new(0),
            skew_ms: AtomicI64::new(skew_ms),
            seen_ms: AtomicI64::new(0),
        })
    }

    /// Nothing of this process goes on before this time.
    pub(crate) fn freeze(&self, until: i64) {
        self.frozen_until.fetch_max(until, Ordering::SeqCst);
    }

    pub(crate) fn frozen_until(&self) -> i64 {
        self.frozen_until.load(Ordering::SeqCst)
    }

    pub(crate) fn skew(&self, ms: i64) {
        self.skew_ms.store(ms, Ordering::SeqCst);
    }

    /// Takes a while, out of a range of milliseconds. Between any two things a process does there
    /// is such a while, and in each it may freeze or end.
    pub(crate) async fn pass(&self, least: i64, most: i64) {
        let ms = self.timeline.draw(least..=most.max(least));
        self.sleep_ms(ms).await;
    }

    async fn sleep_ms(&self, ms: i64) {
        self.timeline.sleep(ms).await;
        loop {
            let frozen = self.frozen_until.load(Ordering::SeqCst) - self.timeline.now();
            if frozen <= 0 {
                return;
            }
            self.timeline.sleep(frozen).await;
        }
    }

    pub(crate) fn seen_ms(&self) -> i64 {
        self.seen_ms.load(Ordering::SeqCst)
    }

    /// Whether a thing that happens so many times in a thousand happens now. Never after the
    /// faults have ended.
    pub(crate) fn fault(&self, per_mille: i64) -> bool {
        self.timeline.now() < self.weather.until && self.timeline.chance(per_mille)
    }

    pub(crate) fn note(&self, what: std::fmt::Arguments<'_>) {
        self.timeline.note(format_args!("p{}.{} {what}", self.number, self.life));
    }
}

#[async_trait]
impl Clock for Process {
    fn now_ms(&self) -> i64 {
        let now = EPOCH_MS + self.timeline.now() + self.skew_ms.load(Ordering::SeqCst);
        self.seen_ms.fetch_max(now, Ordering::SeqCst);
        now
    }

    async fn sleep(&self, delay: Duration) {
        self.sleep_ms(i64::try_from(delay.as_millis()).unwrap_or(i64::MAX / 4)).await;
    }
}
