//! Keys in the store. Nothing a user sends becomes a path: every segment that is not ours goes
//! through [`safe`], which leaves our own ids as they are. No key is longer than 160 bytes.

/// Metadata of what is published of a video: its id, and the run it is of. Names are lower case, as
/// S3 returns them.
pub const VIDEO_METADATA: &str = "reelmill-video";
pub const RUN_METADATA: &str = "reelmill-run";

/// Where the source of a video is put by an upload. An extension that is not a short word of
/// letters and digits is left out: the container is told by content, never by name.
#[must_use]
pub fn source(owner: &str, video_id: &str, extension: Option<&str>) -> String {
    let short =
        |e: &&str| (1..=8).contains(&e.len()) && e.chars().all(|c| c.is_ascii_alphanumeric());
    let extension = extension.filter(short).map(|e| format!(".{e}")).unwrap_or_default();
    format!("uploads/{}/{}/source{extension}", safe(owner), safe(video_id))
}

/// All objects of a run.
#[must_use]
pub fn run(video_id: &str, run_id: &str) -> String {
    format!("work/{}/{}/", safe(video_id), safe(run_id))
}

#[must_use]
pub fn manifest(video_id: &str, run_id: &str) -> String {
    run(video_id, run_id) + "manifest.json"
}

#[must_use]
pub fn clip(video_id: &str, run_id: &str, index: u32) -> String {
    run(video_id, run_id) + &format!("clips/{index}.mp4")
}

#[must_use]
pub fn tracks(video_id: &str, run_id: &str, index: u32) -> String {
    run(video_id, run_id) + &format!("tracks/{index}.avro")
}

/// Tracks of faces that were only seen in the rendered clip; absent or empty where there were none.
#[must_use]
pub fn second_look(video_id: &str, run_id: &str, index: u32) -> String {
    run(video_id, run_id) + &format!("second/{index}.avro")
}

#[must_use]
pub fn labels(video_id: &str, run_id: &str, index: u32) -> String {
    run(video_id, run_id) + &format!("labels/{index}.avro")
}

#[must_use]
pub fn masked(video_id: &str, run_id: &str, index: u32) -> String {
    run(video_id, run_id) + &format!("masked/{index}.mp4")
}

#[must_use]
pub fn staged(video_id: &str, run_id: &str) -> String {
    run(video_id, run_id) + "staged.mp4"
}

/// Says that the temporary objects of a run are not needed any more: whoever writes one after that
/// removes it.
#[must_use]
pub fn swept(video_id: &str, run_id: &str) -> String {
    run(video_id, run_id) + "swept"
}

#[must_use]
pub fn claim(video_id: &str, run_id: &str, processor: &str) -> String {
    run(video_id, run_id) + &format!("claims/{}", safe(processor))
}

/// Says who announces a source whose event was lost, in one turn of all who look for such.
#[must_use]
pub fn announced(video_id: &str, turn: i64) -> String {
    format!("work/{}/announced/{turn}", safe(video_id))
}

/// What a gathering processor has seen of a run: one object for each event, each key beginning
/// with this.
#[must_use]
pub fn seen(video_id: &str, run_id: &str, processor: &str) -> String {
    claim(video_id, run_id, processor) + "."
}

#[must_use]
pub fn tombstone(video_id: &str) -> String {
    format!("work/{}/tombstone", safe(video_id))
}

#[must_use]
pub fn recording(owner: &str, assessment: &str, start_ms: i64) -> String {
    let name = if assessment.is_empty() { "recording".to_owned() } else { safe(assessment) };
    format!("recordings/{}/{name}-{start_ms}.mp4", safe(owner))
}

#[must_use]
pub fn receipt(video_id: &str) -> String {
    format!("receipts/{}.json", safe(video_id))
}

/// The receipt of one run. It is there once the run is verified, and stays with the run.
#[must_use]
pub fn receipt_of_run(video_id: &str, run_id: &str) -> String {
    run(video_id, run_id) + "receipt.json"
}

#[must_use]
pub fn thumbnail(video_id: &str) -> String {
    format!("thumbnails/{}.jpg", safe(video_id))
}

/// The longest segment [`safe`] makes.
const LONGEST: usize = 40;

/// Hexadecimal digits of a hash in a segment: 64 bits, beyond anyone's search for a twin.
const HASH: usize = 16;

