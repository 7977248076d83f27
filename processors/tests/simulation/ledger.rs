//! Watches what the world does while it does it, and keeps what the judgement in the end needs.

use crate::{
    broker::{Lane, spot},
    process::{EPOCH_MS, Process},
};
use engine::{
    header,
    memory::{MemoryRegistry, MemoryStore},
};
use futures::FutureExt;
use ports::{ObjectRef, Position, Record, SchemaRegistry, Settled, Store};
use processors::verify::recording_key;
use schemas::{AvroValue, Manifest, ids, keys};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// A rule of the mill that did not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Broken {
    pub(crate) rule: &'static str,
    pub(crate) how: String,
}

pub(crate) mod rule {
    pub(crate) const ORDER: &str = "offsets never pass an unsettled event, and never go back";
    pub(crate) const ONE_VERDICT: &str = "every event ends in exactly one verdict";
    pub(crate) const OBJECTS: &str = "no event without its objects";
    pub(crate) const ONE_RECORDING: &str = "one recording of a run: none lost, none doubled";
    pub(crate) const ONE_GATHER: &str = "a run is gathered exactly once";
    pub(crate) const ONE_RUN: &str = "an upload is one run";
    pub(crate) const RETRIES: &str = "retries are counted, bounded and know their origin";
    pub(crate) const NOT_BEFORE: &str = "no retry before its time";
    pub(crate) const CAUSE: &str = "no retry and no dead letter without a cause";
    pub(crate) const LETTERS: &str = "a dead letter is the event, byte for byte";
    pub(crate) const SWEEP: &str = "only what a finished run no longer needs is swept";
    pub(crate) const SWEPT: &str = "nothing temporary is left of a finished run";
    pub(crate) const NEWEST: &str = "the newest run is the one that is published";
    pub(crate) const FOUND: &str =
        "what is found of a video is of its first run or of a verified one";
    pub(crate) const IDS: &str = "ids are derived";
    pub(crate) const DELETED: &str = "a deleted video is passed over";
    pub(crate) const COUNTED: &str = "verdicts are counted once, after their commit";
    pub(crate) const FUSE: &str = "many give-ups in a row blow the fuse, and nothing else does";
    pub(crate) const STOP: &str = "a stop takes no longer than its grace";
    pub(crate) const ALIVE: &str = "no processor ends by itself";
    pub(crate) const SETTLES: &str = "once the faults have ended, everything is settled";
}

