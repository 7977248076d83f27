//! Ids are derived, so that doing a thing twice is doing it once.

use uuid::Uuid;

/// The namespace of every id of ours.
const NAMESPACE: Uuid = Uuid::from_u128(0x7265_656c_6d69_6c6c_8000_0000_0000_0001);

fn derive(parts: &[&str]) -> Uuid {
    // A separator that cannot be part of a name keeps ("a", "bc") and ("ab", "c") apart.
    Uuid::new_v5(&NAMESPACE, parts.join("\u{1f}").as_bytes())
}

/// By far the most are events' ids, so that the standard library's formatting would be felt.
fn text(id: Uuid) -> String {
    id.hyphenated().encode_lower(&mut Uuid::encode_buffer()).to_owned()
}

/// The id of a video whose uploader gave none.
#[must_use]
pub fn video(bucket: &str, key: &str, etag: &str) -> String {
    text(derive(&["video", bucket, key, etag]))
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
    text(derive(&["event", input, processor, &index.to_string()]))
}

/// The id of a gathering processor's output, whichever part came last.
#[must_use]
pub fn gathered(video_id: &str, run_id: &str, processor: &str) -> String {
    text(derive(&["gathered", video_id, run_id, processor]))
}

/// The id of an event that came without one.
#[must_use]
pub fn foreign(topic: &str, partition: i32, offset: i64) -> String {
    text(derive(&["foreign", topic, &partition.to_string(), &offset.to_string()]))
}

/// Whether a text is an id as this module writes them.
#[must_use]
pub fn is_uuid(text: &str) -> bool {
    text.len() == 36 && Uuid::try_parse(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_same_parts_give_the_same_id_and_any_other_part_another() {
        let ids = [
            video("b", "k", "e"),
            video("b", "k", "f"),
            video("b", "ke", ""),
            video("bk", "", "e"),
            video("b", "", "ke"),
            output("i", "cut", 0),
            output("i", "cut", 1),
            output("i", "detect", 0),
            gathered("v", "r", "stitch"),
            gathered("v", "s", "stitch"),
            gathered("v", "r", "index"),
            foreign("t", 0, 1),
            foreign("t", 1, 0),
            foreign("t", 0, 11),
        ];
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len());
        assert!(ids.iter().all(|id| is_uuid(id)), "{ids:?}");
        assert_eq!(video("b", "k", "e"), ids[0]);
    }

    #[test]
    fn ids_of_today_are_ids_of_tomorrow() {
        assert_eq!(video("b", "k", "e"), "10664adb-ce9c-5889-b12c-21343f964b20");
        assert_eq!(run("v", "e", "rules", 0), "2f7f561700b95884");
    }

    #[test]
    fn every_rule_makes_a_run_of_its_own() {
        let runs = [
            run("v", "e", "rules", 0),
            run("w", "e", "rules", 0),
            run("v", "f", "rules", 0),
            run("v", "e", "other rules", 0),
            run("v", "e", "rules", 1),
        ];
        assert_eq!(runs.iter().collect::<BTreeSet<_>>().len(), runs.len());
        assert!(runs.iter().all(|run| run.len() == 16), "{runs:?}");
    }

    #[test]
    fn only_whole_uuids_are_uuids() {
        assert!(is_uuid("37f09aac-7af9-5bcd-b0cd-2ce4a8ddbdf7"));
        for text in [
            "",
            "video",
            "37f09aac7af95bcdb0cd2ce4a8ddbdf7",
            "{37f09aac-7af9-5bcd-b0cd-2ce4a8ddbd}",
        ] {
            assert!(!is_uuid(text), "{text}");
        }
    }
}
