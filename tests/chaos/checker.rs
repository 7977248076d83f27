//! Holds the world against the model.

use crate::{
    model::{Expected, Kind, Model},
    observed::{Event, Observed},
};
use ports::VideoState;
use schemas::keys;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

const CLIP_TOPICS: [&str; 4] =
    ["clips-ready", "faces-detected", "labels-detected", "clips-blurred"];
const VIDEO_TOPICS: [&str; 4] =
    ["recording-stitched", "recording-ready", "thumbnail-ready", "metadata-indexed"];

/// How the world differs from the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// Something that must be there is not.
    Lost,
    /// Something is there twice.
    Doubled,
    /// Something is there in part, or parts do not belong together.
    Torn,
    /// Something is there that belongs to nothing.
    Orphan,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    pub(crate) fault: Fault,
    pub(crate) what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.fault, self.what)
    }
}

/// What is wrong; nothing where all is as it must be.
pub(crate) fn judge(model: &Model, observed: &Observed) -> Vec<Finding> {
    let mut judgement = Judgement { observed, findings: Vec::new(), known: BTreeSet::new() };
    let mut events: BTreeMap<&str, Vec<&Event>> = BTreeMap::new();
    for event in &observed.events {
        events.entry(&event.video).or_default().push(event);
    }
    for (video, kind) in &model.uploads {
        let events = events.remove(video.as_str()).unwrap_or_default();
        match kind {
            Kind::Film(film) => judgement.film(video, &model.films[film], &events),
            bad => judgement.bad(video, bad.reason().unwrap_or_default(), &events),
        }
    }
    for (video, events) in events {
        judgement
            .finds(Fault::Orphan, format!("{} events of {video}, an unknown video", events.len()));
    }
    judgement.ids();
    judgement.leftovers(model);
    judgement.findings.sort();
    judgement.findings
}

struct Judgement<'a> {
    observed: &'a Observed,
    findings: Vec<Finding>,
    /// Keys that may be in the store.
    known: BTreeSet<String>,
}

