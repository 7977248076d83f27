//! A processor's log: a member of a group.

use crate::{
    broker::{Broker, Lane, place, spot},
    bugs::Bug,
    process::Process,
};
use engine::{LogOpener, Spec, header};
use ports::{Committed, Log, Polled, Record, Settled, Trouble};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

/// Opens logs for one process.
#[derive(Debug)]
pub(crate) struct Opener {
    pub(crate) broker: Arc<Broker>,
    pub(crate) process: Arc<Process>,
    pub(crate) partitions: i32,
}

impl LogOpener for Opener {
    type Log = SimLog;

    async fn open(&self, spec: &Spec) -> Result<SimLog, Trouble> {
        self.process.pass(0, self.process.weather.call_ms).await;
        if self.process.fault(self.process.weather.poll) {
            return Err(Trouble::transient("broker_away", "simulated"));
        }
        let member = self.broker.join(spec.name, &spec.reads, self.process.number);
        Ok(SimLog {
            broker: self.broker.clone(),
            process: self.process.clone(),
            partitions: self.partitions,
            group: spec.name,
            member,
            epoch: 0,
            next: BTreeMap::new(),
            held: BTreeSet::new(),
            left: false,
        })
    }
}

/// One member of a group.
#[derive(Debug)]
pub(crate) struct SimLog {
    broker: Arc<Broker>,
    process: Arc<Process>,
    partitions: i32,
    group: &'static str,
    member: u64,
    /// The generation whose assignment `next` is.
    epoch: u64,
    next: BTreeMap<Lane, i64>,
    held: BTreeSet<Lane>,
    left: bool,
}

impl SimLog {
    fn look(&mut self, want: usize) -> Option<Polled> {
        let timeline = &self.process.timeline;
        let mut state = self.broker.lock();
        let group = state.groups.get_mut(self.group)?;
        let mut fresh = false;
        if group.hears(self.member, self.process.number, timeline.now())
            && group.generation != self.epoch
        {
            fresh = true;
            self.epoch = group.generation;
            self.held.clear();
            let before = std::mem::take(&mut self.next);
            self.next = group.assignment(self.member, self.partitions);
            if self.broker.bug == Some(Bug::EndOfLog) {
                for (lane, next) in &mut self.next {
                    *next = before.get(lane).copied().unwrap_or(*next).max(*next);
                }
            }
            self.process.note(format_args!("{} epoch {}", self.group, self.epoch));
            // A log may say so on its own, or with the first records.
            if timeline.chance(700) {
                return Some(Polled::Rebalanced { epoch: self.epoch });
            }
        }
        let mut found: Vec<Record> = Vec::new();
        for (lane, next) in self.next.iter_mut().filter(|(lane, _)| !self.held.contains(*lane)) {
            let waiting = state.records.get(lane).map_or(&[][..], Vec::as_slice);
            let waiting = &waiting[waiting.len().min(usize::try_from(*next).unwrap_or(0))..];
            if waiting.is_empty() {
                continue;
            }
            let room = waiting.len().min(want - found.len());
            let take = if room > 1 && timeline.chance(300) { timeline.index(room) } else { room };
            found.extend_from_slice(&waiting[..take]);
            *next += take as i64;
            if self.broker.bug == Some(Bug::CutBatchLosesRecord) && take < room {
                *next += 1;
            }
        }
        if found.is_empty() {
            return fresh.then_some(Polled::Rebalanced { epoch: self.epoch });
        }
        for record in &found {
            self.process.note(format_args!("{} reads {}", self.group, place(&record.position)));
        }
        Some(Polled::Records { epoch: self.epoch, records: found })
    }

    /// What a member does after a transaction that went wrong: it starts over.
    fn start_over(&mut self) {
        if self.broker.bug != Some(Bug::RewoundInName) {
            self.broker.rebalance(self.group);
        }
    }

    fn say(&self, what: &str, settled: &[Settled]) {
        let done: Vec<_> = settled
            .iter()
            .map(|s| {
                let outputs: Vec<_> = s.outputs.iter().map(|o| o.topic.as_str()).collect();
                format!("{} -> {outputs:?}", spot(&s.done))
            })
            .collect();
        self.process.note(format_args!("{} {what} {}", self.group, done.join("; ")));
    }

    /// The transaction in two steps with a while between them, as a planted bug has it.
    async fn torn(&self, settled: &[Settled], epoch: u64, offsets_first: bool) -> bool {
        if self.broker.fenced(self.group, self.member, epoch) {
            return false;
        }
        let half = |offsets: bool| {
            if offsets {
                self.broker.move_on(self.group, settled, &self.process);
            } else {
                self.broker.write(self.group, settled, &self.process);
            }
        };
        half(offsets_first);
        self.process.pass(0, self.process.weather.call_ms).await;
        half(!offsets_first);
        true
    }

