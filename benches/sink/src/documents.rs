//! Videos as the mill finds them: a title of a few words, and a moment for every label of every few
//! seconds.

use fastrand::Rng;
use ports::{Document, Moment, MomentKind};

const SEED: u64 = 42;
/// 2026-01-31, midnight UTC.
const DAY_ONE_MS: i64 = 1_769_817_600_000;
const MOMENTS: usize = 20;
const NAMES: [&str; 16] = [
    "Person",
    "Human",
    "Car",
    "Vehicle",
    "Desk",
    "Chair",
    "Screen",
    "Keyboard",
    "Book",
    "Cup",
    "Window",
    "Plant",
    "Dog",
    "Bicycle",
    "Traffic Light",
    "Whiteboard",
];
const WORDS: [&str; 12] = [
    "oral",
    "exam",
    "maths",
    "history",
    "interview",
    "call",
    "training",
    "lesson",
    "street",
    "morning",
    "evening",
    "retake",
];

/// One of so many has an id of another length.
pub(crate) const ONE_OF: usize = 100;

/// The same ones each time.
pub(crate) fn documents(count: usize) -> Vec<Document> {
    let mut random = Rng::with_seed(SEED);
    (0..count).map(|number| document(number, &mut random)).collect()
}

/// The same, with an id of `length` bytes in every hundredth.
pub(crate) fn with_long_ids(count: usize, length: usize) -> Vec<Document> {
    let mut documents = documents(count);
    for document in documents.iter_mut().step_by(ONE_OF) {
        document.video_id = format!("{:-<length$}", document.video_id);
    }
    documents
}

fn document(number: usize, random: &mut Rng) -> Document {
    let words: Vec<&str> = (0..4).map(|_| WORDS[random.usize(..WORDS.len())]).collect();
    Document {
        video_id: format!("video-{number:08}"),
        run_id: format!("run-{number:08}"),
        version: 1,
        owner: format!("teacher{}", random.u8(..)),
        assessment: format!("exam-{}", random.u16(..)),
        title: words.join(" "),
        visibility: "private".to_owned(),
        recorded_at_ms: DAY_ONE_MS + i64::from(random.u32(..)),
        duration_ms: 60_000,
        words: Vec::new(),
        moments: (0..MOMENTS).map(|at| moment(at, random)).collect(),
    }
}

fn moment(at: usize, random: &mut Rng) -> Moment {
    let start_ms = at as i64 * 3_000;
    Moment {
        kind: MomentKind::Label,
        name: NAMES[random.usize(..NAMES.len())].to_owned(),
        start_ms,
        end_ms: start_ms + 2_500,
        confidence: 50.0 + 50.0 * random.f32(),
        region: Some([0.1, 0.2, 0.3, 0.4]),
    }
}