impl Judgement<'_> {
    fn finds(&mut self, fault: Fault, what: String) {
        self.findings.push(Finding { fault, what });
    }

    /// `what` is to be there once.
    fn once(&mut self, times: usize, what: impl FnOnce() -> String) {
        match times {
            0 => self.finds(Fault::Lost, what()),
            1 => {}
            n => self.finds(Fault::Doubled, format!("{} is there {n} times", what())),
        }
    }

    fn film(&mut self, video: &str, expected: &Expected, events: &[&Event]) {
        let runs: BTreeSet<_> = events.iter().map(|event| event.run.as_str()).collect();
        if runs.len() > 1 {
            self.finds(Fault::Doubled, format!("{video} has the runs {runs:?}"));
        }
        let run = runs.first().copied().unwrap_or_default();
        let count = |topic: &str, index: usize| {
            events.iter().filter(|e| e.topic == topic && e.index == index).count()
        };
        for topic in CLIP_TOPICS {
            let counts: Vec<_> = (0..expected.clips).map(|index| count(topic, index)).collect();
            let some = counts.iter().any(|n| *n > 0) && counts.contains(&0);
            // All clips of a film are written in one transaction.
            if topic == "clips-ready" && some {
                self.finds(Fault::Torn, format!("{video}: only some of its {topic}: {counts:?}"));
            }
            for (index, times) in counts.into_iter().enumerate() {
                self.once(times, || format!("{topic} {index} of {video}"));
            }
        }
        for topic in VIDEO_TOPICS {
            self.once(count(topic, 0), || format!("{topic} of {video}"));
        }
        for event in events {
            let clips =
                if CLIP_TOPICS.contains(&event.topic.as_str()) { expected.clips } else { 1 };
            let is_known =
                [&CLIP_TOPICS[..], &VIDEO_TOPICS].concat().contains(&event.topic.as_str());
            if event.index >= clips || !is_known {
                self.finds(Fault::Orphan, format!("{} {} of {video}", event.topic, event.index));
            }
        }
        let letters = self.observed.letters.iter().filter(|letter| letter.video == video);
        for letter in letters {
            let (reason, detail) = (&letter.reason, &letter.detail);
            let what = format!("{video} has a letter in {}: {reason}: {detail}", letter.topic);
            self.findings.push(Finding { fault: Fault::Lost, what });
        }
        self.objects(video, run, expected);
        self.document(video, run, expected);
        self.row(video, run, expected);
    }

    /// What a finished run keeps in the store, and what it publishes.
    fn objects(&mut self, video: &str, run: &str, expected: &Expected) {
        let due = [
            keys::source("chaos", video, Some("mp4")),
            keys::recording("chaos", video, 0),
            keys::receipt(video),
            keys::thumbnail(video),
            keys::manifest(video, run),
            keys::receipt_of_run(video, run),
            keys::swept(video, run),
            keys::claim(video, run, "stitch"),
            keys::claim(video, run, "index"),
        ];
        let clips = 0..u32::try_from(expected.clips).unwrap();
        let parts =
            clips.clone().flat_map(|n| [keys::tracks(video, run, n), keys::labels(video, run, n)]);
        for key in due.into_iter().chain(parts) {
            if !self.observed.objects.contains(&key) {
                self.finds(Fault::Lost, format!("object {key}"));
            }
            self.known.insert(key);
        }
        // Faces that were only seen in the rendered clip.
        self.known.extend(clips.map(|n| keys::second_look(video, run, n)));
        for (processor, events) in [("stitch", expected.clips), ("index", 2 * expected.clips)] {
            let prefix = keys::seen(video, run, processor);
            let seen: Vec<_> = self
                .observed
                .objects
                .iter()
                .filter(|key| key.starts_with(&prefix))
                .cloned()
                .collect();
            if seen.len() > events {
                self.finds(Fault::Doubled, format!("{video}: {processor} has seen {seen:?}"));
            }
            self.known.extend(seen);
        }
        let recording = self.observed.recordings.get(&keys::recording("chaos", video, 0));
        if let Some(recording) = recording.filter(|recording| **recording != expected.recording) {
            let what =
                format!("the recording of {video} is {recording}, not {}", expected.recording);
            self.finds(Fault::Torn, what);
        }
    }

    fn document(&mut self, video: &str, run: &str, expected: &Expected) {
        match self.observed.documents.get(video) {
            None => self.finds(Fault::Lost, format!("search document of {video}")),
            Some(there) if there.run != run || there.moments != expected.moments => {
                let what =
                    format!("search document of {video}: {there:?}, run {run}, {expected:?}");
                self.finds(Fault::Torn, what);
            }
            Some(_) => {}
        }
    }

    fn row(&mut self, video: &str, run: &str, expected: &Expected) {
        let Some(row) = self.observed.rows.get(video) else {
            return self.finds(Fault::Lost, format!("catalogue row of {video}"));
        };
        if row.state != VideoState::Ready || !row.searchable || row.run_id != run {
            let what = format!("catalogue: {video} is {:?}, {:?}", row.state, row.detail);
            self.finds(Fault::Lost, what);
        }
        for stage in &row.stages {
            let is_whole =
                ["stitch", "verify", "thumbnail", "index"].contains(&stage.stage.as_str());
            let due = if is_whole { 1 } else { i64::try_from(expected.clips).unwrap() };
            let what = format!("catalogue: {} of {video}: {} of {due}", stage.stage, stage.done);
            match stage.done {
                done if done < due => self.finds(Fault::Lost, what),
                done if done > due => self.finds(Fault::Doubled, what),
                _ => {}
            }
        }
    }

    /// An upload that cannot become a recording: one dead letter, and nothing else.
    fn bad(&mut self, video: &str, reason: &str, events: &[&Event]) {
        let letters = self.observed.letters.iter().filter(|letter| letter.video == video);
        let (right, wrong): (Vec<_>, Vec<_>) =
            letters.partition(|l| l.topic == "reelmill.dead.cut" && l.reason == reason);
        self.once(right.len(), || format!("dead letter {reason} of {video}"));
        for letter in wrong {
            self.finds(Fault::Orphan, format!("{video}: {letter:?}"));
        }
        for event in events {
            self.finds(Fault::Orphan, format!("{} of {video}, which cannot be cut", event.topic));
        }
        if self.observed.documents.contains_key(video) {
            self.finds(Fault::Orphan, format!("search document of {video}, which cannot be cut"));
        }
        if self.observed.rows.get(video).is_some_and(|row| row.state != VideoState::Failed) {
            self.finds(Fault::Lost, format!("catalogue: {video} has not failed"));
        }
        self.known.insert(keys::source("chaos", video, Some("mp4")));
    }

    /// No id of an event is on a topic twice.
    fn ids(&mut self) {
        let mut ids = BTreeMap::new();
        for event in &self.observed.events {
            *ids.entry((&event.topic, &event.id)).or_insert(0) += 1;
        }
        for ((topic, id), times) in ids.into_iter().filter(|(_, times)| *times > 1) {
            self.finds(Fault::Doubled, format!("event {id} is on {topic} {times} times"));
        }
    }

    /// What belongs to nobody.
    fn leftovers(&mut self, model: &Model) {
        let observed = self.observed;
        for key in observed.objects.iter().filter(|key| !self.known.contains(*key)) {
            self.findings.push(Finding { fault: Fault::Orphan, what: format!("object {key}") });
        }
        let videos = observed.documents.keys().chain(observed.rows.keys());
        let letters = observed.letters.iter().map(|letter| &letter.video);
        for video in videos.chain(letters).filter(|video| !model.uploads.contains_key(*video)) {
            self.finds(Fault::Orphan, format!("the index or the catalogue knows {video}"));
        }
        for lane in &observed.open {
            self.finds(Fault::Torn, format!("a transaction was never ended: {lane}"));
        }
        for path in &observed.scratch {
            self.finds(Fault::Orphan, format!("in a scratch directory: {path}"));
        }
        let told: BTreeMap<_, usize> =
            observed.told.iter().fold(BTreeMap::new(), |mut told, row| {
                *told.entry((row.topic.as_str(), row.partition, row.offset)).or_default() += 1;
                told
            });
        for letter in &observed.letters {
            let times = told.get(&(letter.topic.as_str(), letter.partition, letter.offset));
            self.once(times.copied().unwrap_or(0), || format!("catalogue row of {letter:?}"));
        }
        if told.len() > observed.letters.len() {
            self.finds(
                Fault::Orphan,
                "the catalogue has dead letters that are on no topic".to_owned(),
            );
        }
    }
}
