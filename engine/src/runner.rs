//! Owns all that processors must not: the log, the clock, retries, dead letters and metrics.

use crate::{
    Connector, Context, Fatal, Processor, Trouble,
    fuse::Fuse,
    judge::{Judge, Judged, Verdict},
    work::{Arrived, Finished, Joined, Work},
};
use ports::{Committed, Log, Polled, Settled};
use std::{
    future::pending,
    pin::pin,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::select;

/// A lane holds at least so many records before it is held; more with more effects at once.
const WINDOW: usize = 32;
/// The same, and a poll's most records, while effects take no time at all.
const WIDE_WINDOW: usize = 8192;
const WIDE_POLL: usize = 1024;
/// A lane with so many bytes in hand is held even so.
const WIDE_BYTES: usize = 8 << 20;
/// Between two transactions under load. What is idle commits at once.
const COMMIT_EVERY_MS: i64 = 100;
/// The pause after a poll that failed transiently and asked for none.
const POLL_AGAIN: Duration = Duration::from_secs(1);

/// Drives one processor: polls steadily, performs up to `concurrency` effects at once, and
/// commits every lane's settled heads in one transaction: as soon as there are any, or every 100 ms
/// while more are about to follow at once.
#[derive(Debug)]
pub struct Runner<P, C, L> {
    judge: Arc<Judge<P, C>>,
    log: L,
    work: Work,
}

impl<P: Processor, C: Connector<P::Effect>, L: Log> Runner<P, C, L> {
    pub fn new(processor: P, connector: C, log: L, context: Context) -> Self {
        let fuse = Fuse::new(context.policy.fuse);
        let judge = Arc::new(Judge::new(processor, connector, context));
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
        let narrow = WINDOW.max(4 * concurrency);
        while !shutdown.is_cancelled() {
            let now = clock.now_ms();
            self.work.start_effects(&self.judge, now);
            let quick = self.work.stride > 1 && self.work.slow == 0;
            let (window, want) = if quick { (WIDE_WINDOW, WIDE_POLL) } else { (narrow, WINDOW) };
            let held = self.work.lanes.full(window, (narrow, WIDE_BYTES));
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
                Some(stuck) = self.work.early.recv() => self.work.take_back(stuck),
                Some(joined) = self.work.running.join_next() => self.note(joined)?,
                () = wait_until(due, now, &*clock) => {}
                polled = self.log.poll(want) => match polled {
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
            if !self.more_is_about_to_follow() {
                self.commit().await?;
            }
        }
        Ok(())
    }

    /// Effects take no time, there are more of them, and the last transaction was a moment ago.
    fn more_is_about_to_follow(&self) -> bool {
        let Work { stride, slow, lanes, running, committed_ms, .. } = &self.work;
        let now = self.judge.context.clock.now_ms();
        let free = running.len() < self.judge.context.concurrency.max(1);
        *stride > 1
            && now - committed_ms < COMMIT_EVERY_MS
            && (running.len() > *slow || (free && lanes.any_ready(now)))
    }

    /// Gives effects in hand a last chance, commits what is settled and drops the rest: it will
    /// be delivered again. Nothing is waited for that could not be committed.
    async fn wind_down(&mut self) -> Result<(), Fatal> {
        let has_settled = self.work.lanes.any_settled_head();
        if (self.work.running.is_empty() && !has_settled) || !self.log.answers().await {
            return Ok(());
        }
        loop {
            if !self.commit().await? {
                return Ok(());
            }
            select! {
                biased;
                Some(stuck) = self.work.early.recv() => self.work.take_back(stuck),
                joined = self.work.running.join_next() => match joined {
                    Some(joined) => self.note(joined)?,
                    None => return Ok(()),
                },
            }
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
        let mut counted: Vec<Counted> = Vec::with_capacity(heads.len());
        let mut settled = Vec::with_capacity(heads.len());
        let (mut traced, began) = (Vec::new(), SystemTime::now());
        for (done, Finished { judged, came_ms, at_ms }) in heads {
            counted.extend(judged.verdict.map(|verdict| (verdict, came_ms, at_ms)));
            traced.extend(judged.trace);
            settled.push(Settled { done, outputs: judged.outputs });
        }
        match self.commit_and_go_on(settled).await? {
            Ok(Committed::Yes) => self.work.fuse = fuse,
            Ok(Committed::Rewound) => {
                tracing::warn!(processor = P::NAME, "transaction aborted, work is done again");
                self.work.forget_before(self.work.epoch + 1);
                return Ok(false);
            }
            Err(trouble) => return Err(Fatal(trouble.to_string())),
        }
        let now = self.judge.context.clock.now_ms();
        self.work.committed_ms = now;
        for (verdict, came_ms, at_ms) in counted {
            self.judge.meter.judged(verdict, now - came_ms, now - at_ms);
        }
        if let Some(traces) = &self.judge.context.traces {
            traced.into_iter().for_each(|trace| trace.committed(began, &**traces));
        }
        Ok(true)
    }

    /// Commits, and judges what is in hand meanwhile. It is lost where the commit is.
    async fn commit_and_go_on(
        &mut self,
        settled: Vec<Settled>,
    ) -> Result<Result<Committed, Trouble>, Fatal> {
        let Self { judge, log, work } = self;
        let Context { clock, shutdown, .. } = &judge.context;
        let mut committing = pin!(log.commit(work.epoch, settled));
        let mut broken = Ok(());
        let committed = loop {
            if broken.is_ok() && !shutdown.is_cancelled() {
                work.start_effects(judge, clock.now_ms());
            }
            select! {
                biased;
                committed = &mut committing => break committed,
                Some(stuck) = work.early.recv() => work.take_back(stuck),
                // What is wrong with us waits for the commit, which cannot be left alone.
                Some(joined) = work.running.join_next() => broken = broken.and(work.note(joined)),
            }
        };
        broken.map(|()| committed)
    }
}

/// A verdict, when its event came, and when it was made.
type Counted = (Verdict, i64, i64);

async fn wait_until(due: Option<i64>, now: i64, clock: &dyn crate::Clock) {
    match due {
        Some(due) => {
            let wait = Duration::from_millis(u64::try_from(due - now).unwrap_or(0));
            clock.sleep(wait).await;
        }
        None => pending().await,
    }
}
