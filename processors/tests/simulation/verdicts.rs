//! The judgement in the end: every event of the log, and every run.

use crate::{
    broker::{Broker, State, spot},
    ledger::{Book, Broken, Ledger, origin, rule, temporary, verdict},
    mill::{BUCKET, GROUPS},
    plan::{Kind, Plan, Video},
    store::{REGISTRY_AWAY, STORE_AWAY},
    studio::masked,
};
use engine::{WAITING_FOR_STRAGGLERS, header, memory::MemoryStore};
use futures::FutureExt;
use ports::{Document, ObjectRef, Record, Store};
use schemas::{Manifest, keys};
use std::collections::{BTreeMap, BTreeSet};

/// Transient troubles of this world: what may be retried, and given up in the end.
const TRANSIENT: &[&str] = &[STORE_AWAY, REGISTRY_AWAY, WAITING_FOR_STRAGGLERS];

/// What became of a run.
#[derive(Debug, Default)]
struct Run {
    clips: BTreeSet<String>,
    /// Ids of the events of a topic, one for each record.
    ids: BTreeMap<String, Vec<String>>,
    recording: String,
}

struct Judgement<'a> {
    plan: &'a Plan,
    state: &'a State,
    book: &'a Book,
    ledger: &'a Ledger,
    runs: BTreeMap<(String, String), Run>,
    /// Videos whose sweep gave up waiting, although it waited longer than any fault lasts.
    unswept: Vec<(String, String)>,
    /// Processors that gave up an event of a video.
    dead: BTreeMap<String, BTreeSet<&'static str>>,
}

/// Holds what happened against the rules.
pub(crate) fn judge(
    plan: &Plan,
    broker: &Broker,
    objects: &MemoryStore,
    documents: &BTreeMap<String, Document>,
    book: &Book,
) -> Result<(), Broken> {
    let state = &*broker.lock();
    let ledger = &*broker.ledger;
    let (runs, dead, unswept) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
    let mut judgement = Judgement { plan, state, book, ledger, runs, unswept, dead };
    for (name, group) in &state.groups {
        for ((topic, _), records) in &state.records {
            if group.reads.contains(topic) {
                records.iter().try_for_each(|record| judgement.delivery(name, record))?;
            }
        }
    }
    for record in state.records.values().flatten() {
        judgement.note(record);
    }
    for (video, how) in &judgement.unswept {
        let lost = judgement.gave_up(video, &["detect", "label", "blur", "stitch", "index"]);
        let deleted = plan.videos.iter().any(|v| v.name == *video && v.kind == Kind::Deleted);
        if !lost && !deleted {
            return fails(rule::CAUSE, format!("{how}: nobody was behind"));
        }
    }
    plan.videos.iter().try_for_each(|video| {
        judgement.video(video, objects)?;
        judgement.found(video, objects, documents)
    })
}

fn fails(rule: &'static str, how: String) -> Result<(), Broken> {
    Err(Broken { rule, how })
}

