//! Keys in the store. Nothing a user sends becomes a path: every segment that is not ours goes
//! through [`safe`], which leaves our own ids as they are. No key is longer than 160 bytes.

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

#[must_use]
pub fn claim(video_id: &str, run_id: &str, processor: &str) -> String {
    run(video_id, run_id) + &format!("claims/{}", safe(processor))
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
