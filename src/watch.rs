//! `watch`: how much work waits for each processor, for those that decide how many should run.

use crate::{
    cli::WatchArgs, connections, failure::Failure, health::health, output, patience::patiently,
    pipeline::shape, signals::Signals, version,
};
use api::{Reach, Unready};
use connectors::kafka::{Kafka, Waiting, Watch};
use engine::{CancellationToken, Clock, Metrics, SystemClock};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};

/// Between two looks.
const EVERY: Duration = Duration::from_secs(5);
/// The same in a mill that has nothing else to do for hours.
const SELDOM: Duration = Duration::from_secs(10);

/// Looks from within a mill that runs all processors, until `stop`. What cannot be known is logged.
pub fn within(kafka: &Kafka, metrics: &Metrics, stop: &CancellationToken) -> Result<(), Failure> {
    let looking = Looking {
        metrics: metrics.clone(),
        trouble: Arc::default(),
        // The processors' own consumers are asked, once they are there.
        first: EVERY,
        every: SELDOM,
    };
    looking.start(Watch::new(kafka, shape().specs().cloned())?, stop.clone())
}

/// Serves `reelmill_work_lag` and the age of the oldest waiting event until a signal comes.
pub async fn watch(args: WatchArgs) -> Result<(), Failure> {
    let WatchArgs { kafka, port, listen, patience } = args;
    // Mistakes to hear of now rather than in a log.
    let reach = || connections::reached(&kafka, "watch");
    let client = patiently(patience.start_timeout, reach).await?;
    let watch = Watch::new(&client, shape().specs().cloned())?;
    let metrics = version::metrics()?;
    let listener = connections::listen(listen, port).await?;
    let signals = Signals::new()?;
    output::publish(&format!("REELMILL_WATCH=http://{}\n", listener.local_addr()?))?;

    let shutdown = CancellationToken::new();
    let trouble: Arc<Mutex<Option<String>>> = Arc::new(Mutex::new(Some("no look yet".to_owned())));
    let looking = Looking {
        metrics: metrics.clone(),
        trouble: trouble.clone(),
        first: Duration::ZERO,
        every: EVERY,
    };
    looking.start(watch, shutdown.clone())?;
    let readiness = move || {
        let reason = trouble.lock().unwrap_or_else(PoisonError::into_inner).clone();
        reason.map(|reason| Unready { part: "watch".to_owned(), reason }).into_iter().collect()
    };
    let health = health(&metrics, Vec::new(), Arc::new(readiness));
    signals.cancel(shutdown.clone());
    let served =
        api::serve(listener, api::watching(health), Reach::Everyone, shutdown.cancelled_owned());
    served.await.map_err(|e| Failure::start("the api", &e))
}

struct Looking {
    metrics: Metrics,
    /// Why the figures are not those of now.
    trouble: Arc<Mutex<Option<String>>>,
    /// Before the first look, and between two.
    first: Duration,
    every: Duration,
}

impl Looking {
    fn start(self, watch: Watch, stop: CancellationToken) -> Result<(), Failure> {
        let watching = thread::Builder::new().name("watch".to_owned());
        Ok(watching.spawn(move || self.run(watch, &stop)).map(drop)?)
    }

    fn run(self, mut watch: Watch, stop: &CancellationToken) {
        thread::sleep(self.first);
        while !stop.is_cancelled() {
            let reason = match watch.look() {
                Ok(waiting) => {
                    let missing = self.tell(&waiting);
                    if missing.is_none() {
                        self.metrics.set_looked_at(SystemClock.now_ms());
                    }
                    missing
                }
                Err(trouble) => Some(trouble.to_string()),
            };
            // At the end the broker of `up` may go first.
            if let Some(reason) = &reason
                && !stop.is_cancelled()
            {
                tracing::warn!(reason, "what waits is not known, looking again");
            }
            *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = reason;
            thread::sleep(self.every);
        }
    }

    /// Answers with what could not be told.
    fn tell(&self, waiting: &BTreeMap<&'static str, Waiting>) -> Option<String> {
        let now = SystemClock.now_ms();
        for (processor, Waiting { events, oldest_ms }) in waiting {
            let age = oldest_ms.map_or(0, |oldest| now.saturating_sub(oldest));
            let age = Duration::from_millis(u64::try_from(age).unwrap_or_default());
            let events = i64::try_from(*events).unwrap_or(i64::MAX);
            self.metrics.set_work(processor, events, age);
        }
        let all = shape();
        let unread: Vec<_> =
            all.specs().map(|spec| spec.name).filter(|name| !waiting.contains_key(name)).collect();
        (!unread.is_empty())
            .then(|| format!("the topics of {} are not read to their end yet", unread.join(", ")))
    }
}