    /// What planted bugs do to outputs on their way.
    fn spoil(&self, settled: &mut [Settled]) {
        for output in settled.iter_mut().flat_map(|s| &mut s.outputs) {
            let drop_header = |record: &mut Record, prefix: &str| {
                record.headers.0.retain(|(name, _)| !name.starts_with(prefix));
            };
            let retry = output.topic.starts_with("reelmill.retry.");
            let dead = output.topic.starts_with("reelmill.dead.");
            match self.broker.bug {
                Some(Bug::RetryForgetsAttempt) if retry => drop_header(output, header::ATTEMPT),
                Some(Bug::RetryForgetsTime) if retry => drop_header(output, header::NOT_BEFORE),
                Some(Bug::RetryForgetsOrigin) if retry => {
                    drop_header(output, "reelmill.retry.origin");
                }
                Some(Bug::DeadLetterReencoded) if dead => {
                    let value = output.value.take().unwrap_or_default();
                    output.value = Some(String::from_utf8_lossy(&value).into_owned().into());
                }
                Some(Bug::DeadLetterWithoutHeaders) if dead => drop_header(output, "ce_"),
                Some(Bug::RandomIds) if !retry && !dead => {
                    let id = format!("{:x}", self.process.timeline.draw(0..=i64::MAX));
                    output.headers.set("ce_id", id);
                }
                _ => {}
            }
        }
    }
}

impl Log for SimLog {
    async fn poll(&mut self, want: usize) -> Result<Polled, Trouble> {
        let process = self.process.clone();
        let fetch_ms = process.weather.call_ms.min(200);
        process.pass(0, fetch_ms).await;
        if process.fault(process.weather.poll) {
            let asked = process.timeline.draw(0..=30_000);
            let after = (asked > 10_000).then(|| Duration::from_millis(asked.unsigned_abs()));
            let detail = "simulated".to_owned();
            return Err(Trouble::transient("broker_away", detail).not_before(after));
        }
        // A real log looks up every 100 ms. Most of these here wait longer, because nothing but
        // the time this takes depends on it.
        let patience = if process.timeline.chance(50) { 100 } else { 60_000 };
        let news = self.broker.lock().groups.get(self.group).map(|group| group.news.clone());
        let Some(news) = news else { return Ok(Polled::Idle) };
        let mut idle = std::pin::pin!(process.timeline.sleep(patience));
        loop {
            let mut notified = std::pin::pin!(news.notified());
            notified.as_mut().enable();
            if let Some(polled) = self.look(want) {
                return Ok(polled);
            }
            tokio::select! {
                biased;
                () = &mut idle => return Ok(Polled::Idle),
                () = &mut notified => {}
            }
            process.pass(0, fetch_ms).await;
        }
    }

    fn hold(&mut self, held: Vec<(String, i32)>) {
        self.held = held.into_iter().collect();
    }

    async fn commit(
        &mut self,
        epoch: u64,
        mut settled: Vec<Settled>,
    ) -> Result<Committed, Trouble> {
        let process = self.process.clone();
        let call_ms = process.weather.call_ms;
        self.spoil(&mut settled);
        process.pass(0, call_ms).await;
        if process.fault(process.weather.abort) {
            self.say("aborts", &settled);
            if self.broker.bug == Some(Bug::DirtyReads) {
                self.broker.write(self.group, &settled, &process);
            }
            self.start_over();
            return Ok(Committed::Rewound);
        }
        let unknown = process.fault(process.weather.unknown);
        let committed = match self.broker.bug {
            Some(Bug::OffsetsFirst) => self.torn(&settled, epoch, true).await,
            Some(Bug::OutputsFirst) => self.torn(&settled, epoch, false).await,
            _ => self.broker.transact(self.group, self.member, epoch, &settled, &process),
        };
        self.say(if committed { "commits" } else { "is fenced with" }, &settled);
        process.pass(0, call_ms).await;
        if unknown && committed && self.broker.bug == Some(Bug::UnknownSentAgain) {
            self.broker.write(self.group, &settled, &process);
        }
        if !committed {
            // Somebody else's work by now; the next poll tells of it.
            return Ok(Committed::Rewound);
        }
        if unknown && self.broker.bug != Some(Bug::UnknownSentAgain) {
            self.start_over();
            return Ok(Committed::Rewound);
        }
        self.broker.ledger.acknowledged(self.group, &settled, &process);
        Ok(Committed::Yes)
    }

    async fn close(mut self) {
        self.process.pass(0, self.process.weather.call_ms).await;
        self.left = true;
        if self.broker.bug == Some(Bug::CommitOnClose) {
            let mut state = self.broker.lock();
            if let Some(group) = state.groups.get_mut(self.group)
                && group.generation == self.epoch
            {
                group.committed.extend(self.next.clone());
            }
        }
        self.broker.leave(self.group, self.member);
    }
}

impl Drop for SimLog {
    fn drop(&mut self) {
        if !self.left {
            self.broker.vanish(self.group, self.member);
        }
    }
}
