//! Ids are derived, so that doing a thing twice is doing it once.

use uuid::Uuid;

/// The namespace of every id of ours.
const NAMESPACE: Uuid = Uuid::from_u128(0x7265_656c_6d69_6c6c_8000_0000_0000_0001);

fn derive(parts: &[&str]) -> Uuid {
    // A separator that cannot be part of a name keeps ("a", "bc") and ("ab", "c") apart.
    Uuid::new_v5(&NAMESPACE, parts.join("\u{1f}").as_bytes())
}

/// The id of a video whose uploader gave none.
#[must_use]
pub fn video(bucket: &str, key: &str, etag: &str) -> String {
    derive(&["video", bucket, key, etag]).to_string()
}

/// The id of a run: the same video under the same rules is the same run.
#[must_use]
pub fn run(video_id: &str, source_etag: &str, rules: &str, replay: u32) -> String {
    derive(&["run", video_id, source_etag, rules, &replay.to_string()]).simple().to_string()[..16]
        .to_owned()
}

/// The id of the `index`-th event a processor makes of an input.
#[must_use]
pub fn output(input: &str, processor: &str, index: usize) -> String {
    derive(&["event", input, processor, &index.to_string()]).to_string()
}

/// The id of a gathering processor's output, whichever part came last.
#[must_use]
pub fn gathered(video_id: &str, run_id: &str, processor: &str) -> String {
    derive(&["gathered", video_id, run_id, processor]).to_string()
}

/// The id of an event that came without one.
#[must_use]
pub fn foreign(topic: &str, partition: i32, offset: i64) -> String {
    derive(&["foreign", topic, &partition.to_string(), &offset.to_string()]).to_string()
}

/// Whether a text is an id as this module writes them.
#[must_use]
pub fn is_uuid(text: &str) -> bool {
    text.len() == 36 && Uuid::try_parse(text).is_ok()
}
