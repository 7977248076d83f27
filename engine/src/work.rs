//! What a runner has in hand, and the tasks that judge it.

use crate::{
    Connector, Fatal, Processor,
    arrival::Arrival,
    fuse::Fuse,
    judge::{Judge, Judged},
    lanes::{Lanes, Place},
};
use ports::Record;
use std::{pin::pin, sync::Arc, task::Poll};
use tokio::{
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    task::{JoinError, JoinSet},
};

/// Events one task judges, one after the other, while effects take no time at all.
const LONGEST_STRIDE: usize = 128;
/// A task that has been at it for so long gives back what is left of its stride.
const LONGEST_WALK_MS: i64 = 10;

/// What is in hand. Worth nothing once the assignment it came under has changed.
#[derive(Debug)]
pub(crate) struct Work {
    /// Records of older epochs are no longer ours.
    pub(crate) epoch: u64,
    pub(crate) lanes: Lanes<Arrived, Finished>,
    pub(crate) running: JoinSet<Result<Walked, Fatal>>,
    /// What tasks give back early.
    pub(crate) early: UnboundedReceiver<Stuck>,
    pub(crate) give_early: UnboundedSender<Stuck>,
    /// Events a task is given. More than one only while effects take no time.
    pub(crate) stride: usize,
    /// Tasks whose event takes longer.
    pub(crate) slow: usize,
    pub(crate) held: Vec<(String, i32)>,
    pub(crate) fuse: Fuse,
    pub(crate) committed_ms: i64,
}

/// An event and when it came, ms since 1970.
#[derive(Debug)]
pub(crate) struct Arrived {
    pub(crate) arrival: Arrival,
    pub(crate) came_ms: i64,
}

/// A judged event, waiting for its lane's earlier ones.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) judged: Judged,
    pub(crate) came_ms: i64,
    pub(crate) at_ms: i64,
}

/// What a task has judged.
#[derive(Debug)]
pub(crate) struct Walked {
    pub(crate) done: Vec<(Place, Finished)>,
    /// What it did not come to.
    pub(crate) left: Vec<(Place, Arrived)>,
    /// An effect took time.
    pub(crate) waited: bool,
}

/// What a task hands over whose event takes longer: what is done and what others may do.
#[derive(Debug)]
pub(crate) struct Stuck {
    pub(crate) done: Vec<(Place, Finished)>,
    pub(crate) left: Vec<(Place, Arrived)>,
}

pub(crate) type Joined = Result<Result<Walked, Fatal>, JoinError>;

/// Judges events one after the other as long as each is done at once. When one takes longer, the
/// rest is given back, so that it keeps nobody waiting, and nothing runs beside it.
async fn walk<P: Processor, C: Connector<P::Effect>>(
    judge: Arc<Judge<P, C>>,
    events: Vec<(Place, Arrived)>,
    early: UnboundedSender<Stuck>,
) -> Result<Walked, Fatal> {
    let done = Vec::with_capacity(events.len());
    let mut walked = Walked { done, left: Vec::new(), waited: false };
    let clock = &*judge.context.clock;
    let until_ms = clock.now_ms() + LONGEST_WALK_MS;
    let mut events = events.into_iter();
    while let Some((place, arrived)) = events.next() {
        let judged = {
            let mut life = pin!(judge.judge(&arrived.arrival));
            match futures::poll!(life.as_mut()) {
                Poll::Ready(judged) => judged?,
                Poll::Pending => {
                    walked.waited = true;
                    let (done, left) = (std::mem::take(&mut walked.done), events.collect());
                    events = Vec::new().into_iter();
                    // Nobody takes it where the work was forgotten meanwhile.
                    drop(early.send(Stuck { done, left }));
                    life.await?
                }
            }
        };
        let Arrived { arrival, came_ms } = arrived;
        walked.done.push((place, Finished { judged, came_ms, at_ms: arrival.at_ms }));
        if events.len() > 0 && clock.now_ms() > until_ms {
            walked.left = events.collect();
            break;
        }
    }
    Ok(walked)
}

impl Work {
    pub(crate) fn new(fuse: Fuse) -> Self {
        let (give_early, early) = unbounded_channel();
        Self {
            epoch: 0,
            lanes: Lanes::new(),
            running: JoinSet::new(),
            early,
            give_early,
            stride: 1,
            slow: 0,
            held: Vec::new(),
            fuse,
            committed_ms: 0,
        }
    }

    pub(crate) fn start_effects<P: Processor, C: Connector<P::Effect>>(
        &mut self,
        judge: &Arc<Judge<P, C>>,
        now: i64,
    ) {
        let concurrency = judge.context.concurrency.max(1);
        while self.running.len() < concurrency {
            // A few events are for all tasks, not for the first.
            let share = self.lanes.ready().div_ceil(concurrency - self.running.len());
            let stride = self.stride.min(share.max(1));
            let lanes = &mut self.lanes;
            let next = std::iter::from_fn(|| lanes.start_next(now));
            let events: Vec<_> = next.take(stride).collect();
            if events.is_empty() {
                break;
            }
            self.running.spawn(walk(judge.clone(), events, self.give_early.clone()));
        }
    }

    /// Drops everything of older epochs; dropping the tasks ends them.
    pub(crate) fn forget_before(&mut self, epoch: u64) {
        *self = Self { epoch, ..Self::new(self.fuse) };
    }

    pub(crate) fn take(&mut self, record: Record, now: i64) -> Result<(), Fatal> {
        let Some(position) = record.position.clone() else {
            return Err(Fatal(format!("the log gave a record of {} no position", record.topic)));
        };
        let arrival = Arrival::read(record, &position, now);
        let (bytes, not_before_ms) = (arrival.record.bytes(), arrival.not_before_ms);
        self.lanes.push(&position, Arrived { arrival, came_ms: now }, bytes, not_before_ms);
        Ok(())
    }

    pub(crate) fn note(&mut self, joined: Joined) -> Result<(), Fatal> {
        let ended = joined.map_err(|error| Fatal(format!("a task ended by itself: {error}")))?;
        let Walked { done, left, waited } = ended?;
        if waited {
            // What it gave back came before its end.
            while let Ok(stuck) = self.early.try_recv() {
                self.take_back(stuck);
            }
            self.slow = self.slow.saturating_sub(1);
        } else if left.is_empty() {
            self.stride = LONGEST_STRIDE.min(2 * self.stride);
        } else {
            self.stride = self.stride.div_ceil(4);
        }
        self.give_back(left);
        self.settle(done);
        Ok(())
    }

    pub(crate) fn take_back(&mut self, Stuck { done, left }: Stuck) {
        self.stride = 1;
        self.slow += 1;
        self.settle(done);
        self.give_back(left);
    }

    pub(crate) fn give_back(&mut self, left: Vec<(Place, Arrived)>) {
        for (place, arrived) in left {
            self.lanes.give_back(place, arrived);
        }
    }

    pub(crate) fn settle(&mut self, done: Vec<(Place, Finished)>) {
        for (place, finished) in done {
            self.lanes.settle(place, finished);
        }
    }
}