impl Judgement<'_> {
    /// One record as one group settled it.
    fn delivery(&mut self, group: &'static str, record: &Record) -> Result<(), Broken> {
        let at = record.position.clone().unwrap();
        let here = || format!("{group} at {}", spot(&at));
        let next = self.book.next.get(&(group, (at.topic.clone(), at.partition)));
        if next.is_none_or(|next| *next <= at.offset) {
            return fails(rule::ONE_VERDICT, format!("{} was never settled", here()));
        }
        let outputs = self.book.outputs.get(&(group, at.clone())).map_or(&[][..], Vec::as_slice);
        let of = |prefix: &str| outputs.iter().filter(|o| o.topic.starts_with(prefix)).count();
        let (retries, dead) = (of("reelmill.retry."), of("reelmill.dead."));
        let events = outputs.len() - retries - dead;
        if retries + dead > 1 || (retries + dead == 1 && events > 0) {
            let how = format!("{}: {events} events, {retries} retries, {dead} dead", here());
            return fails(rule::ONE_VERDICT, how);
        }
        match verdict(group, outputs) {
            "retried" => self.retry(&here(), record, &outputs[0]),
            "dead_lettered" => self.dead_letter(group, &here(), record, &outputs[0]),
            "emitted" => self.emitted(group, &here(), record, events),
            _ => self.skipped(group, &here(), record),
        }
    }

    fn retry(&self, here: &str, record: &Record, retry: &Record) -> Result<(), Broken> {
        let number = |record: &Record, name| record.headers.text(name)?.parse::<i64>().ok();
        let attempt = number(record, header::ATTEMPT).unwrap_or(1);
        let again = number(retry, header::ATTEMPT);
        let reason = retry.headers.text(header::REASON).unwrap_or_default();
        let waits_on = again == Some(attempt)
            && (record.topic == retry.topic || reason == WAITING_FOR_STRAGGLERS);
        if !waits_on && again != Some(attempt + 1) {
            return fails(rule::RETRIES, format!("{here}: attempt {attempt}, then {again:?}"));
        }
        if attempt > i64::from(self.plan.policy.attempts) {
            return fails(rule::RETRIES, format!("{here}: attempt {attempt}"));
        }
        if number(retry, header::NOT_BEFORE).is_none() || origin(record) != origin(retry) {
            return fails(rule::RETRIES, format!("{here}: it lost its time or its origin"));
        }
        if !TRANSIENT.contains(&reason) {
            return fails(rule::CAUSE, format!("{here}: retried for {reason:?}"));
        }
        same(here, rule::RETRIES, record, retry)
    }

    fn dead_letter(
        &mut self,
        group: &'static str,
        here: &str,
        record: &Record,
        letter: &Record,
    ) -> Result<(), Broken> {
        let text = |name| letter.headers.text(name).unwrap_or_default();
        let from = origin(record);
        let named =
            (text(header::DEAD_TOPIC), text(header::DEAD_PARTITION), text(header::DEAD_OFFSET));
        let (partition, offset) = (from.partition.to_string(), from.offset.to_string());
        if named != (from.topic.as_str(), partition.as_str(), offset.as_str()) {
            return fails(rule::LETTERS, format!("{here}: names {named:?} as its origin"));
        }
        let first = self.state.record(&from);
        same(here, rule::LETTERS, record, letter)?;
        if let Some(first) = first {
            same(here, rule::LETTERS, first, letter)?;
        }
        let video = self.video_of(record).cloned();
        let reason = text(header::DEAD_REASON);
        let gave_up = text(header::DEAD_DETAIL).starts_with("gave up after");
        let fair = match (video.as_ref().map(|video| video.kind), reason) {
            (_, "panicked") => self.plan.weather.panic > 0,
            // Longer than any fault lasts.
            (_, WAITING_FOR_STRAGGLERS) => {
                let name = video.as_ref().map(|video| video.name.clone()).unwrap_or_default();
                self.unswept.push((name, here.to_owned()));
                gave_up
            }
            (_, reason) if TRANSIENT.contains(&reason) => gave_up,
            (Some(Kind::Corrupt), "no_video") | (Some(Kind::Missing), "missing_object") => {
                group == "cut"
            }
            (None, "malformed_event" | "unknown_schema") => group == "cut",
            // The clips of the second copy of an upload may be swept with the first one's.
            (Some(Kind::Doubled), "missing_object") => matches!(group, "detect" | "label"),
            _ => false,
        };
        if !fair {
            let why = text(header::DEAD_DETAIL);
            return fails(rule::CAUSE, format!("{here}: dead for {reason:?}: {why}"));
        }
        if let Some(video) = video {
            self.dead.entry(video.name).or_default().insert(group);
        }
        Ok(())
    }

    fn emitted(
        &self,
        group: &str,
        here: &str,
        record: &Record,
        events: usize,
    ) -> Result<(), Broken> {
        let due = match group {
            "sweep" => 0,
            "cut" => self.video_of(record).map_or(0, |video| video.clips as usize),
            _ => 1,
        };
        if events == due {
            return Ok(());
        }
        fails(rule::ONE_VERDICT, format!("{here}: {events} events instead of {due}"))
    }

    fn skipped(&self, group: &str, here: &str, record: &Record) -> Result<(), Broken> {
        let kind = self.video_of(record).map(|video| video.kind);
        let fair = matches!(group, "stitch" | "index")
            || kind == Some(Kind::Deleted)
            || (matches!(group, "verify" | "thumbnail") && kind == Some(Kind::Replayed))
            || (matches!(group, "cut" | "blur" | "stitch" | "verify")
                && kind == Some(Kind::Doubled));
        if fair { Ok(()) } else { fails(rule::ONE_VERDICT, format!("{here}: nothing came of it")) }
    }

    /// The planned video an event is about.
    fn video_of(&self, record: &Record) -> Option<&Video> {
        let facts = self.ledger.facts(record)?;
        self.plan.videos.iter().find(|video| video.name == facts.get("video_id"))
    }

    fn note(&mut self, record: &Record) {
        let facts = (!record.topic.starts_with("reelmill.")).then(|| self.ledger.facts(record));
        let Some(facts) = facts.flatten() else { return };
        let run = facts.run();
        if run.1.is_empty() {
            return;
        }
        let run = self.runs.entry(run).or_default();
        let id = record.headers.text("ce_id").unwrap_or_default().to_owned();
        run.ids.entry(record.topic.clone()).or_default().push(id);
        match record.topic.as_str() {
            "clips-ready" => drop(run.clips.insert(facts.get("clip_key").to_owned())),
            "recording-ready" => facts.get("recording_key").clone_into(&mut run.recording),
            _ => {}
        }
    }

    /// One upload, from its end.
    fn video(&self, video: &Video, objects: &MemoryStore) -> Result<(), Broken> {
        let name = &video.name;
        let runs: Vec<_> = self.runs.iter().filter(|((of, _), _)| of == name).collect();
        let due = match video.kind {
            Kind::Corrupt | Kind::Missing | Kind::Malformed => 0,
            Kind::Replayed => 2,
            Kind::Ordinary | Kind::Doubled | Kind::Deleted => 1,
        };
        let dead = |groups: &[&str]| self.gave_up(name, groups);
        let excused = dead(&["cut"]) || video.kind == Kind::Deleted;
        if runs.len() > due || (runs.len() < due && !excused) {
            return fails(rule::ONE_RUN, format!("{name} has {} runs, not {due}", runs.len()));
        }
        for ((_, id), run) in runs {
            let count = |topic: &str| {
                let ids = run.ids.get(topic).map_or(&[][..], Vec::as_slice);
                // The copies of a doubled event are told apart from it by nothing, as they should.
                let doubled = video.kind == Kind::Doubled;
                let different: BTreeSet<_> = ids.iter().collect();
                if doubled { different.len() } else { ids.len() }
            };
            let one = |topic: &str, rule, excused: bool| {
                let there = count(topic);
                let lost = there == 0 && !excused && video.kind != Kind::Deleted;
                if there > 1 || lost {
                    return fails(rule, format!("{name}, run {id}: {there} times {topic}"));
                }
                Ok(())
            };
            let cut_short = dead(&["detect", "blur"]);
            one("recording-stitched", rule::ONE_GATHER, cut_short || dead(&["stitch"]))?;
            // One that replaces another is found when it is verified.
            let unverified = run.recording.is_empty()
                && manifest(objects, name, id).is_some_and(|manifest| manifest.replay > 0);
            let excused = dead(&["detect", "label", "index"]) || unverified;
            one("metadata-indexed", rule::ONE_GATHER, excused)?;
            let superseded = video.kind == Kind::Replayed;
            let excused = cut_short || dead(&["stitch", "verify"]) || superseded;
            one("recording-ready", rule::ONE_RECORDING, excused)?;
            let film: String = (0..video.clips).map(|n| masked(&format!("{name}/{n}"))).collect();
            let there = objects.get(&ObjectRef::new(BUCKET, &run.recording));
            if !run.recording.is_empty() && there.as_deref() != Some(film.as_bytes()) {
                return fails(rule::ONE_RECORDING, format!("{name}: the film is {there:?}"));
            }
        }
        if video.kind == Kind::Replayed
            && self.ready(name) == 0
            && !dead(&["detect", "blur", "stitch", "verify", "cut"])
        {
            return fails(rule::ONE_RECORDING, format!("{name}: no run has come to its end"));
        }
        self.newest(video, objects)
    }

    /// What the world shows in the end is of the newest run that came to its end.
    fn newest(&self, video: &Video, objects: &MemoryStore) -> Result<(), Broken> {
        let runs = || self.runs.iter().filter(|((name, _), _)| *name == video.name);
        let order = |run: &str| manifest(objects, &video.name, run).map(|m| m.run_order);
        let ready = runs().filter(|(_, run)| !run.recording.is_empty());
        let newest = ready.map(|((_, id), run)| (order(id), id, run));
        if let Some((order, id, run)) = newest.max_by_key(|(order, ..)| *order) {
            let at = ObjectRef::new(BUCKET, &run.recording);
            let there = objects.head(&at).now_or_never().unwrap().unwrap();
            let there = there.and_then(|info| info.metadata.get("order")?.parse::<i64>().ok());
            if there < order {
                let how = format!("{}: published is {there:?}, not {order:?}", video.name);
                return fails(rule::NEWEST, how);
            }
            let at = ObjectRef::new(BUCKET, keys::thumbnail(&video.name));
            let still = objects.get(&at);
            // Written late by a ghost, see below; a deleted video's may never be.
            let due = self.plan.processes == 1
                && video.kind != Kind::Deleted
                && !self.gave_up(&video.name, &["thumbnail"]);
            if due && still.as_deref() != Some(id.as_bytes()) {
                return fails(rule::NEWEST, format!("{}: the still is {still:?}", video.name));
            }
        }
        for ((_, id), run) in runs() {
            let folder = keys::run(&video.name, id);
            let left = objects.keys(BUCKET);
            // One process cannot be its own ghost.
            let excused =
                |key: &String| self.plan.processes > 1 && self.book.cut_short.contains(key);
            let left = left.iter().filter(|key| key.starts_with(&folder) && temporary(key));
            let left: Vec<_> = left.filter(|key| !excused(key)).collect();
            let swept = !run.recording.is_empty() && !self.gave_up(&video.name, GROUPS);
            if swept && !left.is_empty() {
                return fails(rule::SWEPT, format!("{left:?} are left"));
            }
        }
        Ok(())
    }

    /// What is found in the end is of the newest run that was indexed.
    fn found(
        &self,
        video: &Video,
        objects: &MemoryStore,
        documents: &BTreeMap<String, Document>,
    ) -> Result<(), Broken> {
        let runs = self.runs.iter().filter(|((name, _), _)| *name == video.name);
        let indexed = runs.filter(|(_, run)| run.ids.contains_key("metadata-indexed"));
        let order = |run: &str| manifest(objects, &video.name, run).map(|m| m.run_order);
        let newest = indexed.map(|((_, id), _)| order(id)).max().flatten();
        let there = documents.get(&video.name).map(|document| document.version);
        if there < newest {
            let how = format!("{}: found is {there:?}, not {newest:?}", video.name);
            return fails(rule::FOUND, how);
        }
        Ok(())
    }

    fn gave_up(&self, video: &str, groups: &[&str]) -> bool {
        self.dead.get(video).is_some_and(|dead| groups.iter().any(|g| dead.contains(g)))
    }

    fn ready(&self, name: &str) -> usize {
        let runs = self.runs.iter().filter(|((of, _), _)| of == name);
        runs.filter(|(_, run)| !run.recording.is_empty()).count()
    }
}

fn manifest(objects: &MemoryStore, video: &str, run: &str) -> Option<Manifest> {
    let at = ObjectRef::new(BUCKET, keys::manifest(video, run));
    objects.get(&at).and_then(|body| Manifest::from_json(&body).ok())
}

/// Whether a record carries another one on unchanged: its key, its value, and all its own headers.
fn same(here: &str, rule: &'static str, from: &Record, to: &Record) -> Result<(), Broken> {
    let own = |name: &str| !name.starts_with(header::RETRY_PREFIX);
    let kept =
        from.headers.0.iter().filter(|(name, _)| own(name)).all(|h| to.headers.0.contains(h));
    if from.key == to.key && from.value == to.value && kept {
        return Ok(());
    }
    fails(rule, format!("{here}: it is not the event any more"))
}
