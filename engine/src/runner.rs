//! Owns all that processors must not: the log, the clock, retries, dead letters and metrics.

use crate::{
    Connector, Context, Fatal, Processor, Trouble,
    arrival::Arrival,
    fuse::Fuse,
    judge::{Judge, Judged},
    lanes::Lanes,
};
use ports::{Committed, Log, Polled, Position, Record, Settled};
use std::{future::pending, sync::Arc, time::Duration};
use tokio::{
    select,
    task::{JoinError, JoinSet},
};

/// A lane holds at least so many records before it is held; more with more effects at once.
const WINDOW: usize = 32;
/// The pause after a poll that failed transiently and asked for none.
const POLL_AGAIN: Duration = Duration::from_secs(1);

/// Drives one processor: polls steadily, performs up to `concurrency` effects at once, and
/// commits every lane's settled heads in one transaction as soon as there are any.
#[derive(Debug)]
pub struct Runner<P, C, L> {
    judge: Arc<Judge<P, C>>,
    log: L,
    work: Work,
}

/// What is in hand. Worth nothing once the assignment it came under has changed.
#[derive(Debug)]
struct Work {
    /// Records of older epochs are no longer ours.
    epoch: u64,
    lanes: Lanes<Arrived, Finished>,
    running: JoinSet<(Position, Arrived, Result<Judged, Fatal>)>,
    held: Vec<(String, i32)>,
    fuse: Fuse,
}

/// An event and when it came, ms since 1970.
#[derive(Debug)]
struct Arrived {
    arrival: Arrival,
    came_ms: i64,
}

/// A judged event, waiting for its lane's earlier ones.
#[derive(Debug)]
struct Finished {
    judged: Judged,
    came_ms: i64,
    at_ms: i64,
}

type Joined = Result<(Position, Arrived, Result<Judged, Fatal>), JoinError>;

impl<P: Processor, C: Connector<P::Effect>, L: Log> Runner<P, C, L> {
    pub fn new(processor: P, connector: C, log: L, context: Context) -> Self {
        let fuse = Fuse::new(context.policy.fuse);
        let judge = Arc::new(Judge { processor, connector, context });
        Self { judge, log, work: Work::new(fuse) }
    }

    /// Runs until the shutdown, or until something is wrong with us. Then no offset has moved
    /// that was not settled, and nothing keeps running.
    pub async fn run(mut self) -> Result<(), Fatal> {
        let Context { clock, shutdown, policy, .. } = self.judge.context.clone();
        let overdue = async {
            shutdown.cancelled().await;
            clock.sleep(policy.last_commit).await;
        };
        // Only a commit can keep a turn from seeing the shutdown. One that takes longer than this
        // will not come to its end any more, and what it has in hand is given back.
        let turned = select! {
            biased;
            turned = self.turn() => turned.map(|()| true),
            () = overdue => Ok(false),
        };
        let result = match turned {
            Ok(true) => {
                // A commit that is cut off here is of no more worth than one that never began.
                let grace = clock.sleep(policy.grace);
                select! {
                    biased;
                    done = self.wind_down() => done,
                    () = grace => Ok(()),
                }
            }
            Ok(false) => Ok(()),
            Err(fatal) => Err(fatal),
        };
        if let Err(fatal) = &result {
            tracing::error!(processor = P::NAME, %fatal, "stopped, no further offset moves");
        }
        self.work.running.shutdown().await;
        self.log.close().await;
        result
    }

    async fn turn(&mut self) -> Result<(), Fatal> {
        let Context { clock, shutdown, concurrency, .. } = self.judge.context.clone();
        let window = WINDOW.max(4 * concurrency);
        while !shutdown.is_cancelled() {
            let now = clock.now_ms();
            self.start_effects(now);
            let held = self.work.lanes.full(window);
            if held != self.work.held {
                self.log.hold(held.clone());
                self.work.held = held;
            }
            // Only a record that waits for its time needs waking up for; one that waits for a
            // free place starts when an effect has ended.
            let due = self.work.lanes.next_due().filter(|due| *due > now);
            select! {
                // In this order, and not in a random one, so that a simulation can be repeated.
                // It starves nobody: what is in hand is finite, and only polling brings more.
                biased;
                () = shutdown.cancelled() => break,
                Some(joined) = self.work.running.join_next() => self.note(joined)?,
                () = wait_until(due, now, &*clock) => {}
                polled = self.log.poll(WINDOW) => match polled {
                    Ok(polled) => self.take(polled)?,
                    Err(Trouble::Transient { reason, detail, after, .. }) => {
                        tracing::warn!(processor = P::NAME, reason, detail, "cannot read for now");
                        // The log may ask for minutes; a stop does not wait for them.
                        select! {
                            biased;
                            () = shutdown.cancelled() => break,
                            () = clock.sleep(after.unwrap_or(POLL_AGAIN)) => {}
                        }
                    }
                    Err(trouble) => return Err(Fatal(trouble.to_string())),
                },
            }
            self.commit().await?;
        }
        Ok(())
    }