/// User text as one harmless key segment: ASCII letters, digits, `-` and `_`, at most 40 of them,
/// never empty. Such a text stays as it is. From any other, what can be kept is followed by `-`
/// and a hash of the whole, so that two texts never share a segment.
#[must_use]
pub fn safe(text: &str) -> String {
    let harmless = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let fits = !text.is_empty() && text.len() <= LONGEST && text.chars().all(harmless);
    if fits && !looks_hashed(text) {
        return text.to_owned();
    }
    let kept = text.chars().map(|c| if harmless(c) { c } else { '_' }).take(LONGEST - 1 - HASH);
    let hash = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, text.as_bytes()).simple().to_string();
    kept.chain(['-']).chain(hash.chars().take(HASH)).collect()
}

/// Whether a text could be taken for another one's segment.
fn looks_hashed(text: &str) -> bool {
    let hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    text.rsplit_once('-').is_some_and(|(_, end)| end.len() == HASH && end.chars().all(hex))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// Names as people and attackers choose them.
    fn names() -> Vec<String> {
        let mut names: Vec<String> = [
            "",
            ".",
            "..",
            "../..",
            "/",
            "a",
            "A",
            "a b",
            "a/b",
            "a\\b",
            "a_b",
            "a.b",
            "a\0b",
            "ä",
            "é",
            "e\u{301}",
            "日本語",
            "-",
            "_",
            "con",
            "a ",
            " a",
            "..%2f",
            "🎬",
            "a\nb",
            "'; drop",
        ]
        .map(str::to_owned)
        .to_vec();
        for length in [39, 40, 41, 160, 10_000] {
            names.push("x".repeat(length));
            names.push("ü".repeat(length));
        }
        // Names that look like what another name became, and again.
        for _ in 0..3 {
            let hashed: Vec<_> = names.iter().map(|name| safe(name)).collect();
            names.extend(hashed);
        }
        // A walk through short texts of harmless and harmful letters.
        let letters = ['a', 'b', '-', '_', '.', '/', ' ', 'ä', '0', 'F'];
        for n in 0..10_000_usize {
            let digits = [n / 1000, n / 100 % 10, n / 10 % 10, n % 10];
            names.push(digits.iter().map(|d| letters[*d]).collect());
        }
        names.sort();
        names.dedup();
        names
    }

    #[test]
    fn no_two_names_share_a_segment() {
        let mut segments = BTreeMap::new();
        for name in names() {
            let segment = safe(&name);
            let twin = segments.insert(segment.clone(), name.clone());
            // What a name became is itself a name, and stays apart from the name.
            assert_eq!(twin, None, "{segment} for {name:?} too");
        }
    }

    #[test]
    fn a_segment_is_short_harmless_and_never_empty() {
        for name in names() {
            let segment = safe(&name);
            assert!((1..=40).contains(&segment.len()), "{name:?} became {segment:?}");
            let harmless = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            assert!(segment.chars().all(harmless), "{name:?} became {segment:?}");
        }
    }

    #[test]
    fn ids_and_plain_names_stay_as_they_are() {
        for name in
            ["37f09aac-7af9-5bcd-b0cd-2ce4a8ddbdf7", "0a1b2c3d4e5f6071", "ada", "viva-7", "Z_9"]
        {
            assert_eq!(safe(name), name);
        }
    }

    #[test]
    fn no_key_is_long_or_leaves_its_folder() {
        for name in names() {
            let keys = [
                source(&name, &name, Some("mp4")),
                source(&name, &name, Some(&name)),
                manifest(&name, &name),
                clip(&name, &name, u32::MAX),
                tracks(&name, &name, u32::MAX),
                labels(&name, &name, u32::MAX),
                masked(&name, &name, u32::MAX),
                staged(&name, &name),
                claim(&name, &name, &name),
                tombstone(&name),
                recording(&name, &name, i64::MIN),
                receipt(&name),
                thumbnail(&name),
            ];
            for key in keys {
                assert!(key.len() <= 160, "{} bytes: {key}", key.len());
                let segments = key.split('/').all(|s| !s.is_empty() && s != "." && s != "..");
                assert!(segments && key.is_ascii(), "{key}");
            }
        }
    }

    #[test]
    fn an_extension_is_kept_only_where_it_looks_like_one() {
        assert_eq!(source("o", "v", Some("MP4")), "uploads/o/v/source.MP4");
        for odd in ["", "../x", "a.b", "verylongone", "mp4 ", "é"] {
            assert_eq!(source("o", "v", Some(odd)), "uploads/o/v/source");
        }
    }

    #[test]
    fn all_of_a_run_lies_below_its_folder() {
        let folder = run("v", "r");
        for key in [manifest("v", "r"), clip("v", "r", 0), staged("v", "r"), claim("v", "r", "cut")]
        {
            assert!(key.starts_with(&folder), "{key}");
        }
        assert!(!tombstone("v").starts_with(&folder));
    }
}