/// One life of one process's runner.
pub(crate) type Life = (usize, u32, &'static str);

#[derive(Debug)]
pub(crate) struct Ledger {
    schemas: &'static MemoryRegistry,
    objects: Arc<MemoryStore>,
    fuse: u32,
    book: Mutex<Book>,
}

#[derive(Debug, Default)]
pub(crate) struct Book {
    pub(crate) broken: Option<Broken>,
    /// What each delivery of a group gave rise to, in order.
    pub(crate) outputs: BTreeMap<(&'static str, Position), Vec<Record>>,
    /// For each group and partition the offset that has to be settled next.
    pub(crate) next: BTreeMap<(&'static str, Lane), i64>,
    /// Runs whose recording is ready.
    ready: BTreeSet<(String, String)>,
    /// When each deleted video was deleted, ms since 1970.
    pub(crate) deleted: BTreeMap<String, i64>,
    /// Give-ups in a row that were committed.
    given_up: BTreeMap<Life, u32>,
    /// Verdicts of which a runner knows that they were committed.
    pub(crate) known: BTreeMap<(Life, &'static str), u64>,
    /// Deliveries of retries whose time had not come, and which wait on.
    pub(crate) postponed: BTreeSet<(&'static str, Position)>,
    /// Settled deliveries.
    pub(crate) settled: u64,
    /// Temporary objects whose writer was cut short before it could look whether they are late.
    pub(crate) cut_short: BTreeSet<String>,
}

/// What an event of ours says, field by field.
#[derive(Debug, Clone)]
pub(crate) struct Facts(BTreeMap<String, String>);

impl Facts {
    pub(crate) fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    pub(crate) fn run(&self) -> (String, String) {
        (self.get("video_id").to_owned(), self.get("run_id").to_owned())
    }
}

impl Ledger {
    pub(crate) fn new(
        schemas: &'static MemoryRegistry,
        objects: Arc<MemoryStore>,
        fuse: u32,
    ) -> Arc<Self> {
        Arc::new(Self { schemas, objects, fuse, book: Mutex::default() })
    }

    pub(crate) fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the text fields of an event say; none where it is no event.
    pub(crate) fn facts(&self, record: &Record) -> Option<Facts> {
        let value = self.schemas.decode(record.value.as_deref()?).now_or_never()?.ok()?;
        let AvroValue::Record(fields) = value else { return None };
        let text = |value| match value {
            AvroValue::String(text) => Some(text),
            AvroValue::Union(_, inner) => match *inner {
                AvroValue::String(text) => Some(text),
                _ => None,
            },
            _ => None,
        };
        let fields = fields.into_iter().filter_map(|(name, value)| Some((name, text(value)?)));
        Some(Facts(fields.collect()))
    }

    /// A group wrote a record on account of a delivery.
    pub(crate) fn wrote(
        &self,
        group: &'static str,
        done: &Position,
        cause: Option<&Record>,
        index: usize,
        record: &Record,
        by: &Process,
    ) {
        let mut book = self.book();
        book.outputs.entry((group, done.clone())).or_default().push(record.clone());
        if record.topic.starts_with("reelmill.") {
            return;
        }
        let at = || format!("{} of {group} for {}", record.topic, spot(done));
        let Some(facts) = self.facts(record) else {
            return book.breaks(rule::OBJECTS, format!("{} cannot be read", at()));
        };
        let run = facts.run();
        for (name, key) in facts.0.iter().filter(|(name, _)| name.ends_with("_key")) {
            let there = self.objects.get(&ObjectRef::new(facts.get("bucket"), key)).is_some();
            let swept = temporary(key) && book.ready.contains(&run);
            if !there && !swept {
                book.breaks(rule::OBJECTS, format!("{}: {name} {key} is not there", at()));
            }
        }
        if let Some(cause) = cause {
            let id = match group {
                "stitch" | "index" => ids::gathered(&run.0, &run.1, group),
                _ => ids::output(&id_of(cause), group, index),
            };
            if record.headers.text("ce_id") != Some(&id) {
                book.breaks(rule::IDS, format!("{} has not the id {id}", at()));
            }
            let deleted = book.deleted.get(&run.0).copied();
            if cause.timestamp_ms.zip(deleted).is_some_and(|(came, deleted)| came > deleted) {
                book.breaks(rule::DELETED, format!("{}: {} was deleted", at(), run.0));
            }
        }
        if record.topic == "recording-ready" {
            by.note(format_args!("finishes {} {}", run.0, run.1));
            book.ready.insert(run);
        }
    }

    /// A group's offset moved past a delivery.
    pub(crate) fn settled(
        &self,
        group: &'static str,
        done: &Position,
        record: Option<&Record>,
        outputs: &[Record],
        by: &Process,
    ) {
        let mut book = self.book();
        book.settled += 1;
        let lane = (group, (done.topic.clone(), done.partition));
        let next = book.next.insert(lane, done.offset + 1).unwrap_or(0);
        if next != done.offset {
            book.breaks(rule::ORDER, format!("{group} settled {} after {next}", spot(done)));
        }
        let number = |record: &Record, name| record.headers.text(name)?.parse::<i64>().ok();
        let Some(record) = record else { return };
        let attempt = number(record, header::ATTEMPT);
        // One that was tried and does not count has another time to wait for.
        let same = |output: &Record, name| number(output, name) == number(record, name);
        let waits_on = attempt.is_some()
            && outputs.iter().any(|output| {
                let retry = output.topic.starts_with("reelmill.retry.");
                retry && same(output, header::ATTEMPT) && same(output, header::NOT_BEFORE)
            });
        if waits_on {
            book.postponed.insert((group, done.clone()));
        }
        let not_before = number(record, header::NOT_BEFORE).unwrap_or(0);
        if not_before > by.seen_ms() && !waits_on {
            let early = not_before - by.seen_ms();
            book.breaks(rule::NOT_BEFORE, format!("{group}: {} is {early} ms early", spot(done)));
        }
    }

    /// A runner has heard that its transaction was committed.
    pub(crate) fn acknowledged(&self, group: &'static str, settled: &[Settled], by: &Process) {
        let mut book = self.book();
        let life = (by.number, by.life, group);
        for Settled { done, outputs } in settled {
            let verdict = verdict(group, outputs);
            let given_up = book.given_up.entry(life).or_default();
            match verdict {
                "emitted" | "skipped" => *given_up = 0,
                "dead_lettered" if outputs.iter().any(was_given_up) => *given_up += 1,
                _ => {}
            }
            let given_up = *given_up;
            if given_up >= self.fuse {
                let how = format!("{group} went on after {given_up} give-ups at {}", spot(done));
                book.breaks(rule::FUSE, how);
            }
            let postponed = book.postponed.contains(&(group, done.clone()));
            if !postponed {
                *book.known.entry((life, verdict)).or_default() += 1;
            }
        }
    }

    /// An object is about to be deleted.
    pub(crate) fn deleted(&self, key: &str, by: &Process) {
        let mut book = self.book();
        let run = keys_run(key);
        if !temporary(key) || !run.is_some_and(|run| book.ready.contains(&run)) {
            let how = format!("p{} deletes {key}", by.number);
            book.breaks(rule::SWEEP, how);
        }
    }

    /// The index takes a run's document in.
    pub(crate) fn indexed(&self, bucket: &str, of: &Manifest) {
        let at = ObjectRef::new(bucket, recording_key(of));
        let there = self.objects.head(&at).now_or_never().and_then(Result::ok).flatten();
        let order = there.and_then(|info| info.metadata.get("order")?.parse::<i64>().ok());
        if of.replay > 0 && order < Some(of.run_order) {
            let how = format!("{}, run {}: published is {order:?}", of.video_id, of.run_id);
            self.book().breaks(rule::FOUND, how);
        }
    }

    /// The tombstone of a video was written.
    pub(crate) fn tombstone(&self, video: &str, now: i64) {
        self.book().deleted.insert(video.to_owned(), EPOCH_MS + now);
    }

    /// Give-ups in a row that a runner has committed.
    pub(crate) fn given_up(&self, life: Life) -> u32 {
        self.book().given_up.get(&life).copied().unwrap_or(0)
    }

    pub(crate) fn breaks(&self, rule: &'static str, how: String) {
        self.book().breaks(rule, how);
    }
}

impl Book {
    /// Notes a broken rule; the first one counts.
    pub(crate) fn breaks(&mut self, rule: &'static str, how: String) {
        self.broken.get_or_insert(Broken { rule, how });
    }
}

/// A settled delivery's verdict, as the metrics name it. A sink that emits and one that skips look
/// the same from here.
pub(crate) fn verdict(group: &str, outputs: &[Record]) -> &'static str {
    match outputs.first().map(|output| output.topic.as_str()) {
        Some(topic) if topic.starts_with("reelmill.retry.") => "retried",
        Some(topic) if topic.starts_with("reelmill.dead.") => "dead_lettered",
        Some(_) => "emitted",
        None if group == "sweep" => "emitted",
        None => "skipped",
    }
}

/// Whether a dead letter was given up after its retries, or is a bug of ours.
pub(crate) fn was_given_up(letter: &Record) -> bool {
    let detail = letter.headers.text(header::DEAD_DETAIL).unwrap_or_default();
    let reason = letter.headers.text(header::DEAD_REASON).unwrap_or_default();
    detail.starts_with("gave up after") || reason == "panicked"
}

/// The id of an event, as the engine must see it.
pub(crate) fn id_of(record: &Record) -> String {
    if let Some(id) = record.headers.text("ce_id") {
        return id.to_owned();
    }
    let at = origin(record);
    ids::foreign(&at.topic, at.partition, at.offset)
}

/// Where an event first was, whichever way it came.
pub(crate) fn origin(record: &Record) -> Position {
    let number = |name| record.headers.text(name)?.parse::<i64>().ok();
    let named = || {
        Some(Position {
            topic: record.headers.text(header::ORIGIN_TOPIC)?.to_owned(),
            partition: i32::try_from(number(header::ORIGIN_PARTITION)?).ok()?,
            offset: number(header::ORIGIN_OFFSET)?,
        })
    };
    named().or_else(|| record.position.clone()).unwrap()
}

/// What a finished run no longer needs.
pub(crate) fn temporary(key: &str) -> bool {
    let mut parts = key.split('/').skip(3);
    matches!(parts.next(), Some("clips" | "masked" | "staged.mp4"))
}

fn keys_run(key: &str) -> Option<(String, String)> {
    let mut parts = key.split('/').skip(1);
    let (video, run) = (parts.next()?, parts.next()?);
    key.starts_with(&keys::run(video, run)).then(|| (video.to_owned(), run.to_owned()))
}