    /// Gives effects in hand a last chance, commits what is settled and drops the rest: it will
    /// be delivered again. Nothing is waited for that could not be committed.
    async fn wind_down(&mut self) -> Result<(), Fatal> {
        if self.work.running.is_empty() || !self.log.answers().await {
            return Ok(());
        }
        while let Some(joined) = self.work.running.join_next().await {
            self.note(joined)?;
            if !self.commit().await? {
                return Ok(());
            }
        }
        Ok(())
    }

    fn start_effects(&mut self, now: i64) {
        let concurrency = self.judge.context.concurrency.max(1);
        while self.work.running.len() < concurrency {
            let Some((position, arrived)) = self.work.lanes.start_next(now) else { break };
            let judge = self.judge.clone();
            self.work.running.spawn(async move {
                let result = judge.judge(&arrived.arrival).await;
                (position, arrived, result)
            });
        }
    }

    fn take(&mut self, polled: Polled) -> Result<(), Fatal> {
        match polled {
            Polled::Idle => Ok(()),
            Polled::Rebalanced { epoch } => {
                self.work.forget_before(epoch);
                Ok(())
            }
            Polled::Records { epoch, .. } if epoch < self.work.epoch => Ok(()),
            Polled::Records { epoch, records } => {
                if epoch > self.work.epoch {
                    self.work.forget_before(epoch);
                }
                let now = self.judge.context.clock.now_ms();
                records.into_iter().try_for_each(|record| self.work.take(record, now))
            }
        }
    }

    /// Takes note of an ended task, and of all others that ended with it.
    fn note(&mut self, joined: Joined) -> Result<(), Fatal> {
        self.work.note(joined)?;
        while let Some(joined) = self.work.running.try_join_next() {
            self.work.note(joined)?;
        }
        Ok(())
    }

    /// One transaction for every lane's settled heads, if there are any. False where it was
    /// aborted, and all that was in hand is forgotten.
    async fn commit(&mut self) -> Result<bool, Fatal> {
        let now = self.judge.context.clock.now_ms();
        // One event that waits five minutes must not hold back others that waited five seconds.
        self.work.lanes.overtake(now, |Arrived { arrival, came_ms }| {
            let at_ms = arrival.at_ms;
            Finished { judged: Judged::postponed(arrival, P::NAME), came_ms, at_ms }
        });
        let heads = self.work.lanes.take_heads();
        if heads.is_empty() {
            return Ok(true);
        }
        let mut fuse = self.work.fuse;
        if heads.iter().any(|(_, finished)| fuse.note(finished.judged.sign)) {
            let limit = self.judge.context.policy.fuse;
            return Err(Fatal(format!(
                "{} gave up {limit} events in a row: the fault is likely ours, see the last \
                 warnings, then start again",
                P::NAME
            )));
        }
        let settled = heads
            .iter()
            .map(|(done, finished)| Settled {
                done: done.clone(),
                outputs: finished.judged.outputs.clone(),
            })
            .collect();
        match self.log.commit(self.work.epoch, settled).await {
            Ok(Committed::Yes) => self.work.fuse = fuse,
            Ok(Committed::Rewound) => {
                tracing::warn!(processor = P::NAME, "transaction aborted, work is done again");
                self.work.forget_before(self.work.epoch + 1);
                return Ok(false);
            }
            Err(trouble) => return Err(Fatal(trouble.to_string())),
        }
        let Context { clock, metrics, .. } = &self.judge.context;
        let now = clock.now_ms();
        for (_, Finished { judged, came_ms, at_ms }) in heads {
            if let Some(verdict) = judged.verdict {
                metrics.judged(P::NAME, verdict, now - came_ms, now - at_ms);
            }
        }
        Ok(true)
    }
}

impl Work {
    fn new(fuse: Fuse) -> Self {
        Self { epoch: 0, lanes: Lanes::new(), running: JoinSet::new(), held: Vec::new(), fuse }
    }

    /// Drops everything of older epochs; dropping the tasks ends them.
    fn forget_before(&mut self, epoch: u64) {
        *self = Self { epoch, ..Self::new(self.fuse) };
    }

    fn take(&mut self, record: Record, now: i64) -> Result<(), Fatal> {
        let Some(position) = record.position.clone() else {
            return Err(Fatal(format!("the log gave a record of {} no position", record.topic)));
        };
        let arrival = Arrival::read(record, &position, now);
        let not_before_ms = arrival.not_before_ms;
        self.lanes.push(position, Arrived { arrival, came_ms: now }, not_before_ms);
        Ok(())
    }

    fn note(&mut self, joined: Joined) -> Result<(), Fatal> {
        let (position, Arrived { arrival, came_ms }, result) =
            joined.map_err(|error| Fatal(format!("a task ended by itself: {error}")))?;
        let finished = Finished { judged: result?, came_ms, at_ms: arrival.at_ms };
        self.lanes.settle(&position, finished);
        Ok(())
    }
}

async fn wait_until(due: Option<i64>, now: i64, clock: &dyn crate::Clock) {
    match due {
        Some(due) => {
            let wait = Duration::from_millis(u64::try_from(due - now).unwrap_or(0));
            clock.sleep(wait).await;
        }
        None => pending().await,
    }
}
